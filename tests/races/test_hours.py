"""Two hands on the same hours: of each pair one comes first, and the other finds that it was there."""

import asyncio
import contextvars

import pytest

from models import guard, time_clocks, time_entries, timesheets
from models.contracts import ContractRow
from models.errors import DomainError, HoursOverlap, NotFound, WeeklyCapExceeded, WrongState
from models.time_entries import Change, EntryRow, Span, TimeEntryStatus
from models.timers import TimerKind
from tests import factories, hourly
from tests.hourly import an_entry, utc
from tests.races.rivals import until_waiting

ROUNDS = 3


async def both(*rivals: object) -> list[object]:
    """What came of rivals that began at one moment: an answer each, or a refusal, and nothing else."""
    answers = await asyncio.gather(*rivals, return_exceptions=True)  # type: ignore[call-overload]
    assert all(not isinstance(one, BaseException) or isinstance(one, DomainError) for one in answers), answers
    return list(answers)


def refused(answers: list[object], error: type[DomainError]) -> int:
    return sum(isinstance(one, error) for one in answers)


def begin(contract_id: int, freelancer_id: int) -> object:
    return guard.commit(time_clocks.start, contract_id, freelancer_id=freelancer_id, description="", is_billable=True)


def span(start: str, end: str) -> Span:
    return Span(
        started_at=utc(f"2031-05-05 {start}"), ended_at=utc(f"2031-05-05 {end}"), description="", is_billable=True
    )


async def test_two_starts_under_two_contracts_start_one_clock(database: str) -> None:
    for _ in range(ROUNDS):
        freelancer = await factories.a_freelancer()
        contracts = [await hourly.a_contract(freelancer=freelancer) for _ in range(2)]

        answers = await both(*(begin(one.id, freelancer.id) for one in contracts * 2))

        assert refused(answers, HoursOverlap) == 3


async def test_the_same_hours_written_under_two_contracts_are_written_once(database: str) -> None:
    freelancer = await factories.a_freelancer()
    contracts = [await hourly.a_contract(freelancer=freelancer) for _ in range(2)]
    await hourly.set_clock(utc("2031-05-07 12:00"))

    answers = await both(
        *(
            guard.commit(time_entries.create, one.id, span(start, "10:00"), freelancer_id=freelancer.id)
            for one in contracts
            for start in ("09:00", "09:30", "09:59")
        )
    )

    assert refused(answers, HoursOverlap) == 5
    assert await guard.value("select count(*) from time_entries") == 1


async def test_hours_written_at_once_do_not_pass_the_cap(database: str) -> None:
    contract = await hourly.a_contract(cap_minutes=60)
    await hourly.set_clock(utc("2031-05-07 12:00"))

    answers = await both(
        *(
            guard.commit(
                time_entries.create,
                contract.id,
                span(f"0{hour}:00", f"0{hour}:30"),
                freelancer_id=contract.freelancer_id,
            )
            for hour in range(5)
        )
    )

    assert refused(answers, WeeklyCapExceeded) == 3


async def test_a_clock_stopped_twice_at_once_stops_once(database: str) -> None:
    for _ in range(ROUNDS):
        contract = await hourly.a_contract()
        running = await begin(contract.id, contract.freelancer_id)  # type: ignore[misc]

        answers = await both(
            *(guard.commit(time_clocks.stop, running.id, freelancer_id=contract.freelancer_id) for _ in range(3))
        )

        assert refused(answers, WrongState) == 2


async def test_a_stop_and_a_start_at_once_never_overlap(database: str) -> None:
    for _ in range(ROUNDS):
        contract = await hourly.a_contract()
        running = await begin(contract.id, contract.freelancer_id)  # type: ignore[misc]

        stopped, started = await both(
            guard.commit(time_clocks.stop, running.id, freelancer_id=contract.freelancer_id),
            begin(contract.id, contract.freelancer_id),
        )

        assert isinstance(stopped, EntryRow)
        assert isinstance(started, (EntryRow, HoursOverlap))


async def test_an_approval_and_a_rejection_of_the_same_hours_decide_once(database: str) -> None:
    for _ in range(ROUNDS):
        contract, entry = await in_review()

        answers = await both(
            guard.commit(timesheets.approve_entry, entry.id, client_id=contract.client_id),
            guard.commit(timesheets.reject_entry, entry.id, client_id=contract.client_id, reason="No."),
        )

        assert refused(answers, WrongState) == 1


async def test_a_change_and_a_submission_at_once_leave_what_was_shown(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-07 12:00"))
    me = contract.freelancer_id
    for day in (5, 6, 7):
        entry = await an_entry(contract, f"2031-05-0{day} 09:00", f"2031-05-0{day} 10:00")

        changed, shown, gone = await both(
            guard.commit(time_entries.edit, entry.id, Change(description="Other."), freelancer_id=me),
            guard.commit(time_entries.submit, entry.id, freelancer_id=me),
            guard.commit(time_entries.remove, entry.id, freelancer_id=me),
        )

        kept = await guard.row("select description, status from time_entries where id = $1", entry.id)
        if isinstance(shown, EntryRow):
            assert isinstance(gone, WrongState)
            assert kept is not None
            assert kept["status"] == "submitted"
            assert (kept["description"] == "Other.") == isinstance(changed, EntryRow)
        else:
            assert isinstance(shown, NotFound)
            assert kept is None


async def test_hours_taken_back_while_their_client_decides_are_gone(database: str) -> None:
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-07 12:00"))
    entry = await an_entry(contract, "2031-05-05 09:00", "2031-05-05 10:00")
    outside = contextvars.copy_context()

    async def take_back() -> asyncio.Task[EntryRow]:
        await time_entries.remove(entry.id, freelancer_id=contract.freelancer_id)
        deciding = guard.commit(timesheets.approve_entry, entry.id, client_id=contract.client_id)
        late = asyncio.create_task(deciding, context=outside.copy())
        await asyncio.create_task(until_waiting(), context=outside.copy())
        return late

    late = await guard.commit(take_back)
    with pytest.raises(NotFound):
        await late


async def in_review() -> tuple[ContractRow, EntryRow]:
    """One hour of a week that waits for its client, on the day after silence has approved it."""
    contract = await hourly.a_contract()
    await hourly.set_clock(utc("2031-05-07 12:00"))
    entry = await an_entry(contract, "2031-05-05 09:00", "2031-05-05 10:00")
    await hourly.set_clock(utc("2031-05-12 00:01"))
    await hourly.fire()
    return contract, entry


async def test_a_rejection_at_the_moment_of_silence_is_in_time_or_too_late(database: str) -> None:
    for _ in range(ROUNDS):
        contract, entry = await in_review()
        await hourly.set_clock(utc("2031-05-21 00:00"))
        (timer,) = await hourly.due()

        rejected, _ = await both(
            guard.commit(timesheets.reject_entry, entry.id, client_id=contract.client_id, reason="No."),
            guard.commit(timesheets.approve_silently, timer),
        )

        status = await guard.value("select status from time_entries where id = $1", entry.id)
        assert status == ("approved" if isinstance(rejected, WrongState) else "rejected")
        assert await guard.value("select status from time_weeks where id = $1", entry.week_id) == "approved"
        await guard.rows("delete from timers")


async def test_hours_written_at_the_close_are_submitted_or_refused(database: str) -> None:
    for _ in range(ROUNDS):
        contract = await hourly.a_contract()
        await hourly.set_clock(utc("2031-05-11 12:00"))
        first = await an_entry(contract, "2031-05-05 07:00", "2031-05-05 08:00")
        await hourly.set_clock(utc("2031-05-12 00:01"))
        (timer,) = await hourly.due()

        late, _ = await both(
            guard.commit(
                time_entries.create, contract.id, span("09:00", "10:00"), freelancer_id=contract.freelancer_id
            ),
            guard.commit(timesheets.close, timer),
        )

        found = await guard.rows("select status from time_entries where week = $1", first.week_id)
        assert [one["status"] for one in found] == ["submitted"] * (1 if isinstance(late, WrongState) else 2)
        await guard.rows("delete from timers")


async def test_a_stop_at_the_close_loses_no_minute(database: str) -> None:
    for _ in range(ROUNDS):
        contract = await hourly.a_contract()
        await hourly.set_clock(utc("2031-05-11 23:00"))
        running = await begin(contract.id, contract.freelancer_id)  # type: ignore[misc]
        await hourly.set_clock(utc("2031-05-12 00:30"))
        (timer,) = await hourly.due()
        assert timer.kind is TimerKind.WEEK_CLOSE

        stopped, _ = await both(
            guard.commit(time_clocks.stop, running.id, freelancer_id=contract.freelancer_id),
            guard.commit(timesheets.close, timer),
        )

        found = await guard.rows(
            "select status, started_at, ended_at from time_entries where contract = $1 order by started_at", contract.id
        )
        old, new = found
        assert (old["status"], old["ended_at"]) == ("submitted", utc("2031-05-12 00:00"))
        assert new["started_at"] == old["ended_at"]
        assert new["status"] == ("running" if isinstance(stopped, WrongState) else "draft")
        await guard.rows("delete from timers")


async def test_a_week_approved_twice_at_once_is_approved_once(database: str) -> None:
    contract, entry = await in_review()

    answers = await both(
        guard.commit(timesheets.approve, contract.id, entry.monday, client_id=contract.client_id),
        guard.commit(timesheets.approve_entry, entry.id, client_id=contract.client_id),
        guard.commit(timesheets.approve, contract.id, entry.monday, client_id=contract.client_id),
    )

    assert refused(answers, WrongState) == 2
    assert (await time_entries.read(entry.id, user_id=contract.client_id, admin=False)).status is (
        TimeEntryStatus.APPROVED
    )
    told = await guard.value("select count(*) from notifications where type = 'week_approved'")
    assert told == 1
