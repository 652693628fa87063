"""A milestone gets its money: asked for, paid, failed, expired, or lapsed after all."""

from datetime import timedelta
from typing import Final

from models import (
    business_time,
    guard,
    mediation,
    milestones,
    notifications,
    outbox,
    payments,
    refund_requests,
    settlements,
)
from models.base import Record
from models.contracts import ContractRow, ContractStatus
from models.errors import NotFound, RoleNotAllowed, WrongState
from models.jobs import ExpireFunding, FundMilestone, SecureHold
from models.ledger import accounts as ledger_accounts
from models.ledger.posting import post
from models.milestones import MilestoneRow, MilestoneStatus
from models.money import Money
from models.notifications import NotificationType
from models.outbox import Enqueued, hourly
from models.payments import LIVE, PAID, IntentSeen, PaymentRow, PaymentStatus, Rail
from models.policy import Policy

SECURE_BEFORE = timedelta(hours=36)
"""A hold this near its end is captured: time for retries over a night, and for a person to look."""


SHORTEST_HOLD = timedelta(days=5)
"""How long a hold lasts when Stripe has not said until when: no card network's is shorter."""

GIVEN_UP: Final = ("expired", "canceled_at_stripe")
"""Reasons to cancel a payment that are no refusal of it."""

MONEY_NOBODY_EXPECTS: Final = (
    (PaymentStatus.SUCCEEDED, PaymentStatus.CANCELED),
    (PaymentStatus.SUCCEEDED, PaymentStatus.FAILED),
)
"""Captured at Stripe, ended with us. An intent is closed at Stripe before its payment ends, so this cannot be."""


class FundingRequested(Record, frozen=True):
    """A funding that a job now works on."""

    payment_id: int
    job: Enqueued


class FundingBegun(Record, frozen=True):
    """What the provider has to be asked for."""

    payment: PaymentRow
    contract_id: int
    title: str
    customer_id: str | None
    payer_email: str
    payer_name: str


class FundingOutcome(Record, frozen=True):
    """How a funding stands after the provider has answered. `status` is `funded`, `requires_action` or `processing`."""

    payment_id: int
    milestone_id: int
    status: str


async def _lock_all(payment_id: int) -> tuple[ContractRow, MilestoneRow, PaymentRow]:
    milestone_id = (await payments.read(payment_id)).milestone_id
    milestone, contract = await milestones.lock_with_contract(milestone_id)
    return contract, milestone, await payments.lock(payment_id)


async def request_funding(
    milestone_id: int, *, caller_id: int, payment_method_id: str, policy: Policy
) -> FundingRequested:
    """Ask for a milestone to be paid from a card; a job does it.

    Asked again while the bank waits for its customer (3-D Secure), it looks again at the same payment. Raises NotFound
    for a stranger, RoleNotAllowed for the freelancer, WrongState when the milestone cannot be funded now.
    """
    milestone, contract = await milestones.lock_with_contract(milestone_id)
    _only_client(contract, milestone_id, caller_id)
    if contract.status is not ContractStatus.ACTIVE:
        raise WrongState(f"This contract is {contract.status.value}: both sides sign before a milestone is funded.")
    current = await payments.live_of(milestone_id)
    if milestone.status is MilestoneStatus.FUNDING and current and current.status is PaymentStatus.REQUIRES_ACTION:
        if current.payment_method_id != payment_method_id:
            raise WrongState(
                "Another card's bank is waiting for its customer: answer it, or fund again with this card after "
                f"{current.expires_at:%H:%M} UTC, when that payment is given up."
            )
        return FundingRequested(payment_id=current.id, job=await outbox.enqueue(FundMilestone(payment_id=current.id)))
    await milestones.move(milestone, contract, MilestoneStatus.FUNDING, verb="request_funding")
    today = (await business_time.now()).date()
    within = milestone.due_date is not None and milestone.due_date <= today + timedelta(days=policy.hold_days)
    payment_id = await guard.value(
        """insert into payments (milestone, payer, amount_minor, currency, payment_method_id, rail, status, created_at,
                                 expires_at)
           values ($1, $2, $3, $4, $5, $6, 'requested', business_now(), business_now() + make_interval(secs => $7))
           returning id""",
        milestone_id,
        caller_id,
        milestone.amount.minor,
        milestone.amount.currency,
        payment_method_id,
        (Rail.HOLD if within else Rail.CAPTURED).value,
        policy.funding_expires_s,
    )
    job = await outbox.enqueue(FundMilestone(payment_id=payment_id))
    return FundingRequested(payment_id=payment_id, job=job)


def _only_client(contract: ContractRow, milestone_id: int, caller_id: int) -> None:
    if caller_id == contract.freelancer_id:
        raise RoleNotAllowed("Only the client moves a milestone's money.")
    if caller_id != contract.client_id:
        raise NotFound(f"There is no milestone {milestone_id}.")


async def begin_funding(payment_id: int) -> FundingBegun | None:
    """What to ask the provider for, or None when the payment can no longer be paid or is paid already."""
    payment = await payments.read(payment_id)
    if payment.status not in LIVE:
        return None
    found = await guard.only(
        """select m.contract, m.title, u.stripe_customer_id, u.email, u.first_name, u.last_name
             from milestones m, users u where m.id = $1 and u.id = $2""",
        payment.milestone_id,
        payment.payer_id,
    )
    return FundingBegun(
        payment=payment,
        contract_id=found["contract"],
        title=found["title"],
        customer_id=found["stripe_customer_id"],
        payer_email=found["email"],
        payer_name=f"{found['first_name']} {found['last_name']}",
    )


async def record_intent(payment_id: int, seen: IntentSeen) -> bool:
    """Keep a new intent before it is confirmed. False: the payment was given up meanwhile, and must not be charged.

    Under the payment's lock: whoever gives it up either prevents the charge here, or knows the intent to cancel.
    """
    _, _, payment = await _lock_all(payment_id)
    if payment.status not in LIVE:
        return False
    await payments.note_intent(payment_id, seen)
    return True


async def outcome(payment_id: int) -> FundingOutcome:
    """How the funding stands."""
    payment = await payments.read(payment_id)
    status = "funded" if payment.status in PAID else payment.status.value
    return FundingOutcome(payment_id=payment_id, milestone_id=payment.milestone_id, status=status)


async def complete_funding(payment_id: int, seen: IntentSeen) -> FundingOutcome:
    """Record what the provider says of a payment, once: money in escrow, a customer to wait for, or still processing.

    The performer and Stripe's callback race to this verb; the second finds the payment paid and changes nothing.
    A payment that was meant to be cancelled and is captured all the same is funded: the money is here.
    Raises AssertionError when another amount, currency or intent was paid than asked for, or a payment that nobody
    expects any more: never a user's mistake, and always an alarm.
    """
    contract, milestone, payment = await _lock_all(payment_id)
    assert (seen.amount_minor, seen.currency.upper()) == (payment.amount.minor, payment.amount.currency), seen
    status = PaymentStatus(seen.status)
    assert status in (*PAID, PaymentStatus.REQUIRES_ACTION, PaymentStatus.PROCESSING), seen
    assert payment.intent_id == seen.intent_id, seen
    assert status is not PaymentStatus.SUCCEEDED or seen.amount_received_minor == payment.amount.minor, seen
    if status is PaymentStatus.SUCCEEDED and payment.status is PaymentStatus.REQUIRES_CAPTURE:
        return await complete_securing(payment_id, seen)
    assert (status, payment.status) not in MONEY_NOBODY_EXPECTS, seen
    payable = payment.status in LIVE or (
        payment.status is PaymentStatus.CANCELING and status is PaymentStatus.SUCCEEDED
    )
    if not payable:
        return await outcome(payment_id)
    await payments.note_intent(payment_id, seen)
    if status in PAID:
        await payments.set_status(payment, status)
        await _fund(contract, milestone, payment)
    elif payment.status is not status:
        await payments.set_status(payment, status)
    return await outcome(payment_id)


async def _fund(contract: ContractRow, milestone: MilestoneRow, payment: PaymentRow) -> None:
    await milestones.move(milestone, contract, MilestoneStatus.FUNDED, verb="complete_funding")
    await notifications.tell(
        contract.freelancer_id,
        type=NotificationType.MILESTONE_FUNDED,
        title="Milestone funded",
        message=f"{payment.amount} is held for “{milestone.title}”. You can start.",
        data={
            "milestone_id": milestone.id,
            "contract_id": contract.id,
            "amount": payment.amount.minor,
            "currency": payment.amount.currency.lower(),
        },
    )
    escrow = ledger_accounts.milestone(milestone.id)
    await _post(f"fund:{payment.id}", "fund", milestone.id, {escrow: payment.amount.minor}, payment.amount)


async def _post(
    key: str, kind: str, milestone_id: int, moves: dict[ledger_accounts.Account, int], amount: Money
) -> None:
    moves = {**moves, ledger_accounts.STRIPE: -sum(moves.values())}
    posted = await post(key, kind=kind, subject=f"milestone:{milestone_id}", moves=moves, currency=amount.currency)
    assert posted, f"journal {key} exists though its row says otherwise"


async def begin_canceling(payment_id: int, code: str = "expired", decline_code: str | None = None) -> PaymentRow | None:
    """Decide to give an unpaid payment up, and why; from here on only a capture can still fund it.

    The first reason stays. None: it is paid, or given up already.
    """
    _, _, payment = await _lock_all(payment_id)
    if payment.status in LIVE:
        await payments.set_status(payment, PaymentStatus.CANCELING, failure=(code, decline_code))
        return await payments.read(payment_id)
    return payment if payment.status is PaymentStatus.CANCELING else None


async def complete_canceling(payment_id: int) -> FundingOutcome:
    """Record that nobody paid and nobody can any more: the milestone can be funded anew. Once.

    Its client is told of a refusal (a decline, say); a payment that was merely left alone ends silently.
    """
    contract, milestone, payment = await _lock_all(payment_id)
    if payment.status is PaymentStatus.CANCELING:
        code = payment.failure_code or GIVEN_UP[0]
        ended = PaymentStatus.CANCELED if code in GIVEN_UP else PaymentStatus.FAILED
        await payments.set_status(payment, ended, failure=(code, payment.decline_code))
        await milestones.move(milestone, contract, MilestoneStatus.PENDING, verb="complete_canceling")
        if ended is PaymentStatus.FAILED:
            await notifications.tell(
                contract.client_id,
                type=NotificationType.PAYMENT_FAILED,
                title="Payment failed",
                message=f"{payment.amount} for “{milestone.title}” could not be charged.",
                data={"milestone_id": milestone.id, "payment_id": payment.id, "code": code},
            )
    return await outcome(payment_id)


async def lapse(payment_id: int) -> FundingOutcome:
    """Take back what a hold gave, after the card network let it go: a reversing journal, and both sides are told.

    What was decided about the money, and has not moved, is void with it.
    """
    contract, milestone, payment = await _lock_all(payment_id)
    if payment.status is not PaymentStatus.REQUIRES_CAPTURE:
        return await outcome(payment_id)
    await payments.set_status(payment, PaymentStatus.CANCELED, failure=("hold_lapsed", None))
    await guard.rows("update releases set status = 'abandoned' where payment = $1 and status = 'begun'", payment_id)
    await milestones.move(milestone, contract, MilestoneStatus.PENDING, verb="lapse")
    await milestones.stop_clocks(milestone.id)
    await refund_requests.withdraw_open(milestone.id)
    await settlements.void(milestone.id)
    await mediation.lapse(milestone.id)
    for person in (contract.client_id, contract.freelancer_id):
        await notifications.tell(
            person,
            type=NotificationType.PAYMENT_FAILED,
            title="The hold on the card has ended",
            message=f"The bank let go of {payment.amount} for “{milestone.title}”. It has to be funded again.",
            data={"milestone_id": milestone.id, "payment_id": payment.id, "code": "hold_lapsed"},
        )
    escrow = ledger_accounts.milestone(milestone.id)
    await _post(f"lapse:{payment.id}", "lapse", milestone.id, {escrow: -payment.amount.minor}, payment.amount)
    return await outcome(payment_id)


async def begin_securing(payment_id: int) -> PaymentRow | None:
    """The held payment to capture now, or None when it is captured or gone."""
    payment = await payments.read(payment_id)
    return payment if payment.status is PaymentStatus.REQUIRES_CAPTURE else None


async def complete_securing(payment_id: int, seen: IntentSeen) -> FundingOutcome:
    """Record that a hold has become money in the platform's balance; escrow's books do not change."""
    _, _, payment = await _lock_all(payment_id)
    if payment.status is PaymentStatus.REQUIRES_CAPTURE:
        assert seen.amount_received_minor == payment.amount.minor, seen
        await payments.note_intent(payment_id, seen)
        await payments.set_status(payment, PaymentStatus.SUCCEEDED)
    return await outcome(payment_id)


async def sweep() -> int:
    """Enqueue a job for every funding past its time and every hold near its end; returns how many.

    By the business clock: a sandbox moves its stand-in for Stripe along with it, and holds end there.
    """
    guard.in_transaction()
    late = await guard.rows(
        """select id from payments where expires_at < business_now()
              and status in ('requested', 'processing', 'requires_action', 'canceling') order by expires_at limit 500"""
    )
    for found in late:
        await outbox.enqueue(ExpireFunding(payment_id=found["id"]), once=hourly("expire", found["id"]))
    held = await guard.rows(
        """select id from payments where status = 'requires_capture'
              and coalesce(capture_before, created_at + $2) < business_now() + $1 order by capture_before limit 500""",
        SECURE_BEFORE,
        SHORTEST_HOLD,
    )
    for found in held:
        await outbox.enqueue(SecureHold(payment_id=found["id"]), once=hourly("secure", found["id"]))
    return len(late) + len(held)
