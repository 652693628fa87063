"""Journals and postings: double entry, append-only. The database enforces both (see the ledger's migration)."""

from piccolo.columns import BigInt, BigSerial, Numeric, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models.base import restricted


class Journal(Table, tablename="journals"):
    """One movement of money, recorded once: `key` is its idempotency key, `kind` its name, `subject` its cause."""

    id = BigSerial(primary_key=True)
    key = Text(unique=True)
    kind = Text()
    subject = Text()
    effective_at = Timestamptz(default=TimestamptzNow())
    made_in = BigInt(default=None)


class Posting(Table, tablename="postings"):
    """A signed amount on one account, in the asset's smallest unit. Those of a journal sum to zero per asset."""

    id = BigSerial(primary_key=True)
    journal = restricted(Journal)
    account = Text()
    asset = Text()
    amount = Numeric(digits=(78, 0), default=None)


class Balance(Table, tablename="balances"):
    """The running balance of an account that has a floor of zero. Kept by the database, never by us."""

    account = Text(primary_key=True)
    asset = Text()
    amount = Numeric(digits=(78, 0), default=None)
