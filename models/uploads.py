"""Files that people bring: announced, uploaded straight to storage, looked at, and only then shown to anybody.

Refuses a type or size that its purpose does not take, and whatever turns out to be something else than it said.
An object lies under `incoming/` until it was found good, then under `kept/`: whoever still holds the form it came by
can replace what nobody sees, and never what was looked at.
"""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigInt, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import file_kinds, guard, notifications, sharing, timers
from models.accounts import User, lock_present
from models.base import Record, restricted
from models.errors import NotFound, Throttled, UploadNotReady, WrongState
from models.file_kinds import UploadPurpose
from models.jobs import DeleteObjects, InspectUpload
from models.locks import Noun, lock
from models.notifications import NotificationType
from models.outbox import Enqueued, enqueue
from models.sharing import COLUMNS
from models.states import Edge, Machine, Part
from models.timers import TimerKind, TimerRow

__all__ = ["MACHINE", "Upload", "UploadPurpose", "UploadRow", "UploadStatus"]

MOST_A_DAY: Final = 200
"""Uploads that one person begins within 24 hours: a portfolio on its first day, and room."""
MOST_BYTES_EACH: Final = 5 << 30
"""Of all that one person keeps with us, what is announced included."""
COMES_WITHIN: Final = timedelta(hours=24)
"""How long an announcement waits for its file."""
FORM_IS_GONE: Final = timedelta(minutes=15)
"""After this no form can bring an object back: its ten minutes are over, by any clock."""
INCOMING: Final = "/incoming/"
KEPT: Final = "/kept/"


class UploadStatus(StrEnum):
    """Where an upload stands."""

    AWAITING = "awaiting"
    CHECKING = "checking"
    READY = "ready"
    REFUSED = "refused"
    EXPIRED = "expired"


class Upload(Table, tablename="uploads"):
    """One file. `object_key` names it in storage and is never told; `content_type` is what it was found to be."""

    id = BigSerial(primary_key=True)
    user = restricted(User)
    purpose = Text()
    filename = Text()
    content_type = Text()
    size_bytes = BigInt(default=None)
    object_key = Text(unique=True)
    status = Text(default=UploadStatus.AWAITING.value)
    refused_because = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    ready_at = Timestamptz(null=True, default=None)


MACHINE: Final = Machine[UploadStatus](
    noun="upload",
    start=UploadStatus.AWAITING,
    edges=(
        Edge(
            source=UploadStatus.AWAITING,
            target=UploadStatus.CHECKING,
            verb="complete",
            by=(Part.OWNER,),
            guard="its owner says that it is there",
        ),
        Edge(
            source=UploadStatus.CHECKING,
            target=UploadStatus.READY,
            verb="accept",
            by=(Part.SYSTEM,),
            guard="it is what it said",
        ),
        Edge(
            source=UploadStatus.CHECKING,
            target=UploadStatus.REFUSED,
            verb="refuse",
            by=(Part.SYSTEM,),
            guard="it is something else, too large, or not there",
            tells=("upload_refused",),
        ),
        Edge(
            source=UploadStatus.AWAITING,
            target=UploadStatus.EXPIRED,
            verb="expire",
            by=(Part.SYSTEM,),
            guard="nothing came within a day",
        ),
    ),
)


class Announcement(Record, frozen=True):
    """What somebody says of a file they are about to bring."""

    purpose: UploadPurpose
    filename: str
    content_type: str
    size_bytes: int


class UploadRow(Record, frozen=True):
    """An upload as the domain passes it around."""

    id: int
    user_id: int
    purpose: UploadPurpose
    filename: str
    content_type: str
    size_bytes: int
    object_key: str
    status: UploadStatus
    refused_because: str | None
    created_at: datetime
    ready_at: datetime | None

    def kept_key(self, etag: str) -> str:
        """Where an object with this tag lies once it was found good: another one never takes its place."""
        return f"{self.object_key.replace(INCOMING, KEPT, 1)}-{''.join(filter(str.isalnum, etag))}"


class InspectionRequested(Record, frozen=True):
    """An upload that a job looks at now."""

    upload_id: int
    job: Enqueued


class InspectionOutcome(Record, frozen=True):
    """What a look at a file came to; whoever asks reads the rest from its row."""

    upload_id: int
    status: UploadStatus


USED: Final = """
select count(*) filter (where lately) as begun,
       min(created_at) filter (where lately) + $2::interval - business_now() as again,
       coalesce(sum(size_bytes) filter (where status in ('awaiting', 'checking', 'ready')), 0)::bigint as held
  from (select created_at, size_bytes, status, created_at > business_now() - $2::interval as lately
          from uploads where "user" = $1) u
"""
MAKE: Final = f"""
insert into uploads as u ("user", purpose, filename, content_type, size_bytes, object_key, created_at)
values ($1, $2, $3, $4, $5, $6, business_now()) returning {COLUMNS}
"""


def _row(found: Any) -> UploadRow:
    fields = dict(found)
    return UploadRow(
        **{**fields, "purpose": UploadPurpose(fields["purpose"]), "status": UploadStatus(fields["status"])}
    )


# Verbs


async def announce(announced: Announcement, *, user_id: int, prefix: str) -> UploadRow:
    """Make room for a file that its owner brings within a day. `prefix` begins its key in storage.

    Raises UploadRefused for a type or size that its purpose does not take, Throttled past MOST_A_DAY, WrongState past
    MOST_BYTES_EACH.
    """
    file_kinds.check(announced.purpose, announced.content_type, announced.size_bytes)
    await lock_present(user_id)
    used = await guard.only(USED, user_id, COMES_WITHIN)
    if used["begun"] >= MOST_A_DAY:
        raise Throttled(
            f"You have begun {used['begun']} uploads within 24 hours; {MOST_A_DAY} is the most.",
            retry_after_s=max(1.0, used["again"].total_seconds()),
        )
    if used["held"] + announced.size_bytes > MOST_BYTES_EACH:
        raise WrongState(
            f"Your files have {used['held'] / 2**30:.2f} GB; with this one more than {MOST_BYTES_EACH >> 30} GB."
        )
    made = _row(
        await guard.only(
            MAKE,
            user_id,
            announced.purpose.value,
            file_kinds.clean_filename(announced.filename, announced.content_type),
            announced.content_type,
            announced.size_bytes,
            # 192 random bits: whoever guesses a key still has no signature for it, and learns nothing from another.
            f"{prefix}{INCOMING}{announced.purpose.value}/{secrets.token_urlsafe(24)}",
        )
    )
    await timers.start(TimerKind.UPLOAD_EXPIRE, made.id, made.created_at + COMES_WITHIN)
    return made


async def complete(upload_id: int, *, user_id: int) -> InspectionRequested:
    """Say that one's file has arrived; a job looks at it. Raises NotFound for anybody else's, WrongState."""
    upload = await _own_locked(upload_id, user_id)
    await _move(upload, UploadStatus.CHECKING, "complete")
    await timers.clear(upload_id, TimerKind.UPLOAD_EXPIRE)
    return InspectionRequested(upload_id=upload_id, job=await enqueue(InspectUpload(upload_id=upload_id)))


async def accept(upload_id: int, kept_key: str) -> InspectionOutcome:
    """Show a file that was found good, once: its object lies at `kept_key`, and the one that arrived goes."""
    upload = await _locked(upload_id)
    if upload.status is UploadStatus.CHECKING:
        await _move(upload, UploadStatus.READY, "accept")
        await guard.rows("update uploads set object_key = $2 where id = $1", upload_id, kept_key)
        await _discard([upload.object_key])
    return await outcome(upload_id)


async def refuse(upload_id: int, reason: str, *copies: str) -> InspectionOutcome:
    """Refuse a file that is not what it said, once, and tell its owner; its object goes, and copies of it."""
    upload = await _locked(upload_id)
    if upload.status is UploadStatus.CHECKING:
        await _move(upload, UploadStatus.REFUSED, "refuse", reason)
        await notifications.tell(
            upload.user_id,
            type=NotificationType.UPLOAD_REFUSED,
            title="File refused",
            message=f"“{upload.filename}” was not taken: {reason}",
            data={"upload_id": upload_id, "purpose": upload.purpose.value},
        )
        await _discard([upload.object_key, *copies])
    return await outcome(upload_id)


async def expire(timer: TimerRow) -> None:
    """Forget an upload that never came."""
    upload = await _locked(timer.subject_id)
    if not await timers.take(timer):
        return
    await _move(upload, UploadStatus.EXPIRED, "expire")
    await _discard([upload.object_key])


async def delete(upload_id: int, *, user_id: int) -> None:
    """Take one's file back. Raises NotFound for anybody else's, WrongState while it is looked at or shown anywhere."""
    upload = await _own_locked(upload_id, user_id)
    if upload.status is UploadStatus.CHECKING:
        raise WrongState("This file is being looked at.")
    if await sharing.is_named(upload_id):
        raise WrongState("This file is shown somewhere: take it away there first. What was delivered or sent stays.")
    await _delete([upload])


async def forget_all(user_id: int) -> None:
    """Forget the files of somebody who is erased. What others were given stays with them, under no name."""
    found = await guard.rows(
        """select id from uploads where "user" = $1 and (status <> 'ready' or purpose in ('avatar', 'portfolio'))""",
        user_id,
    )
    ids = [one["id"] for one in found]
    await lock(Noun.UPLOAD, *ids)
    gone = await guard.rows(f"select {COLUMNS} from uploads u where id = any($1::bigint[])", ids)
    await _delete([_row(one) for one in gone])
    await guard.rows("update users set avatar_upload_id = null where id = $1", user_id)
    await guard.rows(
        """update uploads set filename = 'file' || coalesce(substring(filename from '[.][A-Za-z0-9]+$'), '')
            where "user" = $1""",
        user_id,
    )


async def require_ready(upload_ids: Sequence[int], *, user_id: int, purpose: UploadPurpose) -> None:
    """See that files which are about to be named are this person's, for this, and were found good.

    They are locked, so none of them is deleted meanwhile. Raises UploadNotReady naming the first that is not so.
    """
    guard.in_transaction()
    if not upload_ids:
        return
    sql = (
        """select id from uploads where id = any($1::bigint[]) and "user" = $2 and purpose = $3 and status = 'ready'"""
    )
    wanted = (list(upload_ids), user_id, purpose.value)
    there = {one["id"] for one in await guard.rows(sql, *wanted)}
    await lock(Noun.UPLOAD, *there)
    good = {one["id"] for one in await guard.rows(sql, *wanted)} & there
    for one in upload_ids:
        if one not in good:
            raise UploadNotReady(
                f"File {one} is not yours, not for this, or was not found good.", field="attachment_ids"
            )


async def _locked(upload_id: int) -> UploadRow:
    await lock(Noun.UPLOAD, upload_id)
    return _row(await guard.only(f"select {COLUMNS} from uploads u where id = $1", upload_id))


async def _own_locked(upload_id: int, user_id: int) -> UploadRow:
    upload = await _locked(upload_id)
    if upload.user_id != user_id:
        raise NotFound(f"There is no upload {upload_id}.")
    return upload


async def _move(upload: UploadRow, target: UploadStatus, verb: str, reason: str | None = None) -> None:
    MACHINE.check(upload.status, target, verb=verb)
    await guard.rows(
        """update uploads set status = $2, refused_because = $3,
                  ready_at = case when $2 = 'ready' then business_now() end where id = $1""",
        upload.id,
        target.value,
        reason,
    )


async def _delete(gone: Sequence[UploadRow]) -> None:
    for one in gone:
        await timers.clear(one.id, TimerKind.UPLOAD_EXPIRE)
        await guard.rows("delete from uploads where id = $1", one.id)
        await _discard([one.object_key])


async def _discard(object_keys: list[str]) -> None:
    """Have objects deleted, once no form can bring them back."""
    await enqueue(DeleteObjects(object_keys=object_keys), run_at=datetime.now(UTC) + FORM_IS_GONE)


# Queries


async def find_unchecked(upload_id: int) -> UploadRow | None:
    """The upload that a job is to look at; None when somebody has, or it is gone."""
    found = await guard.row(f"select {COLUMNS} from uploads u where id = $1 and status = 'checking'", upload_id)
    return None if found is None else _row(found)


async def outcome(upload_id: int) -> InspectionOutcome:
    """What a look at a file came to. Raises NotFound when it is gone."""
    status = await guard.value("select status from uploads where id = $1", upload_id)
    if status is None:
        raise NotFound(f"There is no upload {upload_id}.")
    return InspectionOutcome(upload_id=upload_id, status=UploadStatus(status))


async def read(upload_id: int, *, user_id: int, admin: bool) -> UploadRow:
    """The upload, for whoever may see it. Raises NotFound for anybody else."""
    found = await guard.row(sharing.SEEN, upload_id, user_id, admin)
    if found is None:
        raise NotFound(f"There is no upload {upload_id}.")
    return _row(found)
