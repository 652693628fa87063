"""One text message as Twilio is asked to send it, and what it answers: the message's own JSON, or one of its errors."""

import re
import secrets
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl

import msgspec

from sandbox.stripe.wire import Object

MAX_CHARS = 1600
SEGMENT_CHARS = 160
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)


class Message(msgspec.Struct, kw_only=True):
    """What arrived, as the page shows it and the JSON gives it."""

    sid: str
    account_sid: str
    to: str
    from_: str = msgspec.field(name="from")
    body: str
    at: str


class Refused(Exception):
    """Twilio says no: its code, its words and the status."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.status = status

    def render(self) -> Object:
        """The error's body."""
        more = f"https://www.twilio.com/docs/errors/{self.code}"
        return {"code": self.code, "message": str(self), "more_info": more, "status": self.status}


def read_message(account_sid: str, form: bytes) -> Message:
    """The message of a form. Raises Refused for one that Twilio would not take."""
    try:
        asked = dict(parse_qsl(form.decode("ascii"), keep_blank_values=True, strict_parsing=True))
    except ValueError:
        asked = {}
    to, sender, body = (asked.get(name, "") for name in ("To", "From", "Body"))
    if not to:
        raise Refused(21604, "A 'To' phone number is required.")
    if not _NUMBER.fullmatch(to):
        raise Refused(21211, f"Invalid 'To' Phone Number: {to}")
    if not sender:
        raise Refused(21603, "A 'From' phone number is required.")
    if not _NUMBER.fullmatch(sender):
        raise Refused(21212, f"Invalid From Number (caller ID): {sender}")
    if not body:
        raise Refused(21602, "Message body is required.")
    if len(body) > MAX_CHARS:
        raise Refused(21617, f"The concatenated message body exceeds the {MAX_CHARS} character limit")
    # The id begins with the time in hexadecimal microseconds, so file names sort by age; Twilio's look alike.
    sid = f"SM{time.time_ns() // 1000:016x}{secrets.token_hex(8)}"
    at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return Message(sid=sid, account_sid=account_sid, to=to, from_=sender, body=body, at=at)


def render(message: Message) -> Object:
    """The message as Twilio answers it when it has taken it."""
    made = format_datetime(datetime.fromisoformat(message.at))
    return {
        "sid": message.sid,
        "account_sid": message.account_sid,
        "api_version": "2010-04-01",
        "to": message.to,
        "from": message.from_,
        "body": message.body,
        "status": "queued",
        "direction": "outbound-api",
        "num_segments": str(-(-len(message.body) // SEGMENT_CHARS)),
        "num_media": "0",
        "messaging_service_sid": None,
        "price": None,
        "price_unit": "USD",
        "error_code": None,
        "error_message": None,
        "date_created": made,
        "date_updated": made,
        "date_sent": None,
        "uri": f"/2010-04-01/Accounts/{message.account_sid}/Messages/{message.sid}.json",
        "subresource_uris": {},
    }
