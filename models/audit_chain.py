"""The audit log's chain: each row gets a place and a hash over the row before it and itself, so a change shows.

`hash = sha256(hash of the place before || the row as text)`; before the first place stand 32 zero bytes. The order of
the chain is `seq`: a row whose transaction committed late stands behind rows with higher ids. What is forged before it
is sealed is sealed as forged: that window is about a second.

Each sealing leaves its head in `audit_heads` and in the process' log. Whoever rewrites the whole chain must rewrite
both, and the log is not in this database.
"""

from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import msgspec

from models import guard, outbox
from models.base import Record
from models.jobs import VerifyAudit
from models.outbox import Enqueued

GENESIS: Final = bytes(32)
BATCH: Final = 1_000
"""Rows sealed in one commit: tens of milliseconds."""
PAGE: Final = 2_000
"""Rows verified at a time: the memory of it, and how far a look goes between two looks at the clock."""
UNSEALED_S: Final = 60.0
"""A row that waits longer was missed: sealing takes a second, and no transaction lives for a minute."""
MOST_NAMED: Final = 100
"""Differences that are told one by one; after that the log needs a person, not a list."""
MOST_WAITING: Final = 10_000
"""How far unsealed rows are counted for a page."""
SEALERS: Final = 0x6D676C61  # "mgla"
"""The advisory lock of those who seal: of two at once the second waits for the first one's commit."""

# Numbers for times, because the text of a time depends on the session's zone; jsonb writes everything else one way.
CANONICAL: Final = """
jsonb_build_array({seq}, id, (extract(epoch from at) * 1000000)::bigint, actor_id, action, subject_kind, subject_id,
                  before, after, details, request_id)::text
"""
# A statement of its own, so that the next one's snapshot is taken with the lock held.
LOCK: Final = "select pg_advisory_xact_lock($1)"
HEAD: Final = "select seq, hash from audit_log where seq is not null order by seq desc limit 1"
UNSEALED: Final = f"""
select id, {CANONICAL.format(seq="$1::bigint + row_number() over (order by id)")} as said
  from (select id, at, actor_id, action, subject_kind, subject_id, before, after, details, request_id
          from audit_log where seq is null order by id limit $2) waiting order by id
"""
SEAL: Final = """
update audit_log a set seq = s.seq, hash = s.hash
  from unnest($1::bigint[], $2::bigint[], $3::bytea[]) s(id, seq, hash) where a.id = s.id returning 1
"""
REMEMBER: Final = "insert into audit_heads (seq, hash) values ($1, $2)"
WALK: Final = f"""
select id, seq, hash, {CANONICAL.format(seq="seq")} as said,
       (select h.hash from audit_heads h where h.seq = audit_log.seq) as head
  from audit_log where seq > $1 order by seq limit $2
"""
OVERDUE: Final = """
select id from audit_log where seq is null and at < now() - make_interval(secs => $1) order by id limit $2
"""
WAITING: Final = "select count(*) from (select 1 from audit_log where seq is null limit $1) waiting"
VERIFIED: Final = """
select result::text as result, finished_at from jobs where kind = 'audit.verify' and status = 2 order by id desc limit 1
"""


class Head(Record, frozen=True):
    """The end of the chain; of an empty one `seq` is 0 and `hash` the genesis. The hash is in hex."""

    seq: int
    hash: str


class Batch(Record, frozen=True):
    """What one sealing did."""

    rows: int
    head: Head


class Difference(Record, frozen=True):
    """One place where the log is not as it was sealed. `check` names the kind, `detail` says it in a sentence."""

    check: str
    seq: int | None
    id: int | None
    detail: str


class Walk(Record, frozen=True):
    """How far a verification is: the place it has come to, the hash there, and what it has found."""

    rows: int = 0
    seq: int = 0
    hash: str = GENESIS.hex()
    anchor: int | None = None
    """The newest head there was when the walk began: the chain has to reach it."""
    unanchored: bool = False
    """Whether the row it has come to left no head: the last row of a chain always has."""
    found: int = 0
    differences: tuple[Difference, ...] = ()
    over: bool = False


class Standing(Record, frozen=True):
    """The chain as a page shows it: its head and when that was sealed, how much waits, the last verification."""

    head: Head
    sealed_at: datetime | None
    waiting: int
    verified_at: datetime | None
    verified: dict[str, Any] | None


class Requested(Record, frozen=True):
    """The job that walks the chain."""

    job: Enqueued


async def request_walk() -> Requested:
    """Have the whole chain walked. One walk waits at a time: others join it."""
    guard.in_transaction()
    return Requested(job=await outbox.enqueue(VerifyAudit(), coalesce=VerifyAudit.kind))


async def seal(*, limit: int = BATCH) -> Batch:
    """Give the oldest unsealed rows their places, at most `limit`. Of two sealers the second finds less to do."""
    guard.in_transaction()
    await guard.rows(LOCK, SEALERS)
    head = await guard.row(HEAD)
    seq, last = (0, GENESIS) if head is None else (head["seq"], head["hash"])
    waiting = await guard.rows(UNSEALED, seq, limit)
    if not waiting:
        return Batch(rows=0, head=Head(seq=seq, hash=last.hex()))
    hashes = []
    for one in waiting:
        last = following(last, one["said"])
        hashes.append(last)
    places = list(range(seq + 1, seq + 1 + len(waiting)))
    sealed = await guard.execute(SEAL, [one["id"] for one in waiting], places, hashes)
    assert sealed == len(waiting), f"{sealed} of {len(waiting)} rows were sealed"
    await guard.rows(REMEMBER, places[-1], last)
    return Batch(rows=sealed, head=Head(seq=places[-1], hash=last.hex()))


def following(last: bytes, said: str) -> bytes:
    """The hash of the row behind the one whose hash is `last`."""
    return sha256(last + said.encode()).digest()


async def walk(so_far: Walk, *, limit: int = PAGE) -> Walk:
    """Verify the next page of the chain; `over` once the end was reached, and looked at."""
    anchor = so_far.anchor
    if anchor is None:
        anchor = await guard.value("select coalesce(max(seq), 0) from audit_heads")
    page = await guard.rows(WALK, so_far.seq, limit)
    seq, last, unanchored = so_far.seq, bytes.fromhex(so_far.hash), so_far.unanchored
    found: list[Difference] = []
    for one in page:
        found += _compare(seq, last, one)
        # On from what the row says it is, so that one changed row is one difference.
        seq, last, unanchored = one["seq"], one["hash"], one["head"] is None
    over = len(page) < limit
    if over:
        found += _at_the_end(seq, anchor or 0, unanchored=unanchored)
        found += [
            Difference(check="row_unsealed", seq=None, id=one["id"], detail=f"Row {one['id']} has waited for a minute.")
            for one in await guard.rows(OVERDUE, UNSEALED_S, MOST_NAMED)
        ]
    return Walk(
        rows=so_far.rows + len(page),
        seq=seq,
        hash=last.hex(),
        anchor=anchor,
        unanchored=unanchored,
        found=so_far.found + len(found),
        differences=(*so_far.differences, *found)[:MOST_NAMED],
        over=over,
    )


def _compare(seq: int, last: bytes, one: Any) -> list[Difference]:
    place, row_id, found = one["seq"], one["id"], []
    if place > seq + 1:
        # What stood there is gone, so nobody can say what this row was chained to: its own words are not tried.
        lost = f"place {seq + 1}" if place == seq + 2 else f"places {seq + 1} to {place - 1}"
        found.append(Difference(check="row_missing", seq=seq + 1, id=None, detail=f"Nothing is left at {lost}."))
    elif following(last, one["said"]) != one["hash"]:
        said = f"Row {row_id} at place {place} is not what was sealed there."
        found.append(Difference(check="row_changed", seq=place, id=row_id, detail=said))
    if one["head"] not in (None, one["hash"]):
        said = f"At place {place} the chain has another hash than its sealing left behind."
        found.append(Difference(check="head_differs", seq=place, id=row_id, detail=said))
    return found


def _at_the_end(seq: int, anchor: int, *, unanchored: bool) -> list[Difference]:
    if seq < anchor:
        said = f"The chain was sealed up to place {anchor}, and ends at {seq}."
        return [Difference(check="tail_missing", seq=seq + 1, id=None, detail=said)]
    if unanchored:
        said = f"No sealing left its head at place {seq}, where the chain ends."
        return [Difference(check="head_missing", seq=seq, id=None, detail=said)]
    return []


async def read_standing() -> Standing:
    """The chain as of now, and how its last verification went."""
    head = await guard.row(HEAD)
    verified = await guard.row(VERIFIED)
    return Standing(
        head=Head(seq=0, hash=GENESIS.hex()) if head is None else Head(seq=head["seq"], hash=head["hash"].hex()),
        sealed_at=await guard.value("select at from audit_heads order by seq desc limit 1"),
        waiting=await guard.value(WAITING, MOST_WAITING),
        verified_at=None if verified is None else verified["finished_at"],
        verified=None if verified is None else msgspec.json.decode(verified["result"]),
    )
