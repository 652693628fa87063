"""How safe one's account is: where it is signed in, what happened to it, how unusual a sign-in would be."""

from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, Final
from uuid import UUID

import msgspec
from litestar import Request, Router, delete, get, post
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, Caller, signed_in
from api.fields import Body, Id
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from api.requests import place_of, visitor_of
from models import accounts, live_sessions, risk, security
from models.errors import Invalid, NotAllowed
from models.guard import commit
from models.live_sessions import LiveSession
from models.security import SecurityEventKind, SecurityEventRow
from models.visitors import Place, Visitor
from wire.tokens import REFRESH_DAYS

SESSIONS: Final = "security.sessions"
EVENTS: Final = "security.events"
MAX_ADDRESS_CHARS: Final = 45
"""The longest spelling of an IPv6 address."""


class Location(Body, frozen=True):
    """Where somebody says a sign-in comes from. It is believed instead of the map."""

    country: Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{2}$", description="ISO 3166-1 alpha-2", examples=["US"])]
    city: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None


class RiskQuestion(Body, frozen=True):
    """A sign-in as it would be: who, from where, with what."""

    user_id: Id
    ip_address: Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARS, examples=["203.0.113.7"])]
    user_agent: Annotated[str, msgspec.Meta(max_length=1000, examples=["Mozilla/5.0 (X11; Linux x86_64)"])]
    location: Location | None = None


class RiskFactorOut(msgspec.Struct, frozen=True):
    """One unusual thing, and how many points of the score it is."""

    name: str
    contribution: float
    detail: str


class RiskOut(msgspec.Struct, frozen=True):
    """How unusual a sign-in would be, from 0 to 100: the sum of its factors."""

    risk_score: float
    risk_level: str
    factors: list[RiskFactorOut]
    require_additional_auth: bool


class SessionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that is still good; `current` is the one that asks, `proved` had a second factor."""

    id: UUID
    created_at: datetime
    last_seen: datetime
    ip_address: str
    user_agent: str
    country: str | None
    city: str | None
    current: bool
    proved: bool


class SecurityEventOut(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to the account, and from where."""

    id: int
    kind: SecurityEventKind
    ip_address: str
    user_agent: str
    country: str | None
    city: str | None
    details: dict[str, Any]
    created_at: datetime


class Revoked(msgspec.Struct, frozen=True):
    """How many sessions were ended now."""

    revoked: int


@post("/assess-risk", status_code=HTTP_200_OK)
async def assess_risk(data: JSONBody[RiskQuestion], request: Request[Caller, Any, Any], caller: Asking) -> RiskOut:
    """How unusual a sign-in would be, by the account's history. Admins ask about anybody, others about themselves."""
    # Before anything is looked up: the answer about somebody else's account is that about none.
    if not caller.admin and data.user_id != caller.id:
        raise NotAllowed("Only admins assess other people's sign-ins.")
    await accounts.read(data.user_id)
    found = await risk.assess(data.user_id, _asked_about(request, data))
    factors = [RiskFactorOut(one.name, one.contribution, one.detail) for one in found.factors]
    return RiskOut(found.score, found.level, factors, found.require_additional_auth)


def _asked_about(request: Request[Caller, Any, Any], asked: RiskQuestion) -> Visitor:
    """The visitor of a question. A place that is stated has the map's coordinates only where both name one country."""
    try:
        address = str(ip_address(asked.ip_address))
    except ValueError:
        raise Invalid("`ip_address` is neither an IPv4 nor an IPv6 address.", field="ip_address") from None
    place = place_of(request, address)
    if asked.location is not None:
        country = asked.location.country.upper()
        known = place if place is not None and place.country == country else Place(country=country)
        place = msgspec.structs.replace(known, city=asked.location.city)
    return Visitor(user_agent=asked.user_agent, ip_address=address, place=place)


@get("/sessions")
async def list_sessions(caller: Asking, *, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[SessionOut]:
    """Where the caller is signed in, the newest sign-in first."""
    before = decode_cursor(SESSIONS, cursor, UUID)
    found = await live_sessions.list_live(caller.id, idle_days=REFRESH_DAYS, before=before, limit=limit + 1)
    return page(SESSIONS, [_shown(one, caller) for one in found], limit, lambda one: one.id)


def _shown(session: LiveSession, caller: Caller) -> SessionOut:
    return SessionOut(**msgspec.structs.asdict(session), current=session.id == caller.session_id)


@delete("/sessions/all", status_code=HTTP_200_OK)
async def end_other_sessions(request: Request[Caller, Any, Any], caller: Asking) -> Revoked:
    """End every session of the caller but the one that asks."""
    visitor = visitor_of(request)
    return Revoked(await commit(live_sessions.end_others, caller.id, keep=caller.session_id, visitor=visitor))


@delete("/sessions/{session_id:uuid}")
async def end_session(session_id: FromPath[UUID], request: Request[Caller, Any, Any], caller: Asking) -> None:
    """End one session of the caller: its tokens are refused from now on. It may be the one that asks."""
    await commit(live_sessions.end_one, session_id, user_id=caller.id, visitor=visitor_of(request))


@get("/events")
async def list_events(caller: Asking, *, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[SecurityEventOut]:
    """What happened to the caller's account, the newest first."""
    before = decode_cursor(EVENTS, cursor, int)
    found = await security.list_own(caller.id, before=before, limit=limit + 1)
    return page(EVENTS, [_told(one) for one in found], limit, lambda one: one.id)


def _told(event: SecurityEventRow) -> SecurityEventOut:
    return SecurityEventOut(**msgspec.structs.asdict(event))


router = Router(
    "/api/security",
    route_handlers=[assess_risk, list_sessions, end_other_sessions, end_session, list_events],
    guards=[signed_in],
    tags=["security"],
)
