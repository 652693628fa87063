"""Attempts are counted before they are looked at: free ones, a back-off that doubles, and rivals that are all seen."""

import asyncio

import pytest

from models import guard, throttles
from models.errors import Throttled
from models.throttles import account_key, network_key

KEY = account_key("user@example.com", known=False)
NETWORK = network_key("203.0.113.0/24")


async def attempt(*keys: str) -> float:
    """0 when the attempt may be looked at, else the seconds to wait."""
    try:
        await guard.commit(throttles.begin_attempt, *keys)
    except Throttled as refused:
        return refused.retry_after_s
    return 0


async def wait(seconds: float, key: str = KEY) -> None:
    """Let time pass for one key."""
    await guard.rows(
        """update throttles set blocked_until = blocked_until - make_interval(secs => $2),
                                last_at = last_at - make_interval(secs => $2) where key = $1""",
        key,
        seconds,
    )


async def failures(key: str = KEY) -> int | None:
    return await guard.value("select failures from throttles where key = $1", key)


async def test_five_failures_are_free_and_the_sixth_closes_the_door(database: str) -> None:
    assert [await attempt(KEY) for _ in range(5)] == [0] * 5
    assert await attempt(KEY) == 0  # the sixth is looked at, and closes the door behind it
    assert await attempt(KEY) == 5
    assert await failures() == 6


async def test_the_back_off_doubles_from_five_seconds_to_fifteen_minutes(database: str) -> None:
    for _ in range(5):
        await attempt(KEY)
    blocks = []
    for _ in range(12):
        assert await attempt(KEY) == 0
        blocks.append(await attempt(KEY))
        await wait(blocks[-1] + 0.001)
    assert blocks == [5, 10, 20, 40, 80, 160, 320, 640, 900, 900, 900, 900]


async def test_the_back_off_has_no_end_that_arithmetic_could_reach(database: str) -> None:
    await attempt(KEY)
    await guard.rows("update throttles set failures = 1000000")
    assert await attempt(KEY) == 0
    assert await attempt(KEY) == 900


async def test_while_it_is_blocked_nothing_is_counted_on_top(database: str) -> None:
    for _ in range(6):
        await attempt(KEY)
    until = await guard.value("select blocked_until from throttles")
    assert {await attempt(KEY) for _ in range(50)} <= {4, 5}
    found = await guard.only("select failures, blocked_until from throttles")
    assert (found["failures"], found["blocked_until"]) == (6, until)


async def test_of_many_attempts_at_one_moment_each_is_counted_and_six_are_let_through(database: str) -> None:
    waits = await asyncio.gather(*(attempt(KEY) for _ in range(60)))
    assert waits.count(0) == 6
    assert await failures() == 6


async def test_an_hour_of_quiet_begins_anew(database: str) -> None:
    for _ in range(5):
        await attempt(KEY)
    await wait(3601)
    assert [await attempt(KEY) for _ in range(6)] == [0] * 6
    assert await failures() == 6
    assert await attempt(KEY) == 5
    assert await guard.value("select first_at > now() - interval '1 minute' from throttles")


async def test_less_than_an_hour_is_not_quiet(database: str) -> None:
    for _ in range(5):
        await attempt(KEY)
    await wait(3590)
    assert await attempt(KEY) == 0
    assert await attempt(KEY) == 5


async def test_a_network_has_more_free_because_many_share_it(database: str) -> None:
    assert [await attempt(NETWORK) for _ in range(31)] == [0] * 31
    assert await attempt(NETWORK) == 5


async def test_one_blocked_key_blocks_the_attempt_and_counts_it_under_none(database: str) -> None:
    for _ in range(6):
        await attempt(KEY)
    assert await attempt(KEY, NETWORK) == 5
    assert await failures(NETWORK) is None
    assert await attempt("zzz", KEY) == 5
    assert await failures("zzz") is None


async def test_keys_in_any_order_never_wait_for_each_other(database: str) -> None:
    both = [attempt(KEY, NETWORK) if n % 2 else attempt(NETWORK, KEY) for n in range(30)]
    waits = await asyncio.gather(*both)
    assert waits.count(0) == 6
    assert (await failures(), await failures(NETWORK)) == (6, 6)


async def test_a_right_attempt_clears_its_account_and_takes_back_its_own_from_the_network(database: str) -> None:
    for _ in range(3):
        await attempt(KEY, NETWORK)
    await attempt("account:another", NETWORK)
    await guard.commit(throttles.forgive, KEY, NETWORK)
    assert await failures() is None
    assert await failures(NETWORK) == 3
    assert await failures("account:another") == 1


async def test_a_right_attempt_opens_a_network_that_only_it_had_closed(database: str) -> None:
    for _ in range(31):
        await attempt(NETWORK)
    await guard.commit(throttles.forgive, NETWORK)
    assert await attempt(NETWORK) == 0
    assert await attempt(NETWORK) == 5


async def test_signing_in_to_ones_own_account_buys_no_more_guesses(database: str) -> None:
    for _ in range(32):
        await attempt(NETWORK)
        await wait(901, NETWORK)
    await attempt(NETWORK)
    await guard.commit(throttles.forgive, NETWORK)
    assert await attempt(NETWORK) == 20


async def test_forgiving_what_was_never_counted_changes_nothing(database: str) -> None:
    await guard.commit(throttles.forgive, KEY, NETWORK)
    assert await guard.value("select count(*) from throttles") == 0


async def test_a_wrong_attempt_says_whether_it_was_the_last_free_one(database: str) -> None:
    said = []
    for _ in range(7):
        await attempt(KEY, NETWORK)
        said.append(await guard.commit(throttles.fail, KEY, NETWORK))
        await wait(901)
    assert said == [False] * 5 + [True, False]
    assert await guard.commit(throttles.fail, "account:nobody") is False


async def test_a_turn_comes_once_in_its_time_whoever_asks(database: str) -> None:
    turns = await asyncio.gather(*(guard.commit(throttles.take_turn, KEY, 60) for _ in range(8)))
    assert turns.count(True) == 1
    await wait(59)
    assert await guard.commit(throttles.take_turn, KEY, 60) is False
    await wait(1)
    assert await guard.commit(throttles.take_turn, KEY, 60) is True


def test_no_key_says_whose_it_is_and_the_familiar_have_their_own() -> None:
    assert "user" not in KEY
    assert account_key("user@example.com", known=False) == KEY
    assert len({KEY, account_key("user@example.com", known=True), account_key("x@example.com", known=False)}) == 3
    assert network_key("203.0.113.0/24", known=True) != NETWORK


async def test_outside_a_transaction_nothing_is_counted(database: str) -> None:
    with pytest.raises(AssertionError):
        await throttles.begin_attempt(KEY)
