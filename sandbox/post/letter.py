"""One message as SES is asked to send it: read from the API's JSON, whether given in parts or as raw MIME."""

import base64
import binascii
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses

import msgspec

from sandbox.stripe.wire import Object

RECIPIENTS_MAX = 50
"""SES's limit on one message."""
_ADDRESS = re.compile(r"[^@\s<>\"]+@[^@\s<>\"]+")


class Letter(msgspec.Struct, kw_only=True):
    """What arrived, as the page shows it and the JSON gives it."""

    id: str
    to: list[str]
    from_: str = msgspec.field(name="from")
    subject: str
    html: str
    text: str
    at: str
    headers: dict[str, str]
    cc: list[str] = []
    bcc: list[str] = []
    reply_to: list[str] = []
    tags: dict[str, str] = {}


class Refused(Exception):
    """SES says no: the exception's name in its API, and the status."""

    def __init__(self, name: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.name = name
        self.status = status


def _text(place: Object, *path: str) -> str:
    value: object = place
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _addresses(asked: Object, name: str) -> list[str]:
    given = asked.get(name) or []
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise Refused("BadRequestException", f"{name} must be a list of addresses.")
    return given


def _check(letter: Letter) -> Letter:
    everyone = [*letter.to, *letter.cc, *letter.bcc]
    if not everyone:
        raise Refused("BadRequestException", "At least one recipient is required.")
    if len(everyone) > RECIPIENTS_MAX:
        raise Refused("BadRequestException", f"Recipient count exceeds {RECIPIENTS_MAX}.")
    for _, address in getaddresses([*everyone, letter.from_]):
        if not _ADDRESS.fullmatch(address):
            raise Refused("BadRequestException", "Missing or malformed address.")
    return letter


def read_letter(asked: Object, message_id: str, at: str) -> Letter:
    """The message of a SendEmail request. Raises Refused for one that SES would not take."""
    destination = asked.get("Destination") or {}
    content = asked.get("Content") or {}
    letter = Letter(
        id=message_id,
        to=_addresses(destination, "ToAddresses"),
        cc=_addresses(destination, "CcAddresses"),
        bcc=_addresses(destination, "BccAddresses"),
        reply_to=_addresses(asked, "ReplyToAddresses"),
        from_=_text(asked, "FromEmailAddress"),
        subject="",
        html="",
        text="",
        at=at,
        headers={},
        tags={_text(tag, "Name"): _text(tag, "Value") for tag in asked.get("EmailTags") or []},
    )
    if isinstance(content.get("Simple"), dict):
        return _check(_read_simple(letter, content["Simple"]))
    if isinstance(content.get("Raw"), dict):
        return _check(_read_raw(letter, content["Raw"]))
    raise Refused("BadRequestException", "Content must have Simple or Raw; the sandbox keeps no templates.")


def _read_simple(letter: Letter, simple: Object) -> Letter:
    letter.subject = _text(simple, "Subject", "Data")
    letter.html = _text(simple, "Body", "Html", "Data")
    letter.text = _text(simple, "Body", "Text", "Data")
    if not letter.html and not letter.text:
        raise Refused("BadRequestException", "The message needs a text or an HTML body.")
    if not letter.from_:
        raise Refused("BadRequestException", "FromEmailAddress is required.")
    letter.headers = {"From": letter.from_, "To": ", ".join(letter.to), "Subject": letter.subject}
    if letter.cc:
        letter.headers["Cc"] = ", ".join(letter.cc)
    if letter.reply_to:
        letter.headers["Reply-To"] = ", ".join(letter.reply_to)
    letter.headers |= {_text(one, "Name"): _text(one, "Value") for one in simple.get("Headers") or []}
    return letter


def _read_raw(letter: Letter, raw: Object) -> Letter:
    try:
        data = base64.b64decode(_text(raw, "Data"), validate=True)
    except binascii.Error:
        raise Refused("BadRequestException", "Raw.Data is not base64.") from None
    message = message_from_bytes(data, _class=EmailMessage, policy=policy.default)
    letter.headers = {name: str(value) for name, value in message.items()}
    letter.subject = str(message.get("Subject", ""))
    letter.from_ = letter.from_ or str(message.get("From", ""))
    if not (letter.to or letter.cc or letter.bcc):
        letter.to = [address for _, address in getaddresses([str(one) for one in message.get_all("To", [])])]
        letter.cc = [address for _, address in getaddresses([str(one) for one in message.get_all("Cc", [])])]
    for kind in ("html", "plain"):
        part = message.get_body((kind,))
        if part is None:
            continue
        if kind == "html":
            letter.html = part.get_content()
        else:
            letter.text = part.get_content()
    return letter
