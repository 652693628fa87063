"""Two at once: a file that is completed and forgotten, named and deleted; invoices that are numbered by rivals."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

import pytest

from models import disputes, evidence, guard, invoices, messages, milestones, timers, uploads
from models.disputes import DisputeReason
from models.errors import DomainError, NotFound, UploadNotReady, WrongState
from models.messages import Written
from models.milestones import MilestoneStatus
from models.uploads import InspectionRequested, UploadPurpose
from tests import bills, clock, factories, files, worlds
from tests.races.rivals import until_waiting


async def test_completing_at_once_has_the_file_looked_at_once(database: str) -> None:
    person = await factories.a_client()
    made = await files.announced(person)

    answers = await asyncio.gather(
        *(guard.commit(uploads.complete, made.id, user_id=person.id) for _ in range(4)), return_exceptions=True
    )

    assert sum(isinstance(one, InspectionRequested) for one in answers) == 1
    assert sum(isinstance(one, WrongState) for one in answers) == 3
    assert await guard.value("select count(*) from jobs where kind = 'uploads.inspect'") == 1


async def test_a_file_that_is_completed_as_its_day_ends_is_looked_at_or_expired(database: str) -> None:
    person = await factories.a_client()
    for _ in range(5):
        made = await files.announced(person)
        await clock.ahead(hours=24, seconds=1)
        timer = await timers.find(await guard.value("select id from timers where subject_id = $1", made.id))
        assert timer is not None

        _, completed = await asyncio.gather(
            guard.commit(uploads.expire, timer),
            guard.commit(uploads.complete, made.id, user_id=person.id),
            return_exceptions=True,
        )

        status = (await uploads.outcome(made.id)).status
        assert (status.value, type(completed)) in {("checking", InspectionRequested), ("expired", WrongState)}
        assert await guard.value("select count(*) from timers where fired_at is null") == 0


async def test_accepting_and_refusing_at_once_is_one_of_them(database: str) -> None:
    person = await factories.a_client()
    for _ in range(5):
        made = await files.checking(person)
        said = await asyncio.gather(
            guard.commit(uploads.accept, made.id, made.kept_key("e")),
            guard.commit(uploads.refuse, made.id, "It is not."),
        )
        assert len({one.status for one in said}) == 1
    refused = await guard.value("select count(*) from uploads where status = 'refused'")
    assert (await worlds.told(person.id)).count("upload_refused") == refused


async def test_a_file_that_is_named_as_it_is_deleted_is_shown_whole_or_not_at_all(database: str) -> None:
    hire = await worlds.a_hire()
    owner, milestone = hire.freelancer, hire.milestones[0]

    async def name(upload_id: int) -> None:
        await uploads.require_ready([upload_id], user_id=owner.id, purpose=UploadPurpose.DELIVERABLE)
        await guard.rows(
            "update milestones set attachment_ids = array[$2::bigint] where id = $1", milestone.id, upload_id
        )

    for _ in range(5):
        made = await files.ready(owner, UploadPurpose.DELIVERABLE)

        named, deleted = await asyncio.gather(
            guard.commit(name, made.id),
            guard.commit(uploads.delete, made.id, user_id=owner.id),
            return_exceptions=True,
        )

        there = await files.is_seen(made, hire.client)
        if there:
            assert (named, type(deleted)) == (None, WrongState)
        else:
            assert deleted is None
            assert type(named) in {UploadNotReady, NotFound}
        await guard.rows("update milestones set attachment_ids = '{}'")


async def naming(place: str, hire: worlds.Hire) -> Callable[[int], Awaitable[object]]:
    """What shows a file to the other side, as its freelancer does it: in a delivery, a message, a dispute."""
    sender = hire.freelancer.id
    if place == "delivery":
        return lambda one: milestones.submit(hire.milestones[0].id, freelancer_id=sender, note="", attachment_ids=[one])
    if place == "evidence":
        opened = await guard.commit(
            disputes.open_dispute,
            hire.milestones[0].id,
            user_id=hire.client.id,
            reason=DisputeReason.LATE,
            description="",
        )
        return lambda one: evidence.add(opened.id, user_id=sender, note="", attachment_ids=[one])
    return lambda one: messages.send(
        Written(content="See.", attachment_ids=(one,)), sender_id=sender, receiver_id=hire.client.id
    )


@pytest.mark.parametrize(
    ("place", "purpose"),
    [
        ("delivery", UploadPurpose.DELIVERABLE),
        ("message", UploadPurpose.ATTACHMENT),
        ("evidence", UploadPurpose.EVIDENCE),
    ],
)
async def test_a_file_that_was_named_a_moment_ago_is_not_deleted(
    database: str, place: str, purpose: UploadPurpose
) -> None:
    hire = await worlds.a_hire()
    await factories.walked(hire.milestones[0], MilestoneStatus.FUNDED)
    made = await files.ready(hire.freelancer, purpose)
    name = await naming(place, hire)
    outside = contextvars.copy_context()

    async def name_while_it_is_deleted() -> asyncio.Task[None]:
        await name(made.id)
        deleting = guard.commit(uploads.delete, made.id, user_id=hire.freelancer.id)
        late = asyncio.create_task(deleting, context=outside.copy())
        await asyncio.get_running_loop().create_task(until_waiting(), context=outside.copy())
        return late

    late = await guard.commit(name_while_it_is_deleted)

    with pytest.raises(WrongState, match="shown somewhere"):
        await late
    assert await files.is_seen(made, hire.client)


async def test_announcing_at_once_stays_within_the_limit(database: str) -> None:
    person = await factories.a_client()
    await guard.rows(
        """insert into uploads ("user", purpose, filename, content_type, size_bytes, object_key, created_at)
           select $1::bigint, 'evidence', 'x', 'image/png', 1, 'k' || n, business_now() from generate_series(1, $2) n""",
        person.id,
        uploads.MOST_A_DAY - 1,
    )
    answers = await asyncio.gather(*(files.announced(person) for _ in range(4)), return_exceptions=True)
    assert sum(isinstance(one, DomainError) for one in answers) == 3
    assert await guard.value("select count(*) from uploads") == uploads.MOST_A_DAY


async def test_rivals_that_number_invoices_leave_no_gap_and_give_none_twice(database: str) -> None:
    hire = await worlds.a_hire()
    ids = [await bills.written(hire) for _ in range(24)]

    counted = await asyncio.gather(*(guard.commit(invoices.number_some, 5) for _ in range(8)))

    assert sum(counted) == len(ids)
    found = await guard.rows("select id, number from invoices order by id")
    assert [one["number"] for one in found] == list(range(1, len(ids) + 1))


async def test_releases_at_once_are_billed_while_rivals_number(database: str) -> None:
    hires = [await worlds.a_hire() for _ in range(6)]

    async def number() -> None:
        for _ in range(10):
            await guard.commit(invoices.number_some, 3)
            await asyncio.sleep(0.005)

    await asyncio.gather(number(), number(), *(bills.paid(hire, gross="10.00", fee="1.00") for hire in hires))
    await guard.commit(invoices.number_some)

    numbers = [one["number"] for one in await guard.rows("select number from invoices order by number")]
    assert numbers == list(range(1, 13))
