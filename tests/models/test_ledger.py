"""The ledger: the database itself refuses what must never be, whoever writes it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from models import guard
from models.ledger import accounts
from models.ledger.accounts import Account
from models.ledger.posting import balance, post
from tests.worlds import unmoved

ESCROW, PERSON = accounts.milestone(7), accounts.available(9)
JOURNAL = "insert into journals (key, kind, subject) values ($1, 'fund', 'milestone:7') returning id"
POSTING = "insert into postings (journal, account, asset, amount) values ($1, $2, $3, $4)"


async def fund(amount: int = 500, key: str = "fund:1") -> bool:
    moves = {ESCROW: amount, accounts.STRIPE: -amount}
    return await guard.commit(post, key, kind="fund", subject="milestone:7", moves=moves, currency="USD")


@asynccontextmanager
async def refused(error: type[Exception], match: str) -> AsyncIterator[None]:
    async with unmoved():
        before = await guard.rows("select * from balances order by 1, 2")
        with pytest.raises(error, match=match):
            yield
        assert await guard.rows("select * from balances order by 1, 2") == before


async def by_hand(postings: Sequence[tuple[str, str, int]], key: str = "by hand") -> None:
    """A journal written past our code, in one transaction."""
    async with guard.transaction():
        journal = await guard.value(JOURNAL, key)
        for account, asset, amount in postings:
            await guard.rows(POSTING, journal, account, asset, amount)


async def test_a_posted_journal_moves_its_accounts_and_their_balances(database: str):
    assert await fund()
    release = {ESCROW: -500, accounts.FEES: 50, PERSON: 450}
    assert await guard.commit(post, "release:1", kind="release", subject="milestone:7", moves=release, currency="USD")
    assert [(await balance(one, "USD")).minor for one in (ESCROW, PERSON)] == [0, 450]
    found = await guard.rows("select account, amount::bigint from postings order by id")
    assert [tuple(one) for one in found] == [
        ("escrow:milestone:7", 500),
        ("world:stripe", -500),
        ("escrow:milestone:7", -500),
        ("platform:fees", 50),
        ("user:9:available", 450),
    ]
    kept = await guard.rows("select account from balances order by 1")
    assert [one["account"] for one in kept] == ["escrow:milestone:7", "user:9:available"]


async def test_a_key_is_posted_once(database: str):
    assert await fund()
    async with unmoved():
        assert not await fund(amount=900)
    assert (await balance(ESCROW, "USD")).minor == 500


async def test_of_many_posts_with_one_key_at_once_one_is_posted(database: str):
    answers = await asyncio.gather(*(fund() for _ in range(12)))
    assert sorted(answers) == [False] * 11 + [True]
    assert (await balance(ESCROW, "USD")).minor == 500


async def test_journals_across_the_same_accounts_at_once_do_not_deadlock(database: str):
    other = accounts.milestone(3)
    await asyncio.gather(*(fund(1_000, f"fund:{n}") for n in range(2)))

    async def swap(n: int) -> bool:
        source, target = (ESCROW, other) if n % 2 else (other, ESCROW)
        moves: dict[Account, int] = {target: n + 1, source: -(n + 1)}
        return await guard.commit(post, f"swap:{n}", kind="swap", subject="x", moves=moves, currency="USD")

    await guard.commit(
        post, "x", kind="fund", subject="x", moves={other: 1_000, accounts.STRIPE: -1_000}, currency="USD"
    )
    assert all(await asyncio.gather(*(swap(n) for n in range(12))))
    assert (await balance(ESCROW, "USD")).minor + (await balance(other, "USD")).minor == 3_000


async def test_assets_do_not_mix(database: str):
    await fund()
    assert (await balance(ESCROW, "EUR")).minor == 0


async def test_amounts_of_zero_are_left_out(database: str):
    moves = {ESCROW: 5, accounts.FEES: 0, accounts.STRIPE: -5}
    await guard.commit(post, "k", kind="fund", subject="x", moves=moves, currency="USD")
    assert await guard.value("select count(*) from postings") == 2


async def test_an_unbalanced_post_is_our_mistake(database: str):
    async with refused(AssertionError, "100"):
        await guard.commit(post, "k", kind="fund", subject="x", moves={ESCROW: 100}, currency="USD")


async def test_posting_outside_a_transaction_is_our_mistake(database: str):
    async with refused(AssertionError, "outside a transaction"):
        await post("k", kind="fund", subject="x", moves={ESCROW: 1, PERSON: -1}, currency="USD")


async def test_an_account_with_a_floor_cannot_fall_below_zero(database: str):
    await fund()
    for account in (ESCROW, PERSON):
        async with refused(asyncpg.CheckViolationError, "balances"):
            moves = {account: -501, accounts.STRIPE: 501}
            await guard.commit(post, "over", kind="release", subject="x", moves=moves, currency="USD")


async def test_of_two_that_empty_one_account_at_once_one_is_refused(database: str):
    await fund()

    async def empty(n: int) -> bool:
        moves = {ESCROW: -500, accounts.STRIPE: 500}
        return await guard.commit(post, f"out:{n}", kind="release", subject="x", moves=moves, currency="USD")

    answers = await asyncio.gather(*(empty(n) for n in range(6)), return_exceptions=True)
    assert [one for one in answers if one is True] == [True]
    assert {type(one) for one in answers if one is not True} == {asyncpg.CheckViolationError}
    assert (await balance(ESCROW, "USD")).minor == 0


async def test_an_unbalanced_journal_does_not_commit(database: str, subtests: pytest.Subtests):
    wrong: list[list[tuple[str, str, int]]] = [
        [],
        [(ESCROW, "USD", 5)],
        [(ESCROW, "USD", 5), (accounts.STRIPE, "USD", -4)],
        [(ESCROW, "USD", 5), (accounts.STRIPE, "EUR", -5)],
    ]
    for postings in wrong:
        with subtests.test(postings=postings):
            async with refused(asyncpg.CheckViolationError, "does not sum to zero"):
                await by_hand(postings)


async def test_a_posting_of_nothing_is_refused(database: str):
    async with refused(asyncpg.CheckViolationError, "postings"):
        await by_hand([(ESCROW, "USD", 0), (accounts.STRIPE, "USD", 0)])


async def test_a_journal_cannot_be_added_to_later(database: str):
    await fund()
    journal = await guard.value("select id from journals")
    async with refused(asyncpg.RestrictViolationError, "own transaction"), guard.transaction():
        await guard.rows(POSTING, journal, accounts.FEES, "USD", 5)
        await guard.rows(POSTING, journal, accounts.STRIPE, "USD", -5)


async def test_a_journal_cannot_claim_another_transaction(database: str):
    async with guard.transaction():
        made = await guard.value(
            "insert into journals (key, kind, subject, made_in) values ('k', 'fund', 'x', 1) returning made_in"
        )
        assert made != 1
        journal = await guard.value("select id from journals")
        await guard.rows(POSTING, journal, ESCROW, "USD", 5)
        await guard.rows(POSTING, journal, accounts.STRIPE, "USD", -5)


async def test_postings_added_after_an_early_check_are_checked_again(database: str):
    """`set constraints immediate` judges a journal before its end; what is added then must not slip through."""
    async with refused(asyncpg.CheckViolationError, "does not sum to zero"), guard.transaction():
        journal = await guard.value(JOURNAL, "early")
        await guard.rows(POSTING, journal, ESCROW, "USD", 5)
        await guard.rows(POSTING, journal, accounts.STRIPE, "USD", -5)
        await guard.rows("set constraints all immediate")
        await guard.rows("set constraints all deferred")
        await guard.rows(POSTING, journal, accounts.STRIPE, "USD", -5)


async def test_what_is_written_stays_written(database: str, subtests: pytest.Subtests):
    await fund()
    for statement in (
        "update journals set kind = 'other'",
        "update postings set amount = amount * 2",
        "update postings set account = 'user:1:available'",
        "delete from postings",
        "delete from journals",
        "truncate postings",
        "truncate journals cascade",
        "truncate balances",
        "update balances set amount = amount + 1",
        "insert into balances (account, asset, amount) values ('user:1:available', 'USD', 100)",
        "delete from balances",
    ):
        with subtests.test(statement=statement):
            async with refused(asyncpg.RestrictViolationError, "append-only|kept by the ledger alone"):
                await guard.rows(statement)


async def test_a_rolled_back_transaction_leaves_no_journal(database: str):
    async def fail() -> Any:
        moves = {ESCROW: 5, accounts.STRIPE: -5}
        await post("k", kind="fund", subject="x", moves=moves, currency="USD")
        raise RuntimeError("later")

    async with refused(RuntimeError, "later"):
        await guard.commit(fail)
