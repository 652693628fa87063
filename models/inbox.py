"""Provider callbacks, stored before they are answered and worked on by a job, once per event id."""

from datetime import timedelta
from typing import Final

from models import guard, outbox
from models.base import Record
from models.errors import NotFound
from models.jobs import HandleCallback

STANDS_STILL: Final = timedelta(minutes=10)
"""A callback takes seconds; one this old has lost its job, or its job waits for the provider."""

RECEIVE: Final = """
insert into inbox (provider, external_id, kind, payload) values ($1, $2, $3, $4::text::jsonb)
on conflict (provider, external_id) do nothing returning id
"""


class Callback(Record, frozen=True):
    """A stored callback."""

    id: int
    provider: str
    external_id: str
    kind: str
    payload: str
    handled: bool


async def receive(provider: str, external_id: str, kind: str, payload: str) -> bool:
    """Store a verified callback and enqueue its job. False: it was stored before, and nothing was done."""
    guard.in_transaction()
    inbox_id = await guard.value(RECEIVE, provider, external_id, kind, payload)
    if inbox_id is None:
        return False
    await outbox.enqueue(HandleCallback(inbox_id=inbox_id), once=f"inbox:{inbox_id}")
    return True


async def sweep() -> int:
    """Enqueue a job for each callback whose own has given up; returns how many."""
    guard.in_transaction()
    found = await guard.rows(
        """select id from inbox where handled_at is null and received_at < now() - $1::interval
            order by id limit 500""",
        STANDS_STILL,
    )
    for one in found:
        await outbox.enqueue(HandleCallback(inbox_id=one["id"]), once=outbox.hourly("callback", one["id"]))
    return len(found)


async def read(inbox_id: int) -> Callback:
    """The stored callback."""
    found = await guard.row(
        """select id, provider, external_id, kind, payload::text, handled_at is not null as handled
             from inbox where id = $1""",
        inbox_id,
    )
    if found is None:
        raise NotFound(f"There is no callback {inbox_id}.")
    return Callback(**dict(found))


async def mark_handled(inbox_id: int, outcome: str) -> None:
    """Record what became of a callback: a word or two for the console."""
    guard.in_transaction()
    await guard.rows("update inbox set handled_at = now(), outcome = $2 where id = $1", inbox_id, outcome)
