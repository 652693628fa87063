"""The only writer of the ledger."""

from models import guard
from models.ledger.accounts import Account
from models.money import Money


async def post(key: str, *, kind: str, subject: str, moves: dict[Account, int], currency: str) -> bool:
    """Record one movement of money, once: signed amounts in the currency's smallest unit, by account.

    Call it last in a transaction; accounts are written in order, so that two journals never deadlock. Zero amounts
    are left out. Returns False, and changes nothing, when a journal with this key exists.

    Raises AssertionError when the amounts do not sum to zero: the database would refuse them too, at the commit.
    Raises asyncpg.CheckViolationError when an account with a floor would fall below zero.
    """
    guard.in_transaction()
    assert sum(moves.values()) == 0, moves
    made = await guard.value(
        "insert into journals (key, kind, subject) values ($1, $2, $3) on conflict (key) do nothing returning id",
        key,
        kind,
        subject,
    )
    if made is None:
        return False
    for account in sorted(moves):
        if moves[account]:
            await guard.rows(
                "insert into postings (journal, account, asset, amount) values ($1, $2, $3, $4)",
                made,
                account,
                currency,
                moves[account],
            )
    return True


async def balance(account: Account, currency: str) -> Money:
    """The balance of an account that has a floor."""
    found = await guard.value("select amount from balances where account = $1 and asset = $2", account, currency)
    return Money(int(found or 0), currency)
