"""One's own account as a person uses it: profile, one's data, leaving. And what others see of a person."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, delete, get, patch, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from api import proofs
from api.auth import FRESH, Asking, signed_in
from api.fields import MAX_ID, Body, Currency, PathId
from api.idempotency import Once
from api.jobs import JobOut
from api.requests import visitor_of
from api.waiting import answer
from models import accounts, erasure, exports, profiles
from models.accounts import Role
from models.errors import Invalid
from models.exports import ExportOutcome
from models.guard import commit
from models.money import Money
from models.profiles import (
    MAX_ABOUT_CHARS,
    MAX_HEADLINE_CHARS,
    MAX_SKILL_CHARS,
    MAX_SKILLS,
    Profile,
    PublicProfile,
)

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=accounts.MAX_NAME_CHARS)]


Skill = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SKILL_CHARS)]


class ProfileChange(Body, frozen=True):
    """What one may change of oneself; absent fields stay. `country`, a rate or a picture that is null goes away.

    `skills`, `hourly_rate` with its `rate_currency`, and `is_available` are for freelancers: 403 for anybody else.
    """

    first_name: Name | msgspec.UnsetType = msgspec.UNSET
    last_name: Name | msgspec.UnsetType = msgspec.UNSET
    headline: Annotated[str, msgspec.Meta(max_length=MAX_HEADLINE_CHARS)] | msgspec.UnsetType = msgspec.UNSET
    about: Annotated[str, msgspec.Meta(max_length=MAX_ABOUT_CHARS)] | msgspec.UnsetType = msgspec.UNSET
    country: (
        Annotated[str, msgspec.Meta(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2", examples=["DE"])]
        | msgspec.UnsetType
        | None
    ) = msgspec.UNSET
    time_zone: (
        Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="IANA", examples=["Europe/Berlin"])]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    skills: (
        Annotated[
            list[Skill], msgspec.Meta(max_length=MAX_SKILLS, description="freelancers only; each once, without case")
        ]
        | msgspec.UnsetType
    ) = msgspec.UNSET
    hourly_rate: (
        Annotated[
            Decimal, msgspec.Meta(description="freelancers only; major units, with `rate_currency`", examples=[45.5])
        ]
        | msgspec.UnsetType
        | None
    ) = msgspec.UNSET
    rate_currency: Currency | msgspec.UnsetType | None = msgspec.UNSET
    is_available: Annotated[bool, msgspec.Meta(description="freelancers only")] | msgspec.UnsetType = msgspec.UNSET
    avatar_upload_id: (
        Annotated[int, msgspec.Meta(ge=1, le=MAX_ID, description="one's own ready upload of purpose avatar")]
        | msgspec.UnsetType
        | None
    ) = msgspec.UNSET

    def changed(self) -> dict[str, Any]:
        """The fields that are named, as the domain takes them. Raises Invalid for half a rate."""
        named = _said(self)
        rate, currency = (named.pop(name, msgspec.UNSET) for name in ("hourly_rate", "rate_currency"))
        if type(rate) is not type(currency) and not (isinstance(rate, Decimal) and isinstance(currency, str)):
            raise Invalid("`hourly_rate` and `rate_currency` are said together, or both null.", field="hourly_rate")
        if rate is None:
            named["hourly_rate"] = None
        elif isinstance(rate, Decimal):
            named["hourly_rate"] = Money.from_major(rate, str(currency))
        return named


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The present password, once more."""

    password: Annotated[str, msgspec.Meta(max_length=1024)]


class ProfileOut(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as its owner sees it."""

    id: int
    email: str
    email_verified: bool
    first_name: str
    last_name: str
    user_type: Role
    headline: str
    about: str
    country: str | None
    time_zone: str
    skills: list[str]
    hourly_rate: Decimal | None
    rate_currency: str | None
    is_available: bool | None
    avatar_upload_id: int | None
    created_at: datetime


class PublicProfileOut(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as others see it. Skills, a rate in major units of `currency`, and `available` are of freelancers.

    `rating` is the average of the reviews that are shown, null when there are none.
    """

    id: int
    first_name: str
    last_name: str
    user_type: Role
    headline: str
    about: str
    country: str | None
    skills: list[str]
    hourly_rate: Decimal | None
    currency: str | None
    available: bool | None
    avatar_upload_id: int | None
    rating: Decimal | None
    review_count: int
    completed_contracts: int
    created_at: datetime


class ExportOut(msgspec.Struct, frozen=True, kw_only=True):
    """A ZIP that waits for its owner at `download_url`, until it expires."""

    id: int
    size_bytes: int
    sha256: str
    download_url: str
    expires_at: datetime


def _said(change: msgspec.Struct) -> dict[str, Any]:
    """The fields that a change names."""
    return {name: held for name, held in msgspec.structs.asdict(change).items() if held is not msgspec.UNSET}


def show(profile: Profile) -> ProfileOut:
    """A profile as it is answered to its owner."""
    rate = profile.hourly_rate
    return ProfileOut(
        id=profile.id,
        email=profile.email,
        email_verified=profile.email_verified,
        first_name=profile.first_name,
        last_name=profile.last_name,
        user_type=profile.role,
        headline=profile.headline,
        about=profile.about,
        country=profile.country,
        time_zone=profile.time_zone,
        skills=profile.skills,
        hourly_rate=None if rate is None else rate.major,
        rate_currency=profile.rate_currency,
        is_available=profile.is_available if profile.role is Role.FREELANCER else None,
        avatar_upload_id=profile.avatar_upload_id,
        created_at=profile.created_at,
    )


def show_public(profile: PublicProfile) -> PublicProfileOut:
    """A profile as it is answered to others."""
    return PublicProfileOut(**public_fields(profile))


def public_fields(profile: PublicProfile) -> dict[str, Any]:
    """The fields of PublicProfileOut."""
    rate = profile.hourly_rate
    return {
        "id": profile.id,
        "first_name": profile.first_name,
        "last_name": profile.last_name,
        "user_type": profile.role,
        "headline": profile.headline,
        "about": profile.about,
        "country": profile.country,
        "skills": profile.skills,
        "hourly_rate": None if rate is None else rate.major,
        "currency": profile.rate_currency,
        "available": profile.is_available if profile.role is Role.FREELANCER else None,
        "avatar_upload_id": profile.avatar_upload_id,
        "rating": profile.rating,
        "review_count": profile.rating_count,
        "completed_contracts": profile.completed_contracts,
        "created_at": profile.created_at,
    }


@get("/me")
async def read_profile(caller: Asking) -> ProfileOut:
    """One's own profile."""
    return show(await profiles.read_own(caller.id))


@patch("/me")
async def edit_profile(data: JSONBody[ProfileChange], caller: Asking) -> ProfileOut:
    """Change what one says of oneself. 403 when somebody else than a freelancer names what only freelancers have."""
    return show(await commit(profiles.edit, caller.id, **data.changed()))


@get("/{user_id:int}")
async def read_user(user_id: PathId, caller: Asking) -> PublicProfileOut:  # noqa: ARG001  signed-in callers only
    """Somebody's public profile: never an address, a phone number or an IP. 404 once they have left."""
    return show_public(await profiles.read_public(user_id))


@post("/me/deactivate", status_code=204)
async def deactivate(request: Request[Any, Any, Any], data: JSONBody[Proof], caller: Asking) -> None:
    """Hide one's account until one signs in again. Open projects close; 409 while work or money is under way."""
    await proofs.prove_password(caller, data.password)
    await commit(erasure.deactivate, caller.id, visitor_of(request), session_id=caller.session_id)


@delete("/me", status_code=204)
async def erase(data: JSONBody[Proof], caller: Asking) -> None:
    """Erase oneself for good: personal data goes, contracts and books stay. 409 while work or money is under way."""
    await proofs.prove_password(caller, data.password)
    await proofs.require_step_up(caller)
    await commit(erasure.erase, caller.id, session_id=caller.session_id)


@post(
    "/me/export",
    status_code=200,
    opt={"bodiless": True},
    responses={200: ResponseSpec(ExportOut), 202: ResponseSpec(JobOut)},
)
async def export(request: Request[Any, Any, Any], caller: Asking, once: Once) -> Response[Any]:
    """Gather all that we know of the caller into a ZIP, kept for a week. At most three a day."""
    return await answer(request, await once.job(exports.request, caller.id), _export)


def _export(result: Any) -> ExportOut:
    made = msgspec.convert(result, ExportOutcome)
    return ExportOut(
        id=made.export_id,
        size_bytes=made.size_bytes,
        sha256=made.sha256,
        download_url=f"/api/users/me/exports/{made.export_id}",
        expires_at=made.expires_at,
    )


@get("/me/exports/{export_id:int}", media_type="application/zip", opt=dict(FRESH))
async def download(export_id: PathId, caller: Asking) -> Response[bytes]:
    """The file, for the one it is about, until it expires."""
    return Response(
        await exports.read_content(export_id, user_id=caller.id),
        media_type="application/zip",
        headers={"Content-Disposition": f'attachment; filename="megilance-export-{export_id}.zip"'},
    )


router = Router(
    "/api/users",
    route_handlers=[
        read_profile,
        edit_profile,
        read_user,
        deactivate,
        erase,
        export,
        download,
    ],
    guards=[signed_in],
    tags=["users"],
)
