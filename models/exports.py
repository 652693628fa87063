"""All that we know of a person, as a ZIP that only they can fetch, for a week.

Holds the file itself, because disks of dynos forget. Refuses nothing that is theirs, and shows nobody else's.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from piccolo.columns import BigSerial, Bytea, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard
from models.accounts import User, lock_present
from models.base import Record, restricted
from models.errors import NotFound, Throttled, WrongState
from models.export_sections import SECTIONS
from models.jobs import ExportAccount
from models.outbox import Enqueued, enqueue

KEPT_DAYS: Final = 7
"""How long a file can be fetched: a week's holiday, and then it is one copy less of somebody's life."""
MOST_A_DAY: Final = 3
"""Exports of one person within 24 hours: each costs a worker seconds, and nobody's life changes faster."""
MAX_BYTES: Final = 20_000_000
"""Of the JSON in one export: it is gathered in memory, and its row holds it. Past this a person does it by hand."""


class Export(Table, tablename="exports"):
    """One export. `content` is None until its job has made it."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    content = Bytea(null=True, default=None, secret=True)
    sha256 = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    ready_at = Timestamptz(null=True, default=None)
    expires_at = Timestamptz()


class ExportRequested(Record, frozen=True):
    """An export that waits for its job."""

    export_id: int
    job: Enqueued


class ExportWanted(Record, frozen=True):
    """An export that is to be made."""

    export_id: int
    user_id: int
    created_at: datetime


class ExportOutcome(Record, frozen=True):
    """A file that can be fetched."""

    export_id: int
    size_bytes: int
    sha256: str
    expires_at: datetime


# Measured before it is built: a value of a gigabyte would be the server's trouble and then ours.
GATHER: Final = """
with found as materialized ({sql})
select case when (select coalesce(sum(octet_length(to_json(f)::text)), 0) from found f) <= $2::bigint
            then (select coalesce(json_agg(f), '[]')::text from found f) end
"""

COMPLETE: Final = """
update exports set content = $2, sha256 = $3, ready_at = now(), expires_at = now() + make_interval(days => $4)
 where id = $1 and content is null
"""
OUTCOME: Final = """
select id as export_id, octet_length(content) as size_bytes, sha256, expires_at
  from exports where id = $1 and content is not null and expires_at > now()
"""


async def request(user_id: int) -> ExportRequested:
    """Ask for an export of one's own; a job makes it. Raises Throttled past MOST_A_DAY within 24 hours."""
    await lock_present(user_id)
    recent = await guard.rows(
        """select created_at from exports
            where "user" = $1 and created_at > now() - interval '24 hours' order by created_at""",
        user_id,
    )
    if len(recent) >= MOST_A_DAY:
        again = recent[-MOST_A_DAY]["created_at"] + timedelta(days=1) - datetime.now(UTC)
        raise Throttled(
            f"You have asked for {len(recent)} exports within 24 hours; {MOST_A_DAY} is the most.",
            retry_after_s=max(1.0, again.total_seconds()),
        )
    export_id = await guard.value(
        """insert into exports ("user", created_at, expires_at)
           values ($1, now(), now() + make_interval(days => $2)) returning id""",
        user_id,
        KEPT_DAYS,
    )
    return ExportRequested(export_id=export_id, job=await enqueue(ExportAccount(export_id=export_id)))


async def find_unmade(export_id: int) -> ExportWanted | None:
    """The export that a job is to make; None when it is made. Raises NotFound when its person was erased meanwhile."""
    found = await guard.row(
        'select "user" as user_id, created_at, content is not null as made from exports where id = $1', export_id
    )
    if found is None:
        raise NotFound(f"There is no export {export_id}.")
    if found["made"]:
        return None
    return ExportWanted(export_id=export_id, user_id=found["user_id"], created_at=found["created_at"])


async def gather(user_id: int, *, max_bytes: int = MAX_BYTES) -> dict[str, str]:
    """A person's data of one moment: JSON by section. Raises WrongState when it is more than `max_bytes`."""
    guard.in_transaction()
    await guard.rows("set transaction isolation level repeatable read, read only")
    await guard.rows("set local timezone = 'UTC'")
    gathered: dict[str, str] = {}
    left = max_bytes
    for name, section in SECTIONS.items():
        text = await guard.value(GATHER.format(sql=section.sql), user_id, left)
        if text is None or len(text.encode()) > left:
            raise WrongState(f"Your data is more than {max_bytes // 1_000_000} MB: write to support for it.")
        gathered[name] = text
        left -= len(text.encode())
    return gathered


async def complete(export_id: int, content: bytes, sha256: str) -> ExportOutcome:
    """Keep an export's file, once, from now on for a week. Raises NotFound when its person was erased meanwhile."""
    guard.in_transaction()
    await guard.rows(COMPLETE, export_id, content, sha256, KEPT_DAYS)
    return await outcome(export_id)


async def outcome(export_id: int) -> ExportOutcome:
    """A file that can be fetched. Raises NotFound when there is none, or it is past its time."""
    found = await guard.row(OUTCOME, export_id)
    if found is None:
        raise NotFound(f"There is no export {export_id}.")
    return ExportOutcome(**dict(found))


async def read_content(export_id: int, *, user_id: int) -> bytes:
    """The file, for the one it is about. Raises NotFound for anybody else, unmade, and past its time."""
    found: bytes | None = await guard.value(
        """select content from exports where id = $1 and "user" = $2 and content is not null and expires_at > now()""",
        export_id,
        user_id,
    )
    if found is None:
        raise NotFound(f"There is no export {export_id}.")
    return found
