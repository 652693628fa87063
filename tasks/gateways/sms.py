"""Text messages through Twilio. Knows numbers and words, and not what a message is for.

Twilio takes no idempotency key: a message it took whose answer was lost is taken again when the caller repeats. What is
sent here are codes, and both copies say the same one. No error of ours repeats a number: Twilio's own words do.
"""

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from urllib.parse import urlsplit

from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

import settings
from models import guard
from models.errors import Refused, Unreachable

CONNECT_S: Final = 2
READ_S: Final = 3
SEND_S: Final = 4
"""All of one sending, with resolving the name and a drip-fed answer: inside the queue's limit of 5 s."""

IN_FLIGHT: Final = 8
"""Sendings at once and process. A number takes about one a second; the rest waits at Twilio."""

MAX_CHARS: Final = 1600
"""Twilio's own limit on one message, which it cuts into segments."""

ONE_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
"""E.164. Anything else Twilio might read as a short code, a sender's name or another channel (`whatsapp:…`)."""
ANY_NUMBER: Final = re.compile(r"\+?[0-9][0-9 ().-]{5,}[0-9]", re.ASCII)
LATER: Final = frozenset({20429, 30022, 21611})
"""Codes below 500 that mean "later": too many requests, too fast for the number, the number's queue is full."""


class Sms:
    """One account at Twilio. Its calls run in threads of its own, never on the event loop."""

    def __init__(self, account: settings.Sms) -> None:
        self._from = account.from_number
        self._threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="sms")
        self._http = _Redirected(account.api_base)
        self._twilio = Client(account.account_sid, account.auth_token, http_client=self._http)

    async def send(self, to: str, text: str) -> str:
        """Hand one message to Twilio and return the id it gave.

        Raises Unreachable when Twilio is away, slow, throttling or failing: it may have taken the message all the same,
        and a repetition then arrives as a second copy. Raises Refused when Twilio said no, and, without asking it, for
        what is not one plain number or is no message.
        """
        guard.outside_transaction()
        if not ONE_NUMBER.fullmatch(to):
            raise Refused("The recipient is not one plain number.", code="number_invalid")
        if not 0 < len(text) <= MAX_CHARS:
            raise Refused(f"A message has 1 to {MAX_CHARS} characters.", code="message_invalid")
        call = asyncio.get_running_loop().run_in_executor(self._threads, self._create, to, text)
        try:
            return await asyncio.wait_for(call, SEND_S)
        except TwilioException as error:
            raise _said(error) from None  # the cause would write the number into a traceback
        # The transport's own errors are OSErrors; a body that is no JSON, or lacks the id, is a ValueError.
        except (OSError, TimeoutError, ValueError) as error:
            raise Unreachable(f"Twilio did not answer: {type(error).__name__}") from None

    def _create(self, to: str, text: str) -> str:
        sid = self._twilio.messages.create(to=to, from_=self._from, body=text).sid
        if not isinstance(sid, str) or not sid:
            raise ValueError("no sid")
        return sid

    def close(self) -> None:
        """Drop the connections and the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._http.session.close()


class _Redirected(TwilioHttpClient):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's own transport, which calls another address when one is set: the SDK itself can only choose a region."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.timeout = (CONNECT_S, READ_S)  # its constructor takes one number only, its requests take both
        self._base = base
        if base:
            self.session.trust_env = False  # a proxy of the environment is for the world, not for this machine

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        """Send one request, once. Repeating is the queue's business: there it is counted, spaced, and seen."""
        if self._base:
            parts = urlsplit(url)
            url = self._base + parts.path
        return super().request(method, url, *args, **kwargs)


def _said(error: TwilioException) -> Unreachable | Refused:
    """What Twilio's error means to us: later, or no."""
    status, code = int(getattr(error, "status", 0)), getattr(error, "code", None)
    detail = ANY_NUMBER.sub("(number)", str(getattr(error, "msg", "") or getattr(error, "title", "")))[:300]
    if not status or status >= 500 or status == 429 or code in LATER:
        return Unreachable(f"Twilio answered {status}, {code}: {detail}")
    return Refused(f"Twilio answered {status}, {code}: {detail}", code=f"twilio_{code}")
