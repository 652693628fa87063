"""One's own account as a person uses it: profile, news, one's data, leaving. And what others see of a person."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, delete, get, patch, post, put
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody

from api import proofs
from api.auth import FRESH, Asking, signed_in
from api.fields import Body, PathId
from api.idempotency import Once
from api.jobs import JobOut
from api.requests import visitor_of
from api.waiting import answer
from models import accounts, erasure, exports, preferences, profiles
from models.accounts import Role
from models.exports import ExportOutcome
from models.guard import commit
from models.preferences import Category, Change
from models.profiles import MAX_ABOUT_CHARS, MAX_HEADLINE_CHARS, Profile, PublicProfile

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=accounts.MAX_NAME_CHARS)]


class ProfileChange(Body, frozen=True):
    """What one may change of oneself; absent fields stay. `country` null takes it away."""

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
    created_at: datetime


class PublicProfileOut(msgspec.Struct, frozen=True, kw_only=True):
    """A profile as others see it."""

    id: int
    first_name: str
    last_name: str
    user_type: Role
    headline: str
    about: str
    country: str | None
    created_at: datetime


class ExportOut(msgspec.Struct, frozen=True, kw_only=True):
    """A ZIP that waits for its owner at `download_url`, until it expires."""

    id: int
    size_bytes: int
    sha256: str
    download_url: str
    expires_at: datetime


class WishChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How one wants to hear of a category; what is absent stays."""

    email: bool | msgspec.UnsetType = msgspec.UNSET
    in_app: bool | msgspec.UnsetType = msgspec.UNSET


class WishesChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wishes by category; a category that is absent stays as it is."""

    categories: dict[Category, WishChange]


class WishOut(msgspec.Struct, frozen=True):
    """How one hears of a category."""

    email: bool
    in_app: bool


class WishesOut(msgspec.Struct, frozen=True):
    """One's wishes, for every category there is."""

    categories: dict[Category, WishOut]


def _said(change: msgspec.Struct) -> dict[str, Any]:
    """The fields that a change names."""
    return {name: held for name, held in msgspec.structs.asdict(change).items() if held is not msgspec.UNSET}


def show(profile: Profile) -> ProfileOut:
    """A profile as it is answered to its owner."""
    fields = msgspec.structs.asdict(profile)
    return ProfileOut(user_type=fields.pop("role"), **fields)


def show_public(profile: PublicProfile) -> PublicProfileOut:
    """A profile as it is answered to others."""
    fields = msgspec.structs.asdict(profile)
    return PublicProfileOut(user_type=fields.pop("role"), **fields)


def _wishes(known: dict[Category, preferences.Wish]) -> WishesOut:
    return WishesOut({category: WishOut(wish.email, wish.in_app) for category, wish in known.items()})


@get("/me")
async def read_profile(caller: Asking) -> ProfileOut:
    """One's own profile."""
    return show(await profiles.read_own(caller.id))


@patch("/me")
async def edit_profile(data: JSONBody[ProfileChange], caller: Asking) -> ProfileOut:
    """Change what one says of oneself."""
    return show(await commit(profiles.edit, caller.id, **_said(data)))


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


@get("/me/notification-preferences")
async def read_preferences(caller: Asking) -> WishesOut:
    """How one hears of what, for every category."""
    return _wishes(await preferences.read(caller.id))


@put("/me/notification-preferences")
async def change_preferences(data: JSONBody[WishesChange], caller: Asking) -> WishesOut:
    """Change how one hears of what: the categories and channels that are named. Security cannot be switched off."""
    changes = {category: Change(**_said(wish)) for category, wish in data.categories.items()}
    return _wishes(await commit(preferences.change, caller.id, changes))


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
        read_preferences,
        change_preferences,
    ],
    guards=[signed_in],
    tags=["users"],
)
