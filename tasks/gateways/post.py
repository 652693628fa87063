"""Mail through Amazon SES (`sesv2` SendEmail). Knows addresses, headers and bodies, and not what a mail is for.

SES takes no idempotency key: a mail it took whose answer was lost is taken again when the caller repeats. So each mail
carries its id as a header and as a tag, by which a duplicate is recognised in a mailbox and in SES's own events.
"""

import asyncio
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.parsers import ResponseParserError

import settings
from models import guard
from models.errors import Refused, Unreachable

CONNECT_S: Final = 3
READ_S: Final = 10
SEND_S: Final = 15
"""All of one sending, with resolving the name and a drip-fed answer: inside the mail queue's limit of 20 s."""

IN_FLIGHT: Final = 16
"""Sendings at once and process. SES's starting rate is 14 a second, and one sending takes well under a second."""

MAIL_HEADER: Final = "X-MegiLance-Mail"
MAIL_TAG: Final = "megilance-mail"

LATER: Final = frozenset(
    {
        "TooManyRequestsException",
        "ThrottlingException",
        "Throttling",
        "LimitExceededException",  # the day's quota: the last attempts lie hours apart
        "SendingPausedException",  # somebody paused the account and will end the pause
        "RequestTimeout",
    }
)
"""Codes below 500 that mean "later"."""

ONE_ADDRESS: Final = re.compile(r"[^\s<>,;:\"()\[\]\\@\x00-\x1f\x7f]+@[^\s<>,;:\"()\[\]\\@\x00-\x1f\x7f]+")
"""One bare address: SES would read a comma as a second recipient."""

CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
HEADER_NAME: Final = re.compile(r"[!-9;-~]+")


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """One mail to one address, in both forms. `mail_id` is what a duplicate is recognised by."""

    mail_id: int
    to: str
    subject: str
    html: str
    text: str
    headers: Mapping[str, str] = {}


class Post:
    """One account at SES. Its calls run in threads of its own, never on the event loop."""

    def __init__(self, account: settings.Post) -> None:
        self._sender = account.sender
        self._threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="post")
        # A session of its own, because boto3's default one may not be used by several threads at once.
        self._ses = boto3.session.Session().client(
            "sesv2",
            region_name=account.region,
            aws_access_key_id=account.access_key_id,
            aws_secret_access_key=account.secret_access_key,
            endpoint_url=account.endpoint or None,
            config=Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                # Repeating is the queue's business: there it is counted, spaced, seen, and survives this process.
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=IN_FLIGHT,
                ignore_configured_endpoint_urls=True,  # type: ignore[call-arg]  # the stubs lag behind
            ),
        )

    async def send(self, letter: Letter) -> str:
        """Hand one mail to SES and return the id it gave.

        Raises Unreachable when SES is away, slow, throttling or failing: it may have taken the mail all the same, and
        a repetition then arrives as a second copy with the same X-MegiLance-Mail. Raises Refused when SES said no, and,
        without asking it, for an address, a subject or a header that would smuggle in another.
        """
        guard.outside_transaction()
        request = _request(self._sender, letter)
        call = asyncio.get_running_loop().run_in_executor(self._threads, lambda: self._ses.send_email(**request))
        try:
            answer = await asyncio.wait_for(call, SEND_S)
        except ClientError as error:
            raise _said(error) from error
        except (HTTPClientError, NoConnection, ResponseParserError, TimeoutError) as error:
            raise Unreachable(f"SES did not answer: {type(error).__name__}") from error
        return str(answer["MessageId"])

    def close(self) -> None:
        """Drop the connections and the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._ses.close()


def _request(sender: str, letter: Letter) -> dict[str, Any]:
    headers = {MAIL_HEADER: str(letter.mail_id), "Auto-Submitted": "auto-generated", **letter.headers}
    for name, value in {"From": sender, "Subject": letter.subject, **headers}.items():
        if not HEADER_NAME.fullmatch(name) or CONTROL.search(value):
            raise Refused(f"The header {name!r} has control characters.", code="header_injection")
    if not ONE_ADDRESS.fullmatch(letter.to):
        raise Refused("The recipient is not one plain address.", code="address_invalid")

    def utf8(data: str) -> dict[str, str]:
        return {"Data": data, "Charset": "UTF-8"}

    return {
        "FromEmailAddress": sender,
        "Destination": {"ToAddresses": [letter.to]},
        "Content": {
            "Simple": {
                "Subject": utf8(letter.subject),
                "Body": {"Text": utf8(letter.text), "Html": utf8(letter.html)},
                "Headers": [{"Name": name, "Value": value} for name, value in headers.items()],
            }
        },
        "EmailTags": [{"Name": MAIL_TAG, "Value": str(letter.mail_id)}],
    }


def _said(error: ClientError) -> Unreachable | Refused:
    """What SES's error means to us: later, or no."""
    answer = cast("dict[str, Any]", error.response)
    code = str(answer.get("Error", {}).get("Code", "unknown"))
    detail = str(answer.get("Error", {}).get("Message", ""))[:500]
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status >= 500 or status == 429 or code in LATER:
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return Unreachable(f"SES answered {code}: {detail}", retry_after_s=_seconds(headers.get("retry-after")))
    return Refused(f"SES answered {code}: {detail}", code=code)


def _seconds(retry_after: str | None) -> float | None:
    # The other form of Retry-After, a date, is not used by AWS; without a number the queue's own pause serves.
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
