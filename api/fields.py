"""What the fields of bodies and addresses may hold, in words that every route shares.

Text is trimmed, has no control characters (prose may have newlines and tabs), and is never blank. Amounts are
decimals from the first byte on. What a body does not declare is refused.
"""

import unicodedata
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar.params import PathParameter, QueryParameter

from models.errors import Invalid
from models.money import MAX_DIGITS

MAX_ID: Final = 2**53 - 1
"""Ids are numbers that every JSON reader holds exactly."""
MAX_SOUGHT_WORDS: Final = 30
"""As many skills as a project has; each costs a look at every project listed."""

PathId = Annotated[int, PathParameter(ge=1, le=MAX_ID)]
"""An id in a path."""
NeededId = Annotated[int, QueryParameter(ge=1, le=MAX_ID)]
"""An id that a query must name."""
QueryId = Annotated[int | None, QueryParameter(ge=1, le=MAX_ID)]
"""An id that a query may name."""
Id = Annotated[int, msgspec.Meta(ge=1, le=MAX_ID)]
"""An id in a body."""
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""One line: it becomes the subject of mails."""
MANY_LINES: Final = (
    "about",
    "comment",
    "content",
    "cover_letter",
    "description",
    "message",
    "note",
    "reason",
    "response",
)
"""Fields of this name may have newlines and tabs; every other text is one line."""
Prose = Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
"""Text of any shape."""
Note = Annotated[str, msgspec.Meta(min_length=1, max_length=5_000)]
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=60)]
"""A category or a skill."""
Currency = Annotated[str, msgspec.Meta(pattern="^[A-Za-z]{3}$", description="ISO 4217, upper-case", examples=["USD"])]
Amount = Annotated[
    Decimal,
    msgspec.Meta(description="major units of the currency", examples=[1250.5]),
]
QueryMoment = Annotated[
    str | None,
    QueryParameter(
        # A text, and read by `sought_moment`: the framework would take a number for seconds since 1970.
        pattern=r"^[0-9]{4}(-[0-9]{2}){2}[Tt ][0-9]{2}(:[0-9]{2}){2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
        schema_extra={"format": "date-time"},
        description="RFC 3339, with its offset from UTC; the + of one is written %2B",
    ),
]
"""A time that a query may name."""
QueryAmount = Annotated[Decimal | None, QueryParameter(description="major units of each project's own currency")]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request's body: its text is cleaned when it is read."""

    def __post_init__(self) -> None:
        """Trim and check every text, on its own or in a list."""
        for name in self.__struct_fields__:
            held = getattr(self, name)
            if type(held) is str:  # enums are strings too, and need no cleaning
                msgspec.structs.force_setattr(self, name, _cleaned(held, name) if held else held)
            elif isinstance(held, list) and held and type(held[0]) is str:
                msgspec.structs.force_setattr(self, name, [_cleaned(one, name) for one in held])


def _cleaned(text: str, field: str) -> str:
    """The text without space around it. Raises Invalid for a blank one and for what no keyboard types."""
    cleaned = text.replace("\r\n", "\n").strip()
    if not cleaned:
        raise Invalid(f"`{field}` is blank.", field=field)
    allowed = "\n\t" if field in MANY_LINES else ""
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in cleaned if char not in allowed):
        raise Invalid(f"`{field}` has control characters.", field=field)
    return cleaned


def sought_words(given: str | None, field: str) -> list[str] | None:
    """The words of a comma-separated query parameter, each once, or None when it says nothing. Raises Invalid."""
    words = list(dict.fromkeys(_cleaned(word, field) for word in (given or "").split(",") if word.strip()))
    if len(words) > MAX_SOUGHT_WORDS:
        raise Invalid(f"At most {MAX_SOUGHT_WORDS} words at once.", field=field)
    return words or None


def sought_word(given: str | None, field: str) -> str | None:
    """A query parameter's text, cleaned, or None when it says nothing."""
    return _cleaned(given, field) if given and given.strip() else None


def sought_moment(given: str | datetime | None, field: str) -> datetime | None:
    """A time that is sought, in UTC. Raises Invalid when there is no such time, or it does not say its offset."""
    if given is None:
        return None
    try:
        moment = msgspec.convert(given, datetime)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (msgspec.ValidationError, OverflowError):  # the 30th of February; the year 1, further east
        pass
    raise Invalid(f"`{field}` is a time with its offset from UTC: 2026-11-22T20:00:00Z.", field=field)


def sought_amount(given: Decimal | None, field: str) -> Decimal | None:
    """A query parameter's amount. Raises Invalid when it is no amount of money: negative, endless or not a number."""
    if given is None:
        return None
    if not given.is_finite() or given < 0 or given.adjusted() > MAX_DIGITS or len(given.as_tuple().digits) > MAX_DIGITS:
        raise Invalid(f"`{field}` is an amount from 0.", field=field)
    return given
