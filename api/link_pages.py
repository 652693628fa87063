"""The pages that mailed links lead to where no web app is configured. They work without JavaScript.

Scanners follow links, so a GET only shows a form and consumes nothing; no answer is kept by browsers, and no log line
has the query.
"""

from html import escape
from typing import Annotated, Any, Final

from litestar import MediaType, Request, Response, Router, get, post
from litestar.enums import RequestEncodingType
from litestar.params import Body, Parameter

from api.accounts import Verification, believe
from api.auth import PUBLIC
from api.passwords import FIELD, Reset, make_reset
from api.requests import MAX_ANONYMOUS_BODY_BYTES
from models.errors import DomainError, PasswordTooWeak
from models.passwords import MAX_CHARS, MIN_CHARS
from wire.tokens import MAX_TOKEN_CHARS

FORM: Final = {"media": RequestEncodingType.URL_ENCODED.value}
LinkToken = Annotated[str, Parameter(max_length=MAX_TOKEN_CHARS)]
Asked = Request[Any, Any, Any]

_STYLE: Final = (
    ":root{color-scheme:light dark}body{font:16px/1.6 system-ui,sans-serif;max-width:26rem;margin:16vh auto 0;"
    "padding:0 1.2rem}"
    "h1{font-size:1.5rem}button{font:inherit;border:0;border-radius:8px;padding:.7rem 1.4rem;color:#fff;"
    "background:#4f46e5;cursor:pointer}"
    "label{display:block}input{font:inherit;display:block;box-sizing:border-box;width:100%;margin:.3rem 0 1rem;"
    "padding:.6rem .8rem;border:1px solid #8888;border-radius:8px}.wrong{color:#d03030}"
)


@get("/verify-email", include_in_schema=False)
async def verification_page(token: LinkToken = "") -> Response[str]:
    """The page behind a link that proves an address: a button, nothing more."""
    button = f"{_hidden(token)}<button>Confirm my address</button>"
    return plain_page(f'<h1>Confirm your e-mail address</h1><form method="post" action="/verify-email">{button}</form>')


@post("/verify-email", status_code=200, include_in_schema=False, opt=dict(FORM))
async def verification_pressed(
    request: Asked, data: Annotated[Verification, Body(media_type=RequestEncodingType.URL_ENCODED)]
) -> Response[str]:
    """The button of that page."""
    try:
        await believe(request, data.token)
    except DomainError as refusal:
        return refusal_page(refusal)
    return plain_page("<h1>Thank you</h1><p>Your address is confirmed. You can close this page.</p>")


@get("/reset-password", include_in_schema=False)
async def reset_page(token: LinkToken = "") -> Response[str]:
    """The page behind a reset link: a form for the new password, nothing more."""
    return _reset_form(token)


@post("/reset-password", status_code=200, include_in_schema=False, opt=dict(FORM))
async def reset_pressed(
    request: Asked, data: Annotated[Reset, Body(media_type=RequestEncodingType.URL_ENCODED)]
) -> Response[str]:
    """The button of that page. A password that is too weak shows the form again: the link has not been used."""
    try:
        await make_reset(request, data)
    except PasswordTooWeak as refusal:
        return _reset_form(data.token, refusal.detail)
    except DomainError as refusal:
        return refusal_page(refusal)
    return plain_page("<h1>Your new password is set</h1><p>You are signed out everywhere. Sign in with it.</p>")


def _reset_form(token: str, wrong: str = "") -> Response[str]:
    said = f'<p class="wrong" role="alert">{escape(wrong)}</p>' if wrong else ""
    # No `maxlength`: a browser would cut a long password without a word.
    field = (
        f'<label for="{FIELD}">New password</label><input id="{FIELD}" name="{FIELD}" type="password" required'
        f' autocomplete="new-password" minlength="{MIN_CHARS}" aria-describedby="rule">'
    )
    rule = (
        f'<p id="rule">{MIN_CHARS} to {MAX_CHARS} characters, with an upper-case letter, a lower-case letter, a digit'
        " and a symbol.</p>"
    )
    form = f"{_hidden(token)}{field}{rule}<button>Set my new password</button>"
    return plain_page(
        f'<h1>Choose a new password</h1>{said}<form method="post" action="/reset-password">{form}</form>',
        status_code=422 if wrong else 200,
    )


def refusal_page(refusal: DomainError) -> Response[str]:
    """The page for a link that does not work."""
    return plain_page(f"<h1>That did not work</h1><p>{escape(refusal.detail)}</p>", status_code=422)


def _hidden(token: str) -> str:
    return f'<input type="hidden" name="token" value="{escape(token)}">'


def plain_page(body: str, *, status_code: int = 200) -> Response[str]:
    """A page of our plain kind: it loads nothing, and its forms come back to us."""
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>MegiLance</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
    )
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return Response(
        f"{head}<body>{body}</body></html>",
        status_code=status_code,
        media_type=MediaType.HTML,
        headers={"Content-Security-Policy": policy},
    )


pages = Router(
    "/",
    route_handlers=[verification_page, verification_pressed, reset_page, reset_pressed],
    opt=dict(PUBLIC),
    request_max_body_size=MAX_ANONYMOUS_BODY_BYTES,
)
