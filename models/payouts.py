"""A person at Stripe: the customer who pays, and the connected account that is paid."""

from typing import Any

from models import guard, notifications
from models.base import Record
from models.errors import NotFound
from models.jobs import OpenPayoutAccount
from models.outbox import Enqueued, enqueue


class PayoutAccount(Record, frozen=True):
    """Where a freelancer's money goes. `onboarding_sealed` is encrypted: the link signs its holder in at Stripe."""

    user_id: int
    email: str
    account_id: str | None
    ready: bool
    onboarding_sealed: str | None


class PayoutOpened(Record, frozen=True):
    """A job that opens a payout account."""

    job: Enqueued


class PayoutOutcome(Record, frozen=True):
    """How a payout account stands; its onboarding link is no part of it."""

    account_id: str
    payouts_ready: bool


async def request_account(user_id: int) -> PayoutOpened:
    """Ask for a payout account, or for a fresh onboarding link to one; a job does it."""
    return PayoutOpened(job=await enqueue(OpenPayoutAccount(user_id=user_id)))


async def read(user_id: int) -> PayoutAccount:
    """The person's payout account as we know it."""
    found = await guard.row(
        """select id as user_id, email, stripe_account_id as account_id, payouts_ready as ready, onboarding_sealed
             from users where id = $1""",
        user_id,
    )
    if found is None:
        raise NotFound(f"There is no user {user_id}.")
    return PayoutAccount(**dict(found))


async def is_known(account_id: str) -> bool:
    """Whether the connected account is one of ours."""
    return await guard.row("select 1 from users where stripe_account_id = $1", account_id) is not None


async def remember_customer(user_id: int, customer_id: str) -> str:
    """Keep the payer's customer id, unless there is one already; returns the one that is kept."""
    guard.in_transaction()
    kept: str = await guard.value(
        """update users set stripe_customer_id = coalesce(stripe_customer_id, $2) where id = $1
           returning stripe_customer_id""",
        user_id,
        customer_id,
    )
    return kept


async def remember_account(user_id: int, account_id: str) -> str:
    """Keep the freelancer's connected account id, unless there is one already; returns the one that is kept."""
    guard.in_transaction()
    kept: str = await guard.value(
        """update users set stripe_account_id = coalesce(stripe_account_id, $2) where id = $1
           returning stripe_account_id""",
        user_id,
        account_id,
    )
    return kept


async def complete_opening(
    user_id: int, account_id: str, *, ready: bool, onboarding_sealed: str | None
) -> PayoutOutcome:
    """Record how the account stands, and its sealed onboarding link when it needs one.

    Nothing of somebody who was erased while Stripe thought: what was forgotten is not written anew.
    """
    guard.in_transaction()
    await guard.rows(
        "update users set onboarding_sealed = $2 where id = $1 and erased_at is null", user_id, onboarding_sealed
    )
    await set_ready(account_id, ready=ready)
    return PayoutOutcome(account_id=account_id, payouts_ready=ready)


async def set_ready(account_id: str, *, ready: bool) -> bool:
    """Record whether the account can take transfers, and tell its owner when it has become so. False: nobody's."""
    guard.in_transaction()
    owner: Any = await guard.row(
        """select id, payouts_ready from users
            where stripe_account_id = $1 and erased_at is null for no key update""",
        account_id,
    )
    if owner is None:
        return False
    await guard.rows(
        """update users set payouts_ready = $2, onboarding_sealed = case when $2 then null else onboarding_sealed end
            where id = $1""",
        owner["id"],
        ready,
    )
    if ready and not owner["payouts_ready"]:
        await notifications.tell(
            owner["id"],
            type=notifications.NotificationType.PAYOUTS_READY,
            title="Payouts are set up",
            message="Money for released milestones can now be sent to you.",
            data={"account_id": account_id},
        )
    return True
