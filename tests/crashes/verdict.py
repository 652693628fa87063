"""What must be true when everything has ended: each broken promise is a sentence."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import msgspec

from models.jobs import JobStatus
from tests.crashes.stage import ask, ask_value

FEW = 5
"""How many examples a sentence gives."""


class Asked(msgspec.Struct):
    """What a soak asked for: the keys of the effects it must have, and its numbers of other jobs."""

    keys: set[str] = msgspec.field(default_factory=set)
    stumbles: set[str] = msgspec.field(default_factory=set)
    echoes: int = 0


class Verdict(msgspec.Struct):
    """The sentences, and the two numbers that matter most."""

    wrong: list[str]
    lost: int
    double: int


def _some(what: str, found: Any) -> str:
    return f"{len(found)} {what}, such as {sorted(map(str, found))[:FEW]}"


async def judge(asked: Asked) -> Verdict:
    """Look at everything that the soak has left. PostgreSQL must be up, and nobody at work."""
    orders = {row["key"] for row in await ask("select key from orders")}
    wanted = asked.keys | orders
    counts = {
        row["key"]: row["n"]
        for row in await ask("select key, count(*) as n from effects where key <> 'tick' group by key")
    }
    lost = wanted - counts.keys()
    double = {key for key, n in counts.items() if n > 1}
    wrong: list[str] = []
    if lost:
        wrong.append(_some("effects are lost", lost))
    if double:
        wrong.append(_some("effects happened more than once", double))
    if strange := counts.keys() - wanted:
        wrong.append(_some("effects nobody asked for", strange))
    for part in (_jobs(asked, len(orders)), _events(), _slots()):
        wrong += [sentence async for sentence in part]
    return Verdict(wrong, len(lost), len(double))


async def _jobs(asked: Asked, orders: int) -> AsyncIterator[str]:
    if left := await ask("select job_id from job_live"):
        yield _some("jobs have not ended", [row["job_id"] for row in left])
    for row in await ask(
        """select kind, status, error_code, count(*) as n, min(id::text) as example from jobs
            where status <> $1 group by 1, 2, 3""",
        JobStatus.SUCCEEDED,
    ):
        yield f"{row['n']} of {row['kind']} have status {row['status']} ({row['error_code']}), such as {row['example']}"
    for row in await ask(
        """select kind, attempts, error_code, count(*) as n, min(id::text) as example from jobs
            where attempts <> case kind when 'probe.crash_stumble' then 2 else 1 end group by 1, 2, 3"""
    ):
        yield f"{row['n']} of {row['kind']} used {row['attempts']} attempts ({row['error_code']}), such as {row['example']}"
    stumbled = {row["key"] for row in await ask("select key from marks where what = 'stumbled'")}
    if stumbled != asked.stumbles:
        yield _some("jobs used an attempt without having begun it", asked.stumbles ^ stumbled)
    echoed = await ask_value(
        "select count(*) from jobs where kind = 'probe.crash_echo' and result->'value' = payload->'value'"
    )
    if echoed != asked.echoes:
        yield f"{echoed} of {asked.echoes} echoes have their own result"
    made = await ask_value("select count(*) from jobs where kind <> 'probe.crash_tick'")
    if made != (expected := len(asked.keys) + asked.echoes + orders):
        yield f"{made} jobs were made, where {expected} were asked for"


async def _events() -> AsyncIterator[str]:
    for name, condition in {"have no number": "seq is null", "were never published": "not relayed"}.items():
        if n := await ask_value(f"select count(*) from events where {condition}"):
            yield f"{n} events {name}"
    for row in await ask(
        """select e.audience, count(*) as n, min(seq) as first, max(seq) as last, max(h.last_seq) as head
             from events e left join event_heads h using (audience) group by 1 order by 1"""
    ):
        if (row["first"], row["last"], row["head"]) != (1, row["n"], row["n"]):
            yield f"{row['audience']} has {row['n']} events, numbered {row['first']} to {row['last']}, head {row['head']}"
    twice = await ask(
        "select payload->>'status' as key from events where name = 'project_update' group by 1 having count(*) > 1"
    )
    if twice:
        yield _some("effects told their event twice", [row["key"] for row in twice])
    told = await ask_value("select count(*) from events where name = 'project_update'")
    wrote = await ask_value("select count(*) from effects where key <> 'tick'")
    if told != wrote:
        yield f"{told} events were published by {wrote} effects"
    ends = await ask_value("select count(distinct payload->>'id') from events where name = 'job_update'")
    all_ends = await ask_value("select count(*) from events where name = 'job_update'")
    followed = await ask_value("select count(*) from jobs where caller_id is not null")
    if not ends == all_ends == followed:
        yield f"{followed} followed jobs told {all_ends} ends, of {ends} jobs"


async def _slots() -> AsyncIterator[str]:
    keys = await ask("select key, job_id from job_keys where key like 'clock:%' order by key")
    slots = [datetime.fromisoformat(row["key"].split(":", 2)[2]) for row in keys]
    if len(slots) < 2:
        yield f"the clock enqueued {len(slots)} slots"
    gaps = [later for slot, later in pairwise(slots) if later - slot != timedelta(seconds=1)]
    if gaps:
        yield _some("of the clock's slots do not follow the one before", gaps)
    jobs = await ask_value("select count(*) from jobs where kind = 'probe.crash_tick'")
    ticks = await ask_value("select count(*) from effects where key = 'tick'")
    if not len(slots) == len({row["job_id"] for row in keys}) == jobs == ticks:
        yield f"{len(slots)} slots of the clock made {jobs} jobs and {ticks} effects"
