"""Sending mails: a row becomes a letter in two forms, the letter goes to SES, the row is marked sent.

Refuses a template with a hole in it, and lets nothing that somebody typed become a header, markup or a link.
"""

import asyncio
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import formataddr, parseaddr
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import jinja2
import msgspec
import structlog

import settings
from models import guard, mail
from models.errors import Refused
from models.jobs import SendMail
from models.letters import MailKind, NewSignIn, SecurityCode
from models.mail import Outgoing
from models.money import Money
from tasks.gateways.post import Letter, Post
from tasks.job import Claim, performs
from wire.tokens import Purpose, Tokens

TEMPLATES: Final = Path(__file__).parent.parent / "templates" / "mail"

TITLE_CHARS: Final = 80
"""The most of anything somebody typed that a mail repeats; a reader recognises a title by less."""
SUBJECT_CHARS: Final = 120
"""The most of a subject. Mail clients show 40 to 80, so what matters stands in front."""

JOINERS: Final = "\u200c\u200d"
"""Format characters that spelling (Persian) and emoji need; the others can only reorder or hide."""

PROJECT_PAGE: Final = "/projects/{}"
CONTRACT_PAGE: Final = "/contracts/{}"
VERIFY_PAGE: Final = "/verify-email?token={}"
RESET_PAGE: Final = "/reset-password?token={}"
"""Where buttons lead: below FRONTEND_URL, and for the last two below the API when there is no web app."""

LINKS: Final = {
    MailKind.EMAIL_VERIFICATION: (Purpose.EMAIL_VERIFICATION, "verify_url", VERIFY_PAGE),
    MailKind.EMAIL_CHANGE: (Purpose.EMAIL_CHANGE, "verify_url", VERIFY_PAGE),
    MailKind.PASSWORD_RESET_REQUEST: (Purpose.PASSWORD_RESET, "reset_url", RESET_PAGE),
}
"""Which mails carry a single-use link: what it is good for, its word in the templates, and its page."""
UNSUBSCRIBABLE: Final = (MailKind.SAVED_SEARCH_ALERT,)
UNSUBSCRIBE_PAGE: Final = "/api/unsubscribe?token={}"
"""Mails that can be ended by whoever holds one, without a sign-in; always below the API, which mail programs call."""

# Looked for in this order: each of them also says that it is one of those further down, or all of them.
BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
    ("curl", "curl"),
)
SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)

log = structlog.get_logger(__name__)


@performs(SendMail)
async def send_mail(job: SendMail, claim: Claim) -> None:
    """Send one mail and record the id the provider gave it. A mail that was sent is not sent again.

    Between the provider's yes and our commit lies the one window for a duplicate: a crash there, or an answer lost on
    the way, sends the mail once more. Both copies carry the same X-MegiLance-Mail and the same link. The other order
    would lose mails instead.
    """
    outgoing = await guard.commit(mail.begin_sending, job.mail_id)
    if outgoing is None:
        return
    letter = render(outgoing, settings.load())
    post = await asyncio.to_thread(_post, settings.load().post)
    try:
        provider_id = await post.send(letter)
    except Refused as no:
        log.warning("mail.refused", mail_id=job.mail_id, code=no.code, detail=no.detail.replace(letter.to, "(address)"))
        # The job may belong to somebody else than the recipient, whose address the provider's words may hold.
        await claim.fail(no.code, "The mail provider refused this mail.", mail.mark_refused, job.mail_id)
        return
    await claim.complete(mail.mark_sent, job.mail_id, provider_id)


@cache
def _post(account: settings.Post) -> Post:
    # A desk says only where mails come from; a mailbox shows a name.
    name, address = parseaddr(account.sender)
    return Post(msgspec.structs.replace(account, sender=formataddr((name or "MegiLance", address))))


def render(outgoing: Outgoing, told: settings.Settings) -> Letter:
    """The letter that a mail row becomes: the same one at every call, its link included.

    Raises jinja2.UndefinedError when a template asks for what its kind does not declare.
    """
    words = _words(outgoing, told)
    text = _environment().get_template(f"{outgoing.kind.value}.txt")
    subject = one_line("".join(text.blocks["subject"](text.new_context(words))), SUBJECT_CHARS)
    html = _environment().get_template(f"{outgoing.kind.value}.html")
    return Letter(
        mail_id=outgoing.mail_id,
        to=outgoing.address,
        subject=subject,
        html=html.render(words, subject=subject),
        text=_tidy(text.render(words)),
        headers=_unsubscribing(words),
    )


def _unsubscribing(words: dict[str, Any]) -> dict[str, str]:
    """The headers by which a mail program shows a button of its own (RFC 2369, and RFC 8058 for one click)."""
    if "unsubscribe_url" not in words:
        return {}
    return {
        "List-Unsubscribe": f"<{words['unsubscribe_url']}>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
    }


def _words(outgoing: Outgoing, told: settings.Settings) -> dict[str, Any]:
    """Everything a template may say: the kind's context, the recipient, and the pages they lead to."""
    web_app, context = told.web.frontend_url, msgspec.structs.asdict(outgoing.context)
    words: dict[str, Any] = {
        name: (one_name if name.endswith("_name") else one_line)(value) if isinstance(value, str) else value
        for name, value in context.items()
    }
    words |= {
        "first_name": one_name(outgoing.first_name) or "there",
        "role": outgoing.role,
        # Without a web app the API serves no pages but the mailed links' own: then there is no button.
        "home_url": web_app,
    }
    for field, page in (("project_id", PROJECT_PAGE), ("contract_id", CONTRACT_PAGE)):
        if field in context:
            words[field.replace("_id", "_url")] = web_app and web_app + page.format(context[field])
    if isinstance(outgoing.context, NewSignIn):
        words |= {"at": moment(outgoing.context.at), "device": device_words(outgoing.context.device)}
    return words | _secrets(outgoing, told)


def _secrets(outgoing: Outgoing, told: settings.Settings) -> dict[str, str]:
    """What opens something: derived here, each time the same, and written nowhere but into the letter."""
    tokens = Tokens(told.tokens.key, told.tokens.old_keys)
    if isinstance(outgoing.context, SecurityCode):
        assert outgoing.code_sent_at is not None, f"mail {outgoing.mail_id} names a code that is not there"
        return {"code": tokens.code(outgoing.context.code_id, outgoing.code_sent_at)}
    if outgoing.kind in UNSUBSCRIBABLE:
        token = tokens.link_token(Purpose.UNSUBSCRIBE, outgoing.mail_id, outgoing.created_at)
        return {"unsubscribe_url": told.web.public_url + UNSUBSCRIBE_PAGE.format(quote(token, safe="="))}
    if outgoing.kind not in LINKS:
        return {}
    purpose, word, page = LINKS[outgoing.kind]
    token = tokens.link_token(purpose, outgoing.mail_id, outgoing.created_at)
    return {word: (told.web.frontend_url or told.web.public_url) + page.format(quote(token, safe="="))}


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(("html",)),
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Callable[..., str]] = {"money": money, "short": one_line}
    environment.filters.update(filters)
    return environment


def money(minor: int, currency: str) -> str:
    """An amount as mails write it: `1,200.00 USD`."""
    return str(Money(minor, currency))


def moment(at: datetime) -> str:
    """A time as mails write it: `22 November 2026, 23:15 UTC`."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def device_words(user_agent: str) -> str:
    """What a browser says of itself, in words people know: `Firefox on Linux`. It may lie; nothing is guessed."""
    browser = next((name for mark, name in BROWSERS if f"{mark}/" in user_agent), "")
    system = next((name for mark, name in SYSTEMS if mark in user_agent), "")
    return " on ".join(part for part in (browser or (system and "A browser"), system) if part) or "An unknown device"


def one_line(text: str, limit: int = TITLE_CHARS) -> str:
    """The text on one line, at most `limit` characters, without characters that hide or reorder what is read."""
    spaced = " ".join(text.split())
    kept = "".join(one for one in spaced if one in JOINERS or unicodedata.category(one) not in ("Cc", "Cf", "Cs"))
    if len(kept) <= limit:
        return kept
    cut = kept[: limit - 1]
    while cut and (cut[-1] in JOINERS or unicodedata.combining(cut[-1])):
        cut = cut[:-1]
    return cut.rstrip() + "…"


def one_name(text: str, limit: int = 50) -> str:
    """A person's name on one line, in which no mail client finds a link.

    Whoever registers somebody else's address chooses the name in the mail that we send there: `Win at evil.com` must
    not become a link in our colours.
    """
    return one_line(re.sub(r"[/:@]+", " ", re.sub(r"(?<=\w)\.(?=\w)", ". ", text)), limit)


def _tidy(text: str) -> str:
    """A text body with no trailing spaces and never more than one empty line, as branches in templates leave them."""
    lines = (line.rstrip() for line in text.strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"
