"""Accounts of the ledger are addresses, written in one place.

Those of escrow and of people have a floor of zero, which the database holds; `platform:` and `world:` have none.
"""

from typing import Final, NewType

Account = NewType("Account", str)
"""An address such as `escrow:milestone:7`."""

FEES: Final = Account("platform:fees")
"""What the platform has earned."""

STRIPE: Final = Account("world:stripe")
"""The other side of every card movement: what went in is negative here, what went out positive."""


def milestone(milestone_id: int) -> Account:
    """The escrow of one milestone."""
    return Account(f"escrow:milestone:{milestone_id}")


def available(user_id: int) -> Account:
    """What the platform holds for a person, free to be paid out."""
    return Account(f"user:{user_id}:available")
