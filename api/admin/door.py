"""The door of the pages: who may enter, which forms are believed, and where a visitor is sent who may not.

Whoever has no sign-in, an idle or a revoked one, or is no admin any more, is sent to the sign-in page: all look alike.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit

from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie, MutableScopeHeaders
from litestar.di import NamedDependency
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from msgspec.structs import replace

from api.admin.seals import LONGEST_S, RENEW_S, Seals, Visit
from api.auth import Caller
from models import sessions
from models.accounts import Role
from models.errors import NotAllowed
from models.guard import commit
from models.outbox import caused_by, origin
from settings import Settings

HOME: Final = "/admin/jobs"
SIGN_IN: Final = "/admin/sign-in"
COOKIE: Final = "megilance_admin"
FLASH_COOKIE: Final = "megilance_admin_flash"
NONCE_COOKIE: Final = "megilance_admin_form"
BEGUN_COOKIE: Final = "megilance_admin_begun"
LEFT_ALONE: Final = "left_alone"
"""Why a session ended whose cookie came back after half an hour without a page, or after a day."""
OPEN: Final = {"open": True}
"""`opt=OPEN` on a handler: anybody may come in."""
UNNOTICED: Final = {"unnoticed": True}
"""`opt=UNNOTICED`: what a page fetches by itself keeps nobody signed in."""
MAX_NEXT_CHARS: Final = 1000
TOKEN_FIELD: Final = "form_token"  # noqa: S105  a field's name

Form = NamedDependency[Mapping[str, str]]
"""The fields of a form that proved that it is one of ours."""


class SignInNeeded(Exception):
    """Nobody we know, or nobody who may. `wanted` is where they were going."""

    def __init__(self, wanted: str) -> None:
        super().__init__(wanted)
        self.wanted = wanted


class Door:
    """ASGI middleware of every page. The API's own authentication does not look at these routes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through to its page, or raise SignInNeeded; NotAllowed for a form from elsewhere."""
        connection: Request[Any, Any, Any] = Request(scope, receive, send)
        reads = connection.method in ("GET", "HEAD")
        if not reads:
            refuse_other_sites(connection)
        opt = scope["route_handler"].opt
        if opt.get("open"):
            await self._app(scope, receive, send)
            return
        visit, caller = await visitor(connection)
        if visit is None or caller is None:
            raise SignInNeeded(safe_next(_wanted(connection)) if reads else HOME)
        scope["user"] = caller
        with caused_by(replace(origin(), caller_id=caller.id)):
            noticed = reads and not opt.get("unnoticed")
            await self._app(scope, receive, _renewing(connection, visit, send) if noticed else send)


async def visitor(connection: ASGIConnection[Any, Any, Any, Any]) -> tuple[Visit | None, Caller | None]:
    """The sign-in that a request carries, and the admin whose it is at this moment; None where there is none.

    A sign-in without a second factor is none. One that was left alone ends here: its session must not outlive it.
    """
    seals, sealed = seals_of(connection), connection.cookies.get(cookie_name(connection, COOKIE), "")
    visit = seals.read_visit(sealed)
    if visit is None:
        if (over := seals.read_over(sealed)) is not None:
            await commit(sessions.revoke, over.session_id, LEFT_ALONE)
        return None, None
    user = await sessions.read_live(visit.session_id)
    if user is None or user.role is not Role.ADMIN or user.proved_at is None:
        return None, None
    return visit, Caller(user.user_id, user.role, visit.session_id, user.email_verified, user.proved_at)


def seals_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Seals:
    """The seals of this application's keys."""
    return Seals(_settings(connection).tokens)


def cookie_name(connection: ASGIConnection[Any, Any, Any, Any], name: str) -> str:
    """A cookie's full name: over https browsers then refuse to take it from anywhere less safe."""
    return f"__Secure-{name}" if _is_https(connection) else name


def cookie(connection: ASGIConnection[Any, Any, Any, Any], name: str, value: str, max_age_s: int) -> Cookie:
    """A cookie as all of ours are: no script reads it, no other site sends it, nothing outside the pages sees it."""
    return Cookie(
        key=cookie_name(connection, name),
        value=value,
        max_age=max_age_s,
        path="/admin",
        httponly=True,
        secure=_is_https(connection),
        samesite="strict",
    )


def visit_cookie(connection: ASGIConnection[Any, Any, Any, Any], visit: Visit) -> Cookie:
    """The cookie of a sign-in."""
    return cookie(connection, COOKIE, seals_of(connection).visit_cookie(visit), LONGEST_S)


def safe_next(wanted: str) -> str:
    """Where to go after signing in: an address of a page below /admin as it stands, or else the first page."""
    if len(wanted) > MAX_NEXT_CHARS or not wanted.isascii() or not wanted.isprintable() or "\\" in wanted:
        return HOME
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return HOME
    below = parts.path.startswith("/admin/") and not parts.path.startswith(SIGN_IN)
    if not wanted.startswith("/admin/") or parts.scheme or parts.netloc or not below or "%" in parts.path:
        return HOME
    return HOME if {"", ".", ".."} & set(parts.path.split("/")[1:]) else wanted


def refuse_other_sites(connection: ASGIConnection[Any, Any, Any, Any]) -> None:
    """Refuse what was not sent by a page of ours. Raises NotAllowed.

    Browsers say with every form where it comes from, in at least one of two headers; what says nothing is no browser.
    """
    site, came = connection.headers.get("sec-fetch-site"), connection.headers.get("origin")
    public = urlsplit(_settings(connection).web.public_url)
    ours = {f"{public.scheme}://{public.netloc}"}
    if public.scheme == "http":  # a desk, reached by whatever name
        ours.add(f"http://{connection.headers.get('host', '')}")
    by_site = site is None or site == "same-origin"
    by_origin = came is None or came in ours
    if not (by_site and by_origin) or (site is None and came is None):
        raise NotAllowed("This form was not sent by one of our pages.")


async def provide_form(request: Request[Caller, Any, Any]) -> Mapping[str, str]:
    """The dependency `form`. Raises NotAllowed unless its token is the one that this session's pages carry."""
    form = await read_form(request)
    if not seals_of(request).fits_form(str(request.user.session_id), form.get(TOKEN_FIELD, "")):
        raise NotAllowed("This form is not of your present sign-in. Open the page again and repeat it.")
    return form


async def read_form(request: Request[Any, Any, Any]) -> dict[str, str]:
    """A form's fields, whoever sent it; of a name that comes twice the last."""
    sent = await request.form()
    return {name: value for name, value in sent.multi_items() if isinstance(value, str)}


def _renewing(connection: ASGIConnection[Any, Any, Any, Any], visit: Visit, send: Send) -> Send:
    """Send, and bring a fresh cookie along when the present one grows stale."""
    now_s = seals_of(connection).now_s()
    fresh = visit_cookie(connection, Visit(visit.session_id, visit.began_s, now_s))

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start" and now_s - visit.seen_s > RENEW_S:
            MutableScopeHeaders.from_message(message).add("Set-Cookie", fresh.to_header(header=""))
        await send(message)

    return sending


def _wanted(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    query = connection.scope.get("query_string", b"").decode("latin-1")
    return quote(connection.scope["path"], safe="/-") + (f"?{query}" if query else "")


def _settings(connection: ASGIConnection[Any, Any, Any, Any]) -> Settings:
    found: Settings = connection.app.state.settings
    return found


def _is_https(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    return _settings(connection).web.public_url.startswith("https://")
