"""Signing in to the pages and out again. A sign-in is a session like every other; it ends wherever sessions are ended.

A wrong password, an unknown address, somebody who is no admin and one who is suspended get the same answer after the
same time. A sign-in goes by steps: each proves something, and only the last one opens a session.
"""

import secrets
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.enums import RequestEncodingType
from litestar.response import Redirect

from api.admin.door import (
    COOKIE,
    FLASH_COOKIE,
    NONCE_COOKIE,
    OPEN,
    SIGN_IN,
    TOKEN_FIELD,
    Form,
    cookie,
    cookie_name,
    read_form,
    safe_next,
    seals_of,
    visit_cookie,
    visitor,
)
from api.admin.rendering import page
from api.admin.seals import FORM_S, Nonce, Visit
from api.auth import Asking
from api.requests import client_address
from models import accounts, audit, passwords, sessions
from models.accounts import Credentials, Role
from models.guard import commit
from models.sessions import SignIn
from wire.passwords import verify_password

WRONG: Final = "Address or password is wrong."
STALE: Final = "This form had lain open too long. Try again."
FORM: Final = {"media": RequestEncodingType.URL_ENCODED.value}
Asked = Request[Any, Any, Any]


async def prove_password(email: str, password: str) -> tuple[Credentials, str | None] | None:
    """The admin whose address and password these are, with a stronger hash if theirs is dated; None: refused.

    Whoever is refused waits as long: for one hash, of their own password or of nobody's, and for one row.
    """
    known = await accounts.read_credentials(email)
    fits, better = await verify_password(passwords.normal(password), known.password_hash if known else None)
    if known is None or not fits or known.suspended or known.role is not Role.ADMIN:
        return None
    return known, better


async def open_session(request: Asked, known: Credentials, better: str | None) -> SignIn:
    """The last step: what has to be proved is proved."""
    said, address = request.headers.get("user-agent", ""), client_address(request)

    async def begin() -> SignIn:
        if better is not None:
            await accounts.replace_hash(known.user_id, known.password_hash, better)
        begun = await sessions.begin(known.user_id, known.role, user_agent=said, ip_address=address)
        await audit.record(known.user_id, "admin.signed_in", "session", str(begun.session_id), {"ip_address": address})
        return begun

    return await commit(begin)


def form_page(
    request: Asked, *, wanted: str, email: str = "", wrong: str | None = None, status_code: int = 200
) -> Response[str]:
    """The sign-in form, tied to this browser by a cookie that no other site can read."""
    seals = seals_of(request)
    nonce = seals.read_nonce(request.cookies.get(cookie_name(request, NONCE_COOKIE), ""))
    nonce = Nonce(nonce.value if nonce else secrets.token_urlsafe(18), seals.now_s())
    shown = page(
        request,
        "sign_in.html",
        status_code=status_code,
        email=email,
        wrong=wrong,
        wanted=wanted,
        form_token=seals.form_token(f"sign-in {nonce.value}"),
    )
    shown.set_cookie(cookie(request, NONCE_COOKIE, seals.nonce_cookie(nonce), FORM_S))
    return shown


def _fits(request: Asked, token: str) -> bool:
    seals = seals_of(request)
    nonce = seals.read_nonce(request.cookies.get(cookie_name(request, NONCE_COOKIE), ""))
    return nonce is not None and seals.fits_form(f"sign-in {nonce.value}", token)


@get("/sign-in", opt=dict(OPEN))
async def show_sign_in(request: Asked) -> Response[Any]:
    """The form; whoever is signed in goes on to where they wanted."""
    wanted = safe_next(request.query_params.get("next", ""))
    if (await visitor(request))[1] is not None:
        return Redirect(wanted, status_code=303)
    return form_page(request, wanted=wanted)


@post("/sign-in", status_code=303, opt=OPEN | FORM)
async def sign_in(request: Asked) -> Response[Any]:
    """The first step: address and password. It is the only one yet, so it is also the last."""
    form = await read_form(request)
    wanted, email = safe_next(form.get("next", "")), form.get("email", "")
    if not _fits(request, form.get(TOKEN_FIELD, "")):
        return form_page(request, wanted=wanted, email=email, wrong=STALE, status_code=403)
    proved = await prove_password(email, form.get("password", ""))
    if proved is None:
        return form_page(request, wanted=wanted, email=email, wrong=WRONG, status_code=401)
    begun, now_s = await open_session(request, *proved), seals_of(request).now_s()
    answer = Redirect(wanted, status_code=303)
    answer.set_cookie(visit_cookie(request, Visit(begun.session_id, now_s, now_s)))
    answer.set_cookie(cookie(request, NONCE_COOKIE, "", 0))
    return answer


@post("/sign-out", status_code=303, opt=dict(FORM))
async def sign_out(request: Asked, caller: Asking, form: Form) -> Redirect:  # noqa: ARG001  its token is checked
    """End this session, and forget it."""
    await commit(sessions.revoke, caller.session_id, "signed_out")
    answer = Redirect(SIGN_IN, status_code=303)
    for name in (COOKIE, FLASH_COOKIE):
        answer.set_cookie(cookie(request, name, "", 0))
    return answer
