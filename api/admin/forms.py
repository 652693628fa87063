"""What a person typed into the search form, as a filter; and a filter as an address, to come back to."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from api.admin.jobs import MAX_WORD_CHARS
from api.fields import MAX_ID, sought_word
from models.errors import Invalid
from models.jobs import Queue
from models.queue.search import MAX_TEXT_CHARS, Filter, State

FIELDS: Final = ("id", "kind", "caller_id", "state", "queue", "error_code", "created_from", "created_to", "text")


def _word(most: int) -> Callable[[str], str]:
    def read(typed: str) -> str:
        if len(typed) > most:
            raise ValueError(f"at most {most} characters")
        return typed

    return read


def _user(typed: str) -> int:
    if not (typed.isascii() and typed.isdigit() and 1 <= int(typed[:20]) <= MAX_ID):
        raise ValueError("a user's number")
    return int(typed)


def _moment(typed: str) -> datetime:
    found = datetime.fromisoformat(typed)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


READERS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "id": (UUID, "A job's id looks like 019a1b2c-…."),
    "kind": (_word(MAX_WORD_CHARS), f"A kind has at most {MAX_WORD_CHARS} characters."),
    "caller_id": (_user, "A user is sought by their number."),
    "state": (State, "There is no such state."),
    "queue": (Queue, "There is no such queue."),
    "error_code": (_word(MAX_WORD_CHARS), f"An error code has at most {MAX_WORD_CHARS} characters."),
    "created_from": (_moment, "A time looks like 2026-11-22T20:00."),
    "created_to": (_moment, "A time looks like 2026-11-22T20:00."),
    "text": (_word(MAX_TEXT_CHARS), f"Seek a text of at most {MAX_TEXT_CHARS} characters."),
}
"""How each field is read, and what to say when it cannot be."""


def typed_in(sent: Mapping[str, str]) -> dict[str, str]:
    """The fields of the form that say something, as they were typed."""
    return {name: sent[name].strip() for name in FIELDS if sent.get(name, "").strip()}


def read_filter(typed: Mapping[str, str]) -> Filter:
    """The filter that these fields stand for; times without a zone are UTC. Raises Invalid, naming the field."""
    found: dict[str, Any] = {}
    for name, text in typed.items():
        read, otherwise = READERS[name]
        try:
            found[name] = read(sought_word(text, name) or "")
        except (ValueError, OverflowError):
            raise Invalid(otherwise, field=name) from None
    return Filter(**found)


def address(typed: Mapping[str, str], **more: str) -> str:
    """The list of jobs with these fields."""
    query = urlencode({**typed, **more})
    return f"/admin/jobs?{query}" if query else "/admin/jobs"
