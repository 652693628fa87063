"""Charges of a client's card, as Stripe names their states. One payment funds one milestone, at one attempt."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigInt, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, locks, outbox
from models.accounts import User
from models.base import Record, restricted
from models.errors import NotFound
from models.events import PaymentUpdated, user
from models.milestones import Milestone
from models.money import Money


class PaymentStatus(StrEnum):
    """Stripe's names; and `requested` before Stripe has answered, `canceling` once we have decided to cancel."""

    REQUESTED = "requested"
    PROCESSING = "processing"
    REQUIRES_ACTION = "requires_action"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELING = "canceling"
    CANCELED = "canceled"
    FAILED = "failed"


class Rail(StrEnum):
    """How escrow holds a card's money: an authorisation on the card, or captured in the platform's balance."""

    HOLD = "hold"
    CAPTURED = "captured"


class Payment(Table, tablename="payments"):
    """A charge. `client_secret_sealed` is encrypted at rest; only its payer is ever shown it."""

    id = BigSerial(primary_key=True)
    milestone = restricted(Milestone)
    payer = restricted(User)
    amount_minor = BigInt(default=None)
    currency = Text()
    payment_method_id = Text()
    rail = Text(default=Rail.HOLD.value)
    status = Text(default=PaymentStatus.REQUESTED.value)
    intent_id = Text(null=True, default=None, unique=True)
    charge_id = Text(null=True, default=None)
    client_secret_sealed = Text(null=True, default=None, secret=True)
    capture_before = Timestamptz(null=True, default=None)
    failure_code = Text(null=True, default=None)
    decline_code = Text(null=True, default=None)
    expires_at = Timestamptz(default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    updated_at = Timestamptz(default=TimestamptzNow())


LIVE: Final = (
    PaymentStatus.REQUESTED,
    PaymentStatus.PROCESSING,
    PaymentStatus.REQUIRES_ACTION,
)
"""States from which a payment may still be paid."""

PAID: Final = (PaymentStatus.REQUIRES_CAPTURE, PaymentStatus.SUCCEEDED)
"""States in which escrow holds the payment's money."""


class IntentSeen(Record, frozen=True):
    """What Stripe said of a PaymentIntent when we last asked. `client_secret_sealed` is encrypted by the performer."""

    intent_id: str
    status: str
    amount_minor: int
    amount_received_minor: int
    currency: str
    charge_id: str | None
    capture_before: datetime | None
    client_secret_sealed: str | None


class PaymentRow(Record, frozen=True):
    """A payment as the verbs of escrow read it."""

    id: int
    milestone_id: int
    payer_id: int
    amount: Money
    payment_method_id: str
    rail: Rail
    status: PaymentStatus
    intent_id: str | None
    charge_id: str | None
    client_secret_sealed: str | None
    failure_code: str | None
    decline_code: str | None
    expires_at: datetime


ROW: Final = """
select id, milestone as milestone_id, payer as payer_id, amount_minor, currency, payment_method_id, rail, status,
       intent_id, charge_id, client_secret_sealed, failure_code, decline_code, expires_at
  from payments where id = $1
"""


def _payment(found: Any) -> PaymentRow:
    fields = dict(found)
    fields["amount"] = Money(fields.pop("amount_minor"), fields.pop("currency"))
    fields["rail"], fields["status"] = Rail(fields["rail"]), PaymentStatus(fields["status"])
    return PaymentRow(**fields)


async def read(payment_id: int) -> PaymentRow:
    """The payment as it stands, unlocked."""
    found = await guard.row(ROW, payment_id)
    if found is None:
        raise NotFound(f"There is no payment {payment_id}.")
    return _payment(found)


async def find_by_intent(intent_id: str) -> PaymentRow | None:
    """The payment that an intent of Stripe's is for, or None when we made no such intent."""
    found = await guard.value("select id from payments where intent_id = $1", intent_id)
    return None if found is None else await read(found)


async def lock(payment_id: int) -> PaymentRow:
    """The payment, locked to the end of the transaction. Lock its contract and milestone first."""
    await locks.lock(locks.Noun.PAYMENT, payment_id)
    return await read(payment_id)


async def live_of(milestone_id: int) -> PaymentRow | None:
    """The one payment that funds, or tries to fund, the milestone."""
    found = await guard.value(
        "select id from payments where milestone = $1 and status not in ('canceled', 'failed')", milestone_id
    )
    return None if found is None else await read(found)


async def set_status(
    payment: PaymentRow, status: PaymentStatus, *, failure: tuple[str, str | None] | None = None
) -> None:
    """Move the payment and tell its payer; `failure` is (code, decline code)."""
    code, decline_code = failure or (None, None)
    await guard.rows(
        """update payments set status = $2, failure_code = $3, decline_code = $4, updated_at = now() where id = $1""",
        payment.id,
        status.value,
        code,
        decline_code,
    )
    await outbox.publish(
        PaymentUpdated(
            payment_id=payment.id,
            milestone_id=payment.milestone_id,
            status=status.value,
            amount=payment.amount.minor,
            currency=payment.amount.currency.lower(),
        ),
        user(payment.payer_id),
    )


async def note_intent(payment_id: int, seen: IntentSeen) -> None:
    """Keep what Stripe told us of the payment's intent; never forgets a charge it once knew.

    Raises AssertionError for another intent than the payment's own: two could both be paid.
    """
    guard.in_transaction()
    noted = await guard.value(
        """update payments
              set intent_id = $2, charge_id = coalesce($3, charge_id), capture_before = coalesce($4, capture_before),
                  client_secret_sealed = coalesce($5, client_secret_sealed), updated_at = now()
            where id = $1 and (intent_id is null or intent_id = $2) returning id""",
        payment_id,
        seen.intent_id,
        seen.charge_id,
        seen.capture_before,
        seen.client_secret_sealed,
    )
    assert noted is not None, f"payment {payment_id} has another intent than {seen.intent_id}"
