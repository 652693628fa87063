"""Weeks as their clients meet them: closed, looked at, mended, approved, by word or by silence."""

from datetime import date
from typing import Any

import msgspec
import pytest

from models import guard, time_entries, time_weeks, timesheets
from models.contracts import ContractRow
from models.errors import NotAllowed, NotFound, WrongState
from models.time_entries import Change, EntryRow, TimeEntryStatus
from models.time_weeks import Totals, WeekStatus
from models.timers import TimerKind
from tests import factories, hourly, worlds
from tests.hourly import an_entry, utc

MONDAY = date(2031, 5, 5)
SUBMITTED, APPROVED = TimeEntryStatus.SUBMITTED, TimeEntryStatus.APPROVED
REJECTED, DRAFT = TimeEntryStatus.REJECTED, TimeEntryStatus.DRAFT


async def worked(*spans: tuple[str, str], zone: str = "UTC", billable: bool = True) -> tuple[ContractRow, list[Any]]:
    """A contract and its entries of the week of 5 May 2031, on its Sunday at noon."""
    contract = await hourly.a_contract(zone=zone)
    await hourly.set_clock(utc("2031-05-11 12:00", zone))
    entries = [
        await an_entry(contract, f"2031-05-0{start}", f"2031-05-0{end}", zone=zone, billable=billable)
        for start, end in spans
    ]
    return contract, entries


async def over(zone: str = "UTC") -> list[TimerKind]:
    """The week is over, and what is due is done."""
    await hourly.set_clock(utc("2031-05-12 00:01", zone))
    return await hourly.fire()


async def total(contract: ContractRow) -> Totals:
    return await time_weeks.read_total(contract.id, MONDAY, user_id=contract.client_id, admin=False)


async def statuses(entries: list[EntryRow]) -> list[TimeEntryStatus]:
    return [(await time_entries.read(one.id, user_id=one.freelancer_id, admin=False)).status for one in entries]


async def decide(contract: ContractRow, entry: EntryRow, reason: str = "") -> EntryRow:
    if reason:
        return await guard.commit(timesheets.reject_entry, entry.id, client_id=contract.client_id, reason=reason)
    return await guard.commit(timesheets.approve_entry, entry.id, client_id=contract.client_id)


async def approve(contract: ContractRow, client_id: int | None = None) -> Totals:
    return await guard.commit(timesheets.approve, contract.id, MONDAY, client_id=client_id or contract.client_id)


async def mend(entry: EntryRow) -> None:
    await guard.commit(
        time_entries.edit, entry.id, Change(description="Said better."), freelancer_id=entry.freelancer_id
    )
    await guard.commit(time_entries.submit, entry.id, freelancer_id=entry.freelancer_id)


async def news(user_id: int, kind: str) -> list[dict[str, Any]]:
    found = await guard.rows(
        """select data::text as data from notifications where "user" = $1 and type = $2 order by id""", user_id, kind
    )
    return [msgspec.json.decode(one["data"]) for one in found]


@pytest.mark.parametrize(
    ("zone", "silent_at"),
    [
        ("UTC", "2031-05-20 00:00"),
        ("Pacific/Apia", "2031-05-20 00:00"),
        ("America/New_York", "2031-05-20 00:00"),
    ],
)
async def test_a_week_is_shown_to_its_client_and_silence_approves_it(database: str, zone: str, silent_at: str) -> None:
    contract, entries = await worked(("5 09:00", "5 10:20"), ("6 09:00", "6 10:00"), zone=zone)
    await guard.commit(time_entries.submit, entries[0].id, freelancer_id=contract.freelancer_id)

    assert await over(zone) == [TimerKind.WEEK_CLOSE]

    shown = await total(contract)
    assert (shown.status, shown.minutes, shown.approves_at) == (
        WeekStatus.IN_REVIEW, {"submitted": 140}, utc(silent_at, zone))  # fmt: skip
    said = {
        "contract_id": contract.id,
        "project_id": contract.project_id,
        "week": "2031-05-05",
        "minutes": 140,
        "amount": 14_000,
        "currency": "usd",
    }
    assert await news(contract.client_id, "week_submitted") == [said]
    assert (await worlds.mailed(contract.client_id))[-1] == "week_submitted"
    written = await guard.value("select context::text from mails where kind = 'week_submitted'")
    assert msgspec.json.decode(written) == {
        "project_title": contract.title,
        "contract_id": contract.id,
        "freelancer_name": "Frida Freelancer",
        "monday": "2031-05-05",
        "minutes": 140,
        "amount_minor": 14_000,
        "currency": "USD",
    }
    await hourly.set_clock(utc("2031-05-19 23:59", zone))
    assert await hourly.fire() == []
    await hourly.set_clock(utc("2031-05-20 00:00", zone))
    assert await hourly.fire() == [TimerKind.WEEK_APPROVE]
    assert await statuses(entries) == [APPROVED, APPROVED]
    assert (await total(contract)).status is WeekStatus.APPROVED
    assert await news(contract.freelancer_id, "week_approved") == [said]
    assert "week_approved" not in await worlds.told(contract.client_id)


async def test_a_client_approves_a_week_one_by_one(database: str) -> None:
    contract, (first, second) = await worked(("5 09:00", "5 10:00"), ("6 09:00", "6 10:00"))
    await over()

    await decide(contract, first)
    assert (await total(contract)).status is WeekStatus.IN_REVIEW
    assert (await decide(contract, second)).status is APPROVED

    done = await total(contract)
    assert (done.status, done.approves_at) == (WeekStatus.APPROVED, None)
    assert await hourly.waiting(TimerKind.WEEK_APPROVE, done.id or 0) is None
    assert len(await news(contract.freelancer_id, "week_approved")) == 1
    async with worlds.refused(WrongState, "This time entry is approved"):
        await decide(contract, first)
    async with worlds.refused(WrongState, "This week is approved"):
        await approve(contract)


async def test_a_client_approves_a_week_at_once(database: str) -> None:
    contract, entries = await worked(("5 09:00", "5 10:00"), ("6 09:00", "6 10:00"), ("7 09:00", "7 10:00"))
    async with worlds.refused(WrongState, "This week is open: to approve it, it has to be in_review"):
        await approve(contract)
    await over()
    await decide(contract, entries[0], "Not that.")
    await decide(contract, entries[1], "Nor that.")
    await guard.commit(time_entries.edit, entries[1].id, Change(), freelancer_id=contract.freelancer_id)

    done = await approve(contract)

    # What was rejected, and what was mended but not handed in again, is left out for good.
    assert (done.status, done.billable_minutes, done.amount.minor) == (WeekStatus.APPROVED, 60, 6_000)
    assert await statuses(entries) == [REJECTED, DRAFT, APPROVED]
    freelancer = contract.freelancer_id
    for verb, args in ((time_entries.edit, (Change(),)), (time_entries.submit, ()), (time_entries.remove, ())):
        async with worlds.refused(WrongState, "The week of 2031-05-05 is approved"):
            await guard.commit(verb, entries[1].id, *args, freelancer_id=freelancer)  # type: ignore[arg-type]
    async with worlds.refused(WrongState):
        await guard.commit(time_entries.edit, entries[0].id, Change(), freelancer_id=freelancer)
    assert await hourly.due() == []


async def test_rejected_hours_are_mended_and_give_the_client_five_days_anew(database: str) -> None:
    contract, (only,) = await worked(("5 09:00", "5 10:00"))
    await over()

    rejected = await decide(contract, only, "What was it?")

    assert (rejected.status, rejected.reason) == (REJECTED, "What was it?")
    assert await news(contract.freelancer_id, "time_rejected") == [
        {"time_entry_id": only.id, "contract_id": contract.id, "week": "2031-05-05"}
    ]
    held = await total(contract)
    assert (held.status, held.billable_minutes, held.minutes) == (WeekStatus.IN_REVIEW, 0, {"rejected": 60})
    await hourly.set_clock(utc("2031-05-19 23:00"))
    await mend(only)
    held = await total(contract)
    assert (held.minutes, held.approves_at) == ({"submitted": 60}, utc("2031-05-27 00:00"))
    await hourly.set_clock(utc("2031-05-20 00:01"))
    assert await hourly.fire() == []
    assert (await decide(contract, only)).status is APPROVED
    assert (await total(contract)).status is WeekStatus.APPROVED


async def test_a_week_that_waits_only_for_hours_taken_back_is_approved(database: str) -> None:
    contract, (first, second) = await worked(("5 09:00", "5 10:00"), ("6 09:00", "6 10:00"))
    await over()
    await decide(contract, first)
    await decide(contract, second, "No.")
    freelancer = contract.freelancer_id
    async with worlds.refused(WrongState, "only a draft can be deleted"):
        await guard.commit(timesheets.remove_entry, second.id, freelancer_id=freelancer)
    await guard.commit(time_entries.edit, second.id, Change(), freelancer_id=freelancer)

    await guard.commit(timesheets.remove_entry, second.id, freelancer_id=freelancer)

    done = await total(contract)
    assert (done.status, done.minutes, done.approves_at) == (WeekStatus.APPROVED, {"approved": 60}, None)


async def test_silence_leaves_out_what_was_rejected(database: str) -> None:
    contract, (only,) = await worked(("5 09:00", "5 10:00"))
    await over()
    await decide(contract, only, "No.")

    await hourly.set_clock(utc("2031-05-20 00:01"))
    assert await hourly.fire() == [TimerKind.WEEK_APPROVE]

    done = await total(contract)
    assert (done.status, done.billable_minutes, await statuses([only])) == (WeekStatus.APPROVED, 0, [REJECTED])
    assert await news(contract.freelancer_id, "week_approved") == []


async def test_nobody_is_asked_about_a_week_with_nothing_to_pay(database: str) -> None:
    contract, entries = await worked(("5 09:00", "5 10:00"), billable=False)

    await over()

    assert (await total(contract)).status is WeekStatus.APPROVED
    assert await statuses(entries) == [APPROVED]
    assert "week_submitted" not in await worlds.told(contract.client_id) + await worlds.mailed(contract.client_id)
    assert "week_approved" not in await worlds.told(contract.freelancer_id)
    assert await guard.value("select count(*) from timers where fired_at is null") == 0


async def test_a_week_whose_only_hours_were_taken_back_closes_in_silence(database: str) -> None:
    contract, (only,) = await worked(("5 09:00", "5 10:00"))
    await guard.commit(timesheets.remove_entry, only.id, freelancer_id=contract.freelancer_id)

    await over()

    assert (await total(contract)).status is WeekStatus.APPROVED


async def test_a_week_that_was_approved_while_it_lasted_asks_nobody(database: str) -> None:
    contract, (only,) = await worked(("5 09:00", "5 10:00"))
    await guard.commit(time_entries.submit, only.id, freelancer_id=contract.freelancer_id)
    await decide(contract, only)
    assert (await total(contract)).status is WeekStatus.OPEN

    await over()

    assert (await total(contract)).status is WeekStatus.APPROVED
    assert await news(contract.client_id, "week_submitted") == []
    assert len(await news(contract.freelancer_id, "week_approved")) == 1


async def test_hours_rejected_before_the_close_can_still_be_mended(database: str) -> None:
    contract, (only,) = await worked(("5 09:00", "5 10:00"))
    await guard.commit(time_entries.submit, only.id, freelancer_id=contract.freelancer_id)
    await decide(contract, only, "No.")

    await over()

    assert (await total(contract)).status is WeekStatus.IN_REVIEW
    await mend(only)
    assert (await decide(contract, only)).status is APPROVED


async def test_only_the_contracts_client_decides(database: str) -> None:
    contract, (only,) = await worked(("5 09:00", "5 10:00"))
    stranger = await factories.a_client()
    await over()

    for who, error in ((contract.freelancer_id, NotAllowed), (stranger.id, NotFound)):
        async with worlds.refused(error):
            await guard.commit(timesheets.approve_entry, only.id, client_id=who)
        async with worlds.refused(error):
            await guard.commit(timesheets.reject_entry, only.id, client_id=who, reason="No.")
        async with worlds.refused(error):
            await approve(contract, who)
    async with worlds.refused(NotFound):
        await guard.commit(timesheets.approve_entry, 999_999, client_id=contract.client_id)
    async with worlds.refused(NotFound, "Nobody has written down hours"):
        await guard.commit(timesheets.approve, contract.id, date(2031, 5, 12), client_id=contract.client_id)


async def test_a_deadline_that_somebody_forestalled_does_nothing(database: str) -> None:
    contract, _ = await worked(("5 09:00", "5 10:00"))
    await hourly.set_clock(utc("2031-05-12 00:01"))
    (closing,) = await hourly.due()
    await hourly.fire()
    await hourly.set_clock(utc("2031-05-20 00:01"))
    (approving,) = await hourly.due()
    await approve(contract)

    async with worlds.unmoved():
        await guard.commit(timesheets.close, closing)
        await guard.commit(timesheets.approve_silently, approving)
