"""Signing in to the pages and out again. A sign-in is a session like every other; it ends wherever sessions are ended.

Two steps: a password opens a ticket, and a code from an app, or a backup code, the session. A wrong password, an
unknown address, somebody who is no admin and one who is suspended get the same answer after the same time; an admin
without an authenticator app is told how to get one, and stays outside.
"""

import secrets
from math import ceil
from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.enums import RequestEncodingType
from litestar.response import Redirect

from api.admin.door import (
    BEGUN_COOKIE,
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
from api.admin.rendering import duration, page
from api.admin.seals import BEGUN_S, FORM_S, Begun, Nonce, Visit
from api.auth import Asking
from api.proofs import MAX_CODE_CHARS, WRONG_CODE, prove_second_factor
from api.requests import visitor_of
from api.sign_in import Proved, prove
from models import audit, sessions
from models import sign_in as entrance
from models.accounts import Role
from models.errors import (
    AccountSuspended,
    CredentialsWrong,
    Invalid,
    SecondFactorRequired,
    SecondFactorWrong,
    Throttled,
    TokenInvalid,
)
from models.factors import Method
from models.guard import commit
from models.sessions import SignIn
from models.sign_in import Challenge
from models.tickets import Purpose

STALE: Final = "This form had lain open too long. Try again."
CODE: Final = f"{SIGN_IN}/code"
PROOFS: Final = frozenset({Method.TOTP, Method.BACKUP_CODE})
"""What can be typed into a page. Passkeys need a script, and codes that are sent a sender: they are no admin's."""
FORM: Final = {"media": RequestEncodingType.URL_ENCODED.value}
Asked = Request[Any, Any, Any]


async def begin_sign_in(request: Asked, email: str, password: str, *, wanted: str) -> Begun | None:
    """What an admin's address and password begin, on the way to the page `wanted`; None: refused.

    Whoever is refused waits as long. Raises Throttled, and SecondFactorRequired for an admin without a factor that can
    be proved here.
    """
    knocked = visitor_of(request)

    async def admit(proved: Proved) -> Begun:
        entered = await entrance.admit(proved.known, knocked, keys=proved.keys, better=proved.better)
        if not isinstance(entered, Challenge) or Method.TOTP not in entered.methods:
            raise SecondFactorRequired("This admin has no authenticator app.")  # and everything is rolled back
        return Begun(entered.ticket_id, proved.known.user_id, seals_of(request).now_s(), wanted)

    try:
        return await commit(admit, await prove(email, password, knocked, admins_only=True))
    except (AccountSuspended, CredentialsWrong):
        return None


async def prove_code(request: Asked, begun: Begun, code: str) -> SignIn:
    """The session that a ticket and a code open. Raises SecondFactorWrong, TokenInvalid, Throttled."""
    knocked = visitor_of(request)
    if len(code) > MAX_CODE_CHARS:
        raise SecondFactorWrong(WRONG_CODE)
    method = await prove_second_factor(
        request.app.state,
        begun.user_id,
        code,
        None,
        purpose=Purpose.SIGN_IN,
        visitor=knocked,
        ticket_id=begun.ticket_id,
    )

    async def enter() -> SignIn:
        if method not in PROOFS:
            raise SecondFactorWrong(WRONG_CODE)
        entered = await entrance.finish(begun.ticket_id, method)
        if entered.role is not Role.ADMIN:
            raise TokenInvalid("No admin any more.")
        said = {"ip_address": knocked.ip_address, "method": method}
        await audit.record(entered.user_id, "admin.signed_in", "session", str(entered.session_id), said)
        return entered

    return await commit(enter)


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


def code_page(request: Asked, begun: Begun, *, wrong: str | None = None, status_code: int = 200) -> Response[str]:
    """The second form, which is of one ticket."""
    form_token = seals_of(request).form_token(f"code {begun.ticket_id}")
    return page(request, "code.html", status_code=status_code, wrong=wrong, form_token=form_token)


def too_often(shown: Response[str], refusal: Throttled) -> Response[str]:
    """The same, saying when to come back to programs too."""
    shown.set_header("Retry-After", str(ceil(refusal.retry_after_s)))
    return shown


def _later(refusal: Throttled) -> str:
    return f"Too many attempts. Come back in {duration(ceil(refusal.retry_after_s))}."


def _fits(request: Asked, token: str) -> bool:
    seals = seals_of(request)
    nonce = seals.read_nonce(request.cookies.get(cookie_name(request, NONCE_COOKIE), ""))
    return nonce is not None and seals.fits_form(f"sign-in {nonce.value}", token)


def _begun(request: Asked) -> Begun | None:
    return seals_of(request).read_begun(request.cookies.get(cookie_name(request, BEGUN_COOKIE), ""))


async def _first_step(request: Asked, wanted: str, email: str, password: str) -> Response[Any]:
    try:
        begun = await begin_sign_in(request, email, password, wanted=wanted)
    except Throttled as refusal:
        shown = form_page(request, wanted=wanted, email=email, wrong=_later(refusal), status_code=429)
        return too_often(shown, refusal)
    except SecondFactorRequired:
        return page(request, "no_factor.html", status_code=403, email=email)
    if begun is None:
        return form_page(request, wanted=wanted, email=email, wrong=entrance.WRONG, status_code=401)
    answer = Redirect(CODE, status_code=303)
    answer.set_cookie(cookie(request, BEGUN_COOKIE, seals_of(request).begun_cookie(begun), BEGUN_S))
    answer.set_cookie(cookie(request, NONCE_COOKIE, "", 0))
    return answer


async def _second_step(request: Asked, begun: Begun, code: str) -> Response[Any]:
    try:
        entered = await prove_code(request, begun, code)
    except (SecondFactorWrong, Invalid):
        return code_page(request, begun, wrong=WRONG_CODE, status_code=401)
    except Throttled as refusal:
        return too_often(code_page(request, begun, wrong=_later(refusal), status_code=429), refusal)
    except (AccountSuspended, TokenInvalid):
        return _anew(request)
    now_s = seals_of(request).now_s()
    answer = Redirect(safe_next(begun.wanted), status_code=303)
    answer.set_cookie(visit_cookie(request, Visit(entered.session_id, now_s, now_s)))
    answer.set_cookie(cookie(request, BEGUN_COOKIE, "", 0))
    return answer


def _anew(request: Asked) -> Redirect:
    """Back to the first step: what was begun is over."""
    answer = Redirect(SIGN_IN, status_code=303)
    answer.set_cookie(cookie(request, BEGUN_COOKIE, "", 0))
    return answer


@get("/sign-in", opt=dict(OPEN))
async def show_sign_in(request: Asked) -> Response[Any]:
    """The form; whoever is signed in goes on to where they wanted."""
    wanted = safe_next(request.query_params.get("next", ""))
    if (await visitor(request))[1] is not None:
        return Redirect(wanted, status_code=303)
    return form_page(request, wanted=wanted)


@post("/sign-in", status_code=303, opt=OPEN | FORM | {"unlimited": False})
async def sign_in(request: Asked) -> Response[Any]:
    """The first step: address and password, which open the second one and nothing else."""
    form = await read_form(request)
    wanted, email = safe_next(form.get("next", "")), form.get("email", "")
    if not _fits(request, form.get(TOKEN_FIELD, "")):
        return form_page(request, wanted=wanted, email=email, wrong=STALE, status_code=403)
    return await _first_step(request, wanted, email, form.get("password", ""))


@get("/sign-in/code", opt=dict(OPEN))
async def show_code(request: Asked) -> Response[Any]:
    """The second form; without the first one there is none."""
    begun = _begun(request)
    return _anew(request) if begun is None else code_page(request, begun)


@post("/sign-in/code", status_code=303, opt=OPEN | FORM | {"unlimited": False})
async def enter_code(request: Asked) -> Response[Any]:
    """The second step: a code, which opens the session."""
    form, begun = await read_form(request), _begun(request)
    if begun is None or not seals_of(request).fits_form(f"code {begun.ticket_id}", form.get(TOKEN_FIELD, "")):
        return _anew(request)
    return await _second_step(request, begun, form.get("code", "").strip())


@post("/sign-out", status_code=303, opt=dict(FORM))
async def sign_out(request: Asked, caller: Asking, form: Form) -> Redirect:  # noqa: ARG001  its token is checked
    """End this session, and forget it."""
    await commit(sessions.revoke, caller.session_id, "signed_out")
    answer = Redirect(SIGN_IN, status_code=303)
    for name in (COOKIE, FLASH_COOKIE):
        answer.set_cookie(cookie(request, name, "", 0))
    return answer
