"""What the parties of completed contracts say of each other, over HTTP."""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in
from api.fields import Body, Id, NeededId, Note, PathId
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import reviews
from models.accounts import Role
from models.reviews import MAX_RATING, MIN_RATING, ReviewRow, ReviewStatus

LISTING: Final = "reviews"

Rating = Annotated[int, msgspec.Meta(ge=MIN_RATING, le=MAX_RATING)]


class NewReview(Body, frozen=True):
    """One party's word on the other."""

    contract_id: Id
    rating: Rating
    comment: Note


class Response(Body, frozen=True):
    """The reviewed one's answer."""

    response: Note


class ReviewOut(msgspec.Struct, frozen=True, kw_only=True):
    """A review; while it is `hidden` only its author sees it. The title of a private project is its parties' alone."""

    id: int
    contract_id: int
    project_title: str | None
    reviewer_id: int
    reviewer_name: str
    reviewee_id: int
    rating: int
    comment: str
    status: ReviewStatus
    response: str | None
    created_at: datetime
    shown_at: datetime | None
    responded_at: datetime | None


def show(review: ReviewRow) -> ReviewOut:
    """The review as it is answered."""
    return ReviewOut(**msgspec.structs.asdict(review))


@post("/", guards=[role(Role.CLIENT, Role.FREELANCER)])
async def write_review(data: JSONBody[NewReview], caller: Asking, once: Once) -> ReviewOut:
    """Review the other party of a completed contract: once, within 14 days.

    Hidden until both parties have, or the 14 days are over.
    """
    written = await once(
        reviews.write,
        data.contract_id,
        reviewer_id=caller.id,
        rating=data.rating,
        comment=data.comment,
        again=seen_by(caller, reviews.read),
    )
    return show(written)


@get("/")
async def list_reviews(
    caller: Asking, user_id: NeededId, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[ReviewOut]:
    """The reviews of somebody, newest first; the caller's own among them before they are shown."""
    before = decode_cursor(LISTING, cursor, int)
    found = await reviews.list_of(user_id, user_id=caller.id, admin=caller.admin, before=before, limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/{review_id:int}")
async def read_review(review_id: PathId, caller: Asking) -> ReviewOut:
    """A review that is shown, or one's own."""
    return show(await reviews.read(review_id, user_id=caller.id, admin=caller.admin))


@post("/{review_id:int}/respond", status_code=HTTP_200_OK, guards=[role(Role.CLIENT, Role.FREELANCER)])
async def respond(review_id: PathId, data: JSONBody[Response], caller: Asking, once: Once) -> ReviewOut:
    """Answer a review of oneself, once."""
    again = seen_by(caller, reviews.read)
    return show(await once(reviews.respond, review_id, user_id=caller.id, response=data.response, again=again))


router = Router(
    "/api/reviews",
    route_handlers=[write_review, list_reviews, read_review, respond],
    tags=["reviews"],
    guards=[signed_in],
)
