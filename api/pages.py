"""Lists, a page at a time: a cursor says where the last page ended, so a page costs the same at any depth."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from hashlib import blake2s
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from litestar.params import Parameter

from models.errors import Invalid

T = TypeVar("T")
P = TypeVar("P")

DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100
MAX_CURSOR_CHARS: Final = 512
_SUM_BYTES: Final = 6

Limit = Annotated[int, Parameter(ge=1, le=MAX_LIMIT, description="how many items, most 100")]
"""The type of a handler's `limit`; its default is DEFAULT_LIMIT."""
Cursor = Annotated[str | None, Parameter(max_length=MAX_CURSOR_CHARS, description="`next_cursor` of the last page")]
"""The type of a handler's `cursor`; its default is None."""


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items, and where to ask for more; None: that was all."""

    items: list[T]
    next_cursor: str | None


def encode_cursor(listing: str, position: Any) -> str:
    """The cursor behind the item at this position of a list; `position` is whatever the list is ordered by.

    It is no secret and grants nothing: the next page is filtered by the caller as the first one was. The sum in it
    tells a mistyped cursor, or one of another list, from a good one.
    """
    said = msgspec.json.encode(position)
    return urlsafe_b64encode(_sum(listing, said) + said).decode().rstrip("=")


def decode_cursor(listing: str, cursor: str | None, position: type[P]) -> P | None:
    """The position that a cursor names, or None for the first page. Raises Invalid when it is not one of this list."""
    if cursor is None:
        return None
    try:
        raw = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        if raw[:_SUM_BYTES] != _sum(listing, raw[_SUM_BYTES:]):
            raise ValueError("not of this list")  # noqa: TRY301  one refusal for every way to be wrong
        found = msgspec.json.decode(raw[_SUM_BYTES:], type=position)
        _check_storable(msgspec.to_builtins(found))
    except (ValueError, msgspec.DecodeError):
        raise Invalid("This cursor is not one that this list gave out.", field="cursor") from None
    return found


def _check_storable(said: Any) -> None:
    """Raise ValueError for what no column holds: the sum is no secret, and anybody writes a cursor that has it."""
    if isinstance(said, dict | list | tuple):
        for one in said.values() if isinstance(said, dict) else said:
            _check_storable(one)
    elif isinstance(said, int) and not -(2**63) <= said < 2**63:
        raise ValueError("beyond 64 bits")
    elif isinstance(said, str) and "\0" in said:
        raise ValueError("a null byte")


def page(listing: str, found: Sequence[T], limit: int, position: Callable[[T], Any]) -> Page[T]:
    """The page made of `found`, which holds one item more than `limit` when the list goes on."""
    items = list(found[:limit])
    more = len(found) > limit
    return Page(items, encode_cursor(listing, position(items[-1])) if more else None)


def _sum(listing: str, said: bytes) -> bytes:
    return blake2s(listing.encode() + b"\0" + said, digest_size=_SUM_BYTES, person=b"mgl-page").digest()
