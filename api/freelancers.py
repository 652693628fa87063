"""Freelancers as clients look for them, over HTTP."""

from decimal import Decimal
from typing import Annotated, Final

from litestar import Router, get
from litestar.params import FromQuery, QueryParameter

from api import portfolio as portfolio_api
from api import reviews as reviews_api
from api.auth import Asking, signed_in
from api.fields import PathId, sought_amount, sought_word, sought_words
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, encode_cursor
from api.portfolio import ItemOut
from api.reviews import ReviewOut
from api.users import PublicProfileOut, public_fields, show_public
from models import freelancers, portfolio, reviews
from models.errors import CurrencyUnsupported, Invalid
from models.freelancers import Position, Sort, Sought
from models.money import EXPONENTS, Money
from models.reviews import MAX_RATING

MAX_QUERY_CHARS: Final = 200
MAX_SKILLS_CHARS: Final = 400
NEWEST_REVIEWS: Final = 10

Words = Annotated[
    str | None,
    QueryParameter(max_length=MAX_QUERY_CHARS, description='words; "in this order", or, -without'),
]
Skills = Annotated[str | None, QueryParameter(max_length=MAX_SKILLS_CHARS, description="comma-separated; all")]
Rate = Annotated[Decimal | None, QueryParameter(description="of an hour, in major units of `currency`")]
RateCurrency = Annotated[
    str | None,
    QueryParameter(pattern="^[A-Za-z]{3}$", description="ISO 4217; rates and their orders need it"),
]
Rating = Annotated[Decimal | None, QueryParameter(description="an average of 0 to 5")]
Country = Annotated[str | None, QueryParameter(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2")]


class FreelancerOut(PublicProfileOut, frozen=True, kw_only=True):
    """A freelancer with their work and the newest reviews of them."""

    portfolio: list[ItemOut]
    reviews: list[ReviewOut]


def _currency(given: str | None) -> str | None:
    """The currency, as it is kept. Raises CurrencyUnsupported."""
    if given and given.upper() not in EXPONENTS:
        raise CurrencyUnsupported(f"{given!r} is not a currency we take.", field="currency")
    return given.upper() if given else None


def _rate(given: Decimal | None, currency: str | None, field: str) -> Money | None:
    """A bound of rates. Raises Invalid without a currency, AmountTooPrecise."""
    amount = sought_amount(given, field)
    if amount is None:
        return None
    if currency is None:
        raise Invalid("Rates are compared within one currency: name it.", field="currency")
    return Money.from_major(amount, currency)


def _rating(given: Decimal | None) -> Decimal | None:
    if given is not None and (not given.is_finite() or not 0 <= given <= MAX_RATING):
        raise Invalid(f"A rating is 0 to {MAX_RATING}.", field="min_rating")
    return given or None


@get("/")
async def list_freelancers(
    *,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
    q: Words = None,
    skills: Skills = None,
    min_rate: Rate = None,
    max_rate: Rate = None,
    currency: RateCurrency = None,
    min_rating: Rating = None,
    available: FromQuery[bool | None] = None,
    country: Country = None,
    sort: FromQuery[Sort] = Sort.NEWEST,
) -> Page[PublicProfileOut]:
    """Freelancers who fit. `relevance` orders the newest 500 of them by how well they fit `q`."""
    unit = _currency(currency)
    sought = Sought(
        words=sought_word(q, "q"),
        skills=sought_words(skills, "skills"),
        min_rate=_rate(min_rate, unit, "min_rate"),
        max_rate=_rate(max_rate, unit, "max_rate"),
        currency=unit,
        min_rating=_rating(min_rating),
        available=available,
        country=country,
    )
    return await _page(sought, sort, cursor, limit)


async def _page(sought: Sought, sort: Sort, cursor: str | None, limit: int) -> Page[PublicProfileOut]:
    listing = f"freelancers by {sort.value}"
    after = decode_cursor(listing, cursor, Position)
    found = await freelancers.search(sought, sort=sort, after=after, limit=limit + 1)
    more = encode_cursor(listing, found[limit - 1].position) if len(found) > limit else None
    return Page([show_public(one.profile) for one in found[:limit]], more)


@get("/{freelancer_id:int}")
async def read_freelancer(freelancer_id: PathId, caller: Asking) -> FreelancerOut:
    """A freelancer whom anybody finds, with their work and the newest reviews of them."""
    profile = await freelancers.read(freelancer_id)
    shown = await portfolio.list_of(freelancer_id, asker_id=caller.id)
    said = await reviews.list_of(
        freelancer_id, user_id=caller.id, admin=caller.admin, before=None, limit=NEWEST_REVIEWS
    )
    return FreelancerOut(
        **public_fields(profile),
        portfolio=[portfolio_api.show(one) for one in shown],
        reviews=[reviews_api.show(one) for one in said],
    )


router = Router(
    "/api/freelancers",
    route_handlers=[list_freelancers, read_freelancer],
    tags=["freelancers"],
    guards=[signed_in],
)
