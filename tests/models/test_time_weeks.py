"""Weeks: where they begin and end, what they hold, and what that costs."""

from datetime import date, datetime, timedelta

import pytest

from models import business_time, guard, time_weeks
from models.errors import NotAllowed, NotFound, WrongState
from models.money import Money
from models.time_weeks import MACHINE, Hourly, WeekStatus, wage
from models.timers import TimerKind
from tests import factories, hourly, worlds
from tests.hourly import utc

MONDAY = date(2031, 5, 5)


async def terms_of(contract_id: int, user_id: int, *, freelancer: bool = True) -> Hourly:
    return await guard.commit(time_weeks.locked, contract_id, user_id=user_id, freelancer=freelancer)


async def total(contract: object, monday: date = MONDAY) -> time_weeks.Totals:
    contract_id, client_id = contract.id, contract.client_id  # type: ignore[attr-defined]
    return await time_weeks.read_total(contract_id, monday, user_id=client_id, admin=False)


def test_every_state_but_the_first_can_be_reached() -> None:
    assert {edge.target for edge in MACHINE.edges} == set(WeekStatus) - {WeekStatus.OPEN}


@pytest.mark.parametrize(
    ("minutes", "rate", "paid"),
    [
        (0, Money(6000, "USD"), 0),
        (60, Money(6000, "USD"), 6000),
        (1, Money(6000, "USD"), 100),
        (1, Money(30, "USD"), 0),  # half a cent, to the even one below
        (3, Money(30, "USD"), 2),  # a cent and a half, to the even one above
        (1, Money(31, "USD"), 1),
        (10, Money(500, "JPY"), 83),
        (7, Money(1_000, "KWD"), 120),  # 116.67 fils; cards take multiples of ten
        (30, Money(500_000, "ISK"), 250_000),  # whole kronur
    ],
)
def test_a_wage_is_rounded_once_half_to_even(minutes: int, rate: Money, paid: int) -> None:
    assert wage(minutes, rate) == Money(paid, rate.currency)


@pytest.mark.parametrize(
    ("zone", "monday", "ends", "hours"),
    [
        ("UTC", date(2031, 5, 5), "2031-05-12T00:00:00+00:00", 168),
        ("America/New_York", date(2031, 3, 3), "2031-03-10T04:00:00+00:00", 167),  # its Sunday has 23 hours
        ("America/New_York", date(2031, 10, 27), "2031-11-03T05:00:00+00:00", 169),  # and this one 25
        ("Pacific/Apia", date(2031, 5, 5), "2031-05-11T11:00:00+00:00", 168),
        ("Asia/Kolkata", date(2031, 5, 5), "2031-05-11T18:30:00+00:00", 168),
        ("America/Santiago", date(2031, 9, 1), "2031-09-08T03:00:00+00:00", 167),  # its Sunday begins at one
        ("Europe/Berlin", date(2031, 12, 29), "2032-01-04T23:00:00+00:00", 168),  # the week of the new year
    ],
)
async def test_a_week_ends_where_its_contract_is(database: str, zone: str, monday: date, ends: str, hours: int) -> None:
    contract = await hourly.a_contract(zone=zone)
    terms = await terms_of(contract.id, contract.freelancer_id)

    assert terms.ends_at(monday) == datetime.fromisoformat(ends)
    assert terms.ends_at(monday) - business_time.midnight(monday, zone) == timedelta(hours=hours)
    assert business_time.week_of(terms.ends_at(monday), zone) == monday + timedelta(days=7)
    assert business_time.week_of(terms.ends_at(monday) - timedelta(microseconds=1), zone) == monday


async def test_a_week_holds_its_hours_by_status(database: str) -> None:
    contract = await hourly.a_contract(rate="50.00")
    await hourly.set_clock(utc("2031-05-07 12:00"))

    assert await total(contract) == time_weeks.Totals(
        id=None,
        contract_id=contract.id,
        monday=MONDAY,
        status=None,
        minutes={},
        billable_minutes=0,
        cap_minutes=2400,
        amount=Money(0, "USD"),
        closes_at=utc("2031-05-12 00:00"),
        approves_at=None,
    )

    first = await hourly.an_entry(contract, "2031-05-05 09:00", "2031-05-05 10:00:40")
    await hourly.an_entry(contract, "2031-05-05 11:00", "2031-05-05 11:20:40")
    await hourly.an_entry(contract, "2031-05-06 09:00", "2031-05-06 09:30", billable=False)
    held = await total(contract)

    # Each entry is 40 seconds over; together they are a minute over.
    assert (held.status, held.minutes, held.billable_minutes) == (WeekStatus.OPEN, {"draft": 111}, 81)
    assert held.amount == Money(6750, "USD")
    assert first.minutes == 60
    assert await hourly.waiting(TimerKind.WEEK_CLOSE, held.id or 0) == utc("2031-05-12 00:00")


async def test_only_the_parties_see_a_week(database: str) -> None:
    contract, admin = await hourly.a_contract(), await factories.an_admin()
    for reader, is_admin in ((contract.client_id, False), (contract.freelancer_id, False), (admin.id, True)):
        found = await time_weeks.read_total(contract.id, MONDAY, user_id=reader, admin=is_admin)
        assert found.contract_id == contract.id
    with pytest.raises(NotFound):
        await time_weeks.read_total(contract.id, MONDAY, user_id=admin.id, admin=False)


async def test_a_contract_is_locked_for_whose_turn_it_is(database: str) -> None:
    contract, fixed = await hourly.a_contract(), await factories.a_contract()
    stranger = await factories.a_client()

    async with worlds.refused(NotFound):
        await terms_of(contract.id, stranger.id)
    async with worlds.refused(NotAllowed):
        await terms_of(contract.id, contract.client_id)
    async with worlds.refused(NotAllowed):
        await terms_of(contract.id, contract.freelancer_id, freelancer=False)
    async with worlds.refused(WrongState, "fixed price"):
        await terms_of(fixed.id, fixed.freelancer_id)
