"""Every mail has its pair of templates, says only what its kind declares, and stays itself whatever people typed."""

import re
import unicodedata
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from typing import Any

import jinja2
import jinja2.meta
import msgspec
import pytest

import settings
from models import mail, notifications
from models.letters import CATEGORIES, CONTEXTS, Context, MailKind
from models.mail import Outgoing
from models.notifications import NotificationType
from models.preferences import Category
from tasks import mail as mailing
from tasks.gateways.post import Letter
from wire.tokens import BadToken, Purpose, Tokens

WEB_APP = "https://app.example.org"
GMAIL_CLIPS_BYTES = 102_000
FRAME = {"preheader", "label", "heading", "figure", "facts", "action", "action_url", "subject"}
"""What a mail gives its frame."""

SAMPLES: dict[str, Any] = {
    "project_id": 7,
    "project_title": "Brand identity for a bakery",
    "budget_type": "hourly",
    "budget_min_minor": 100_000,
    "budget_max_minor": 250_000,
    "proposal_id": 3,
    "freelancer_name": "Aisha Khan",
    "client_name": "Marco Rossi",
    "other_name": "Aisha Khan",
    "bid_minor": 120_000,
    "delivery_days": 14,
    "contract_id": 27,
    "milestone_id": 41,
    "milestone_title": "Logo and colour palette",
    "amount_minor": 40_000,
    "gross_minor": 40_000,
    "fee_minor": 4_000,
    "net_minor": 36_000,
    "currency": "USD",
    "how": "reset",
    "method": "totp",
    "factors_left": 0,
    "at": datetime(2026, 11, 22, 23, 15, tzinfo=UTC),
    "ip_address": "203.0.113.7",
    "device": "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "place": "Hamburg, DE",
    "code_id": 5,
    "purpose": "sign_in",
    "new_address_hint": "m…@example.org",
    "conversation_id": 9,
    "sender_name": "Aisha Khan",
    "unread": 3,
    "monday": date(2026, 11, 16),
    "minutes": 1_965,
    "ticket_id": 12,
    "ticket_subject": "My payout has not arrived",
    "review_id": 19,
    "reviewer_name": "Aisha Khan",
    "rating": 5,
    "note": "The logo is too small on phones.",
    "days_left": 7,
    "search_id": 11,
    "search_name": "Logos for bakeries",
    "reason": "We agreed on two pages, and there is one.",
    "answer": "accepted",
    "dispute_id": 9,
    "freelancer_minor": 30_000,
    "client_minor": 10_000,
    "is_final": False,
}

PATHS = {
    MailKind.EMAIL_VERIFICATION: "/verify-email?token=",
    MailKind.EMAIL_CHANGE: "/verify-email?token=",
    MailKind.PASSWORD_RESET_REQUEST: "/reset-password?token=",
    MailKind.SAVED_SEARCH_ALERT: "/api/unsubscribe?token=",
}
"""Where the mails lead that carry a link of their own."""
UNLINKED = {MailKind.SECURITY_CODE}
"""A mail with a code leads nowhere: whoever reads it is where the code is to be typed."""

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "Bob\r\nBcc: eve@evil.example",
    "Bob\u2028Bcc: eve\x00\x1b[31m",
    "\u202eevil\u202c \u2067name\u2069",
    "{{ 7 * 191 }}{% raw %}",
    "Win now at https://www.evil.example/x",
    "é\u0301" * 200,
    "x" * 10_000,
]

kinds = pytest.mark.parametrize("kind", list(MailKind))


def told(web_app: str = WEB_APP) -> settings.Settings:
    return settings.parse(
        {
            "DATABASE_URL": "postgresql:///x",
            "REDIS_URL": "redis://x",
            "SECRET_KEY": "k" * 40,
            "FRONTEND_URL": web_app,
            "API_PUBLIC_URL": "https://api.example.org",
        }
    )


def context_of(kind: MailKind, **changed: Any) -> Context:
    declared = CONTEXTS[kind]
    return declared(**{name: (SAMPLES | changed)[name] for name in declared.__struct_fields__})


def letter(
    kind: MailKind, *, role: str = "client", first_name: str = "Marco", web_app: str = WEB_APP, **changed: Any
) -> Letter:
    outgoing = Outgoing(
        mail_id=123,
        kind=kind,
        user_id=1,
        address="marco@example.org",
        first_name=first_name,
        last_name="Rossi",
        role=role,
        context=context_of(kind, **changed),
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
        code_sent_at=datetime(2026, 11, 22, tzinfo=UTC) if kind is MailKind.SECURITY_CODE else None,
    )
    return mailing.render(outgoing, told(web_app))


def typed_by_people(kind: MailKind) -> list[str]:
    names = ("_title", "_name", "_hint", "_subject")
    return [name for name in CONTEXTS[kind].__struct_fields__ if name.endswith(names) or name == "place"]


def test_each_kind_has_its_pair_and_there_is_no_other() -> None:
    wanted = {f"{name}.{form}" for name in ("base", *MailKind) for form in ("html", "txt")}

    assert {path.name for path in mailing.TEMPLATES.iterdir()} == wanted


@kinds
def test_a_template_names_only_what_its_kind_declares(kind: MailKind) -> None:
    # From the syntax tree, so that branches which no sample takes are held to it too.
    words = {"first_name", "role", "home_url"} | set(CONTEXTS[kind].__struct_fields__)
    words |= {field.replace("_id", "_url") for field in ("project_id", "contract_id") if field in words}
    words |= {mailing.LINKS[kind][1]} if kind in mailing.LINKS else set()
    words |= {"unsubscribe_url"} if kind in mailing.UNSUBSCRIBABLE else set()
    words |= {"code"} if kind is MailKind.SECURITY_CODE else set()
    environment = mailing._environment()
    for form in ("html", "txt"):
        source = (mailing.TEMPLATES / f"{kind.value}.{form}").read_text()
        assert jinja2.meta.find_undeclared_variables(environment.parse(source)) - words == set()
    frame = (mailing.TEMPLATES / "base.html").read_text()
    assert jinja2.meta.find_undeclared_variables(environment.parse(frame)) == FRAME | {"first_name"}


@kinds
@pytest.mark.parametrize("role", ["client", "freelancer", "admin"])
@pytest.mark.parametrize("web_app", [WEB_APP, ""])
def test_a_mail_is_whole_for_every_reader(kind: MailKind, role: str, web_app: str) -> None:
    made = letter(kind, role=role, web_app=web_app)

    assert 10 <= len(made.subject) <= mailing.SUBJECT_CHARS
    assert "Hello Marco," in made.text
    assert len(made.html.encode()) < GMAIL_CLIPS_BYTES
    assert not re.search(r"\{\{|\}\}|\{%|None|Undefined|\n\n\n", made.text)
    assert not re.search(r"\{\{|\{%|>None<|Undefined", made.html)
    assert max(len(line) for line in made.text.splitlines() if not line.startswith("http")) <= 78
    for name in typed_by_people(kind):
        assert SAMPLES[name] in made.text
        assert SAMPLES[name] in made.html
    assert_well_formed(made.html)


@kinds
def test_html_loads_nothing_and_leads_only_to_our_pages(kind: MailKind) -> None:
    made = letter(kind)

    assert not re.search(r"<img|<link|<script|<iframe|<form|\bsrc=|url\(|@import|\bon\w+=", made.html)
    hrefs = re.findall(r'href="([^"]+)"', made.html)
    if kind in UNLINKED:
        assert "http" not in made.html + made.text
        return
    if kind in mailing.UNSUBSCRIBABLE:
        ending = hrefs.pop()
        assert ending.startswith("https://api.example.org/api/unsubscribe?token=")
        assert ending in made.text
        assert made.headers == {
            "List-Unsubscribe": f"<{ending}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        }
    else:
        assert made.headers == {}
    assert len(set(hrefs)) == 1
    assert hrefs[0].startswith(WEB_APP)
    assert made.html.count(f">{hrefs[0]}<") == 1, "the address stands below the button as text"
    assert hrefs[0] in made.text


@kinds
def test_without_a_web_app_there_is_no_dead_button(kind: MailKind) -> None:
    made = letter(kind, web_app="")

    links = set(re.findall(r"https?://[^\s\"<]+", made.text))
    assert links == set(re.findall(r'href="([^"]+)"', made.html))
    wanted = [f"https://api.example.org{PATHS[kind]}"] if kind in PATHS else []
    assert [link.split("token=")[0] + "token=" for link in links] == wanted


@kinds
@pytest.mark.parametrize("typed", HOSTILE)
def test_what_people_type_stays_text_on_one_line(kind: MailKind, typed: str) -> None:
    made = letter(kind, first_name=typed, **dict.fromkeys(typed_by_people(kind), typed))

    assert_harmless(made.subject)
    assert len(made.subject) <= mailing.SUBJECT_CHARS
    assert "<script" not in made.html
    assert "<img" not in made.html
    assert "1337" not in made.text + made.html
    for body in (made.text, made.html):
        assert not re.search(r"^\s*Bcc:", body, re.MULTILINE)
        assert len(body) < 20_000
        for line in body.splitlines():
            assert_harmless(line)
    assert_well_formed(made.html)


@pytest.mark.parametrize("kind", [MailKind.WELCOME_EMAIL, MailKind.EMAIL_VERIFICATION, MailKind.EMAIL_CHANGE])
def test_a_name_puts_no_link_into_a_mail_to_a_stranger(kind: MailKind) -> None:
    made = letter(kind, first_name="Win at https://www.evil.example/x or eve@evil.example")

    assert not re.search(r"\w\.evil|evil\.example|//www|@evil", made.text + made.html)


def test_a_name_of_nothing_visible_is_greeted_all_the_same() -> None:
    assert "Hello there," in letter(MailKind.WELCOME_EMAIL, first_name=" \u202e\u200b ").text


def test_ordinary_names_stay_as_they_are() -> None:
    for name in (
        "J. R. Smith",
        "Łukasz Żółć",
        "O'Brien-Núñez",
        "محمد علی",
        "نیم\u200cرخ",
        "田中 太郎",
        "Zoë 👩\u200d💻",
    ):
        assert mailing.one_name(name) == name


def test_a_long_title_ends_in_an_ellipsis_and_never_within_a_letter() -> None:
    assert mailing.one_line("x" * 80) == "x" * 80
    assert mailing.one_line("x" * 81) == "x" * 79 + "…"
    assert mailing.one_line("e\u0301" * 80, 4) == "e\u0301e…"
    assert mailing.one_line("a b c", 3) == "a…"


@pytest.mark.parametrize(
    ("minor", "currency", "written"),
    [
        (120_000, "USD", "1,200.00 USD"),
        (5, "EUR", "0.05 EUR"),
        (1_234_567, "JPY", "1,234,567 JPY"),
        (0, "USD", "0.00 USD"),
    ],
)
def test_money_is_written_with_its_decimals(minor: int, currency: str, written: str) -> None:
    assert mailing.money(minor, currency) == written


def test_the_fee_adds_up_before_the_reader() -> None:
    made = letter(MailKind.PAYMENT_RECEIVED, role="freelancer")

    assert made.subject == "You received 360.00 USD"
    for amount in ("400.00 USD", "-40.00 USD", "360.00 USD"):
        assert amount in made.text


@pytest.mark.parametrize(
    ("kind", "changed", "said", "unsaid"),
    [
        (MailKind.PASSWORD_RESET_SUCCESS, {"how": "changed"}, "has just been changed", "reset with a link"),
        (MailKind.PASSWORD_RESET_SUCCESS, {"how": "reset"}, "reset with a link", "has just been changed"),
        (MailKind.TWO_FA_ENABLED, {"method": "webauthn"}, "a passkey", "authenticator"),
        (MailKind.TWO_FA_ENABLED, {"method": "sms"}, "codes by text message", "passkey"),
        (MailKind.TWO_FA_DISABLED, {"factors_left": 0}, "Your password alone opens it now", "It still has"),
        (MailKind.TWO_FA_DISABLED, {"factors_left": 1}, "It still has another second factor.", "password alone"),
        (MailKind.TWO_FA_DISABLED, {"factors_left": 3}, "It still has 3 other second factors.", "password alone"),
        (MailKind.NEW_SIGN_IN, {"place": ""}, "Firefox on Linux", "Place"),
        (MailKind.NEW_SIGN_IN, {"ip_address": ""}, "22 November 2026, 23:15 UTC", "IP address"),
        (MailKind.REFUND_ANSWERED, {"answer": "accepted"}, "agrees", "declined"),
        (MailKind.REFUND_ANSWERED, {"answer": "declined"}, "does not agree", "protected"),
        (MailKind.REFUND_ANSWERED, {"answer": "lapsed"}, "did not answer for 7 days", "declined"),
        (MailKind.DISPUTE_RESOLVED, {"is_final": False}, "you can appeal once", "last word"),
        (MailKind.DISPUTE_RESOLVED, {"is_final": True}, "This is the last word", "you can appeal"),
        (MailKind.SECURITY_CODE, {"purpose": "enrol"}, "to confirm this address as a second factor", "to sign in"),
        (MailKind.SECURITY_CODE, {"purpose": "step_up"}, "to confirm that it is you", "to sign in"),
    ],
)
def test_a_mail_about_safety_says_what_happened(
    kind: MailKind, changed: dict[str, Any], said: str, unsaid: str
) -> None:
    made = letter(kind, **changed)

    for body in (" ".join(made.text.split()), made.html):
        assert said in body
        assert unsaid not in body


def test_a_code_is_derived_where_it_is_rendered_and_stands_in_no_subject() -> None:
    made = letter(MailKind.SECURITY_CODE)
    digits = Tokens("k" * 40).code(5, datetime(2026, 11, 22, tzinfo=UTC))

    assert f"  {digits}\n" in made.text
    assert f">{digits}</div>" in made.html, "in one piece, so that it can be copied"
    assert digits not in made.subject


@pytest.mark.parametrize(
    ("kind", "purpose"),
    [
        (MailKind.EMAIL_VERIFICATION, Purpose.EMAIL_VERIFICATION),
        (MailKind.EMAIL_CHANGE, Purpose.EMAIL_CHANGE),
        (MailKind.PASSWORD_RESET_REQUEST, Purpose.PASSWORD_RESET),
    ],
)
def test_a_link_is_good_for_its_own_purpose_and_no_other(kind: MailKind, purpose: Purpose) -> None:
    (link,) = set(re.findall(r"https://\S+", letter(kind).text))
    address, token = link.split("?token=")

    assert f"{address}?token=" == WEB_APP + PATHS[kind]
    for each in Purpose:
        if each is purpose:
            assert Tokens("k" * 40).read_link(each, token, 10**9) == 123
        else:
            with pytest.raises(BadToken):
                Tokens("k" * 40).read_link(each, token, 10**9)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0 Safari/537.36 Edg/142.0", "Edge on Windows"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/142.0 Safari/537.36", "Chrome on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) AppleWebKit/605 Version/26.0 Safari/605", "Safari on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) CriOS/142.0 Safari/604.1", "Chrome on iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 Chrome/142.0 Mobile Safari/537.36", "Chrome on Android"),
        ("Mozilla/5.0 (Linux; unheard of)", "A browser on Linux"),
        ("curl/8.5.0", "curl"),
        ("", "An unknown device"),
        ("<b>Firefox</b>", "An unknown device"),
    ],
)
def test_a_device_is_named_in_words_people_know(said: str, words: str) -> None:
    assert mailing.device_words(said) == words


def test_every_kind_of_news_has_a_category() -> None:
    assert set(CATEGORIES) == set(MailKind)
    assert set(notifications.CATEGORIES) == set(NotificationType)
    assert Category.SECURITY not in notifications.CATEGORIES.values()
    assert set(mail.LINKED) == set(mailing.LINKS) <= set(mail.GOOD_FOR_S)


def test_the_same_mail_is_the_same_at_every_rendering() -> None:
    for kind in MailKind:
        assert msgspec.json.encode(letter(kind)) == msgspec.json.encode(letter(kind))


def assert_harmless(line: str) -> None:
    hidden = {one for one in line if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")}
    assert hidden <= set(mailing.JOINERS), f"{line!r} hides {hidden!r}"


class _Balance(HTMLParser):
    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002  the parser names it
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, f"</{tag}> closes another element"


def assert_well_formed(html: str) -> None:
    balance = _Balance()
    balance.feed(html)
    balance.close()
    assert balance.open == []


@pytest.mark.parametrize("kind", [MailKind.CONTRACT_CREATED, MailKind.PROPOSAL_ACCEPTED])
@pytest.mark.parametrize("role", ["client", "freelancer"])
def test_an_hourly_contract_has_a_rate_and_no_milestone(kind: MailKind, role: str) -> None:
    hourly = letter(kind, role=role, budget_type="hourly")
    fixed = letter(kind, role=role, budget_type="fixed")

    for told_so, otherwise in ((hourly.text, fixed.text), (hourly.html, fixed.html)):
        assert "400.00 USD an hour" in told_so
        assert "milestone" not in told_so
        assert "an hour" not in otherwise
        assert "milestone" in otherwise
