"""The performers that move a milestone's money: begin (a verb), reach out (Stripe), complete (a verb)."""

from contextlib import suppress

import structlog

import settings
from models import guard, inbox, payments, payouts
from models.errors import Refused, WrongState
from models.escrow import funding, releasing
from models.escrow.tables import ReleaseStatus
from models.jobs import ExpireFunding, FundMilestone, ReleaseMilestone, SecureHold, SweepEscrow, TransferRelease
from models.payments import PAID, PaymentRow, PaymentStatus
from tasks.gateways import cards
from tasks.intents import UNPAID, call_off, seen
from tasks.job import Claim, performs

log = structlog.get_logger(__name__)


@performs(FundMilestone)
async def fund_milestone(job: FundMilestone, claim: Claim) -> funding.FundingOutcome | None:
    """Make an intent, record it, confirm it, record the answer.

    The intent is recorded before it is confirmed, so that whatever the bank holds is always found again from our row.
    """
    begun = await guard.commit(funding.begin_funding, job.payment_id)
    if begun is None:
        return await _end_as_it_stands(job.payment_id, claim)
    try:
        intent = await _charge(begun, claim)
    except Refused as refusal:
        return await _give_up(job.payment_id, refusal, claim)
    if intent is None:
        return await _end_as_it_stands(job.payment_id, claim)
    await claim.complete(funding.complete_funding, job.payment_id, seen(intent))
    return None


async def _charge(begun: funding.FundingBegun, claim: Claim) -> cards.Intent | None:
    """The intent after the bank's answer; None when the payment was given up before anything could be charged."""
    payment = begun.payment
    intent_id = payment.intent_id or await _make_intent(begun, claim)
    if intent_id is None:
        return None
    if claim.claim_no > 1 or payment.status is not PaymentStatus.REQUESTED:
        # Somebody asked before us: look before asking again. Stripe forgets a key after a day.
        found = await cards.read_intent(intent_id)
        if found.status == "canceled":
            raise Refused("The payment was cancelled.", code="payment_canceled")
        if found.status == UNPAID and found.failure_code:
            raise Refused(
                found.failure_message or "The card was declined.",
                code=cards.DECLINED,
                decline_code=found.decline_code or found.failure_code,
            )
        if found.status not in (UNPAID, "requires_confirmation"):
            return found
    await claim.still_mine()
    return await cards.confirm(
        intent_id,
        payment_method_id=payment.payment_method_id,
        return_url=settings.load().web.frontend_url or settings.load().web.public_url,
        key=f"confirm:{intent_id}",
    )


async def _make_intent(begun: funding.FundingBegun, claim: Claim) -> str | None:
    """The id of the payment's new intent, recorded; None when the payment was given up meanwhile."""
    payment = begun.payment
    customer_id = begun.customer_id
    if customer_id is None:
        made_id = await cards.create_customer(
            email=begun.payer_email, name=begun.payer_name, user_id=payment.payer_id, key=f"customer:{claim.job_id}"
        )
        customer_id = await guard.commit(payouts.remember_customer, payment.payer_id, made_id)
    made = await cards.create_intent(
        amount_minor=payment.amount.minor,
        currency=payment.amount.currency,
        customer_id=customer_id,
        hold=payment.rail is payments.Rail.HOLD,
        group=f"milestone:{payment.milestone_id}",
        description=begun.title,
        metadata={"payment_id": str(payment.id), "milestone_id": str(payment.milestone_id)},
        key=f"intent:{claim.job_id}",
    )
    return made.intent_id if await guard.commit(funding.record_intent, payment.id, seen(made)) else None


async def _give_up(payment_id: int, refusal: Refused, claim: Claim) -> funding.FundingOutcome | None:
    """Close a refused charge, unless it was paid all the same; the caller hears how it really ended."""
    captured = await call_off(payment_id, refusal.code, refusal.decline_code)
    if captured is not None:
        await claim.complete(funding.complete_funding, payment_id, captured)
        return None
    payment = await payments.read(payment_id)
    if payment.status in PAID:
        return await funding.outcome(payment_id)
    error = _refusal_of(payment)
    if isinstance(error, Refused) and error.code == refusal.code:
        error = refusal  # the same, in the bank's own words
    data = {"decline_code": error.decline_code} if isinstance(error, Refused) else None
    await claim.fail(error.code, error.detail, funding.complete_canceling, payment_id, data=data)
    return None


async def _end_as_it_stands(payment_id: int, claim: Claim) -> funding.FundingOutcome | None:
    """The answer when somebody else has decided: how the funding stands, or why it failed."""
    payment = await payments.read(payment_id)
    if payment.status in (PaymentStatus.CANCELING, PaymentStatus.CANCELED, PaymentStatus.FAILED):
        code = payment.failure_code or funding.GIVEN_UP[0]
        refusal = Refused("The payment failed.", code=code, decline_code=payment.decline_code)
        return await _give_up(payment_id, refusal, claim)
    return await funding.outcome(payment_id)


def _refusal_of(payment: PaymentRow) -> Refused | WrongState:
    """Why a payment that was given up cannot be paid any more."""
    code = payment.failure_code or funding.GIVEN_UP[0]
    if code in funding.GIVEN_UP:
        return WrongState("This payment was given up before it was completed; fund the milestone again.")
    return Refused("The payment failed.", code=code, decline_code=payment.decline_code)


@performs(ExpireFunding)
async def expire_funding(job: ExpireFunding, claim: Claim) -> None:
    """Cancel a charge that nobody completed in its time; one that was captured all the same is funded."""
    captured = await call_off(job.payment_id, funding.GIVEN_UP[0])
    if captured is not None:
        await claim.complete(funding.complete_funding, job.payment_id, captured)
    else:
        await claim.complete(funding.complete_canceling, job.payment_id)


@performs(SecureHold)
async def secure_hold(job: SecureHold, claim: Claim) -> funding.FundingOutcome | None:
    """Capture a hold that is near its end."""
    payment = await guard.commit(funding.begin_securing, job.payment_id)
    if payment is None:
        return await funding.outcome(job.payment_id)
    assert payment.intent_id is not None, payment
    try:
        intent = await cards.capture(payment.intent_id, key=f"capture:{payment.intent_id}")
    except Refused as refusal:
        await _take_back_if_gone(payment.intent_id, payment.id)
        await claim.fail(refusal.code, refusal.detail)
        return None
    await claim.complete(funding.complete_securing, payment.id, seen(intent))
    return None


@performs(ReleaseMilestone)
async def release_milestone(job: ReleaseMilestone, claim: Claim) -> releasing.ReleaseOutcome | None:
    """Capture what is held, transfer the net amount, record both, once."""
    begun = await guard.commit(releasing.begin_release, job.release_id)
    if begun is None:
        return await _released(job.release_id)
    payment, release = begun.payment, begun.release
    assert payment.intent_id is not None, payment
    await claim.still_mine()
    try:
        captured = await _captured(payment.intent_id, payment)
    except Refused as refusal:
        await _take_back_if_gone(payment.intent_id, payment.id)
        await claim.fail(refusal.code, refusal.detail, releasing.abandon_release, release.id, refusal.detail)
        return None
    await claim.still_mine()
    transfer_id = await _transfer(begun, captured)
    await claim.complete(releasing.complete_release, release.id, seen(captured), transfer_id)
    return None


async def _released(release_id: int) -> releasing.ReleaseOutcome:
    """The answer when somebody else has ended the release."""
    if (await releasing.read(release_id)).status is ReleaseStatus.ABANDONED:
        raise WrongState("This release was given up: the milestone's money was not there any more.")
    return await releasing.outcome(release_id)


async def _captured(intent_id: str, payment: PaymentRow) -> cards.Intent:
    if payment.status is PaymentStatus.SUCCEEDED:
        return await cards.read_intent(intent_id)
    return await cards.capture(intent_id, key=f"capture:{intent_id}")


async def _transfer(begun: releasing.ReleaseBegun, captured: cards.Intent) -> str | None:
    """Send the net amount on. None when the freelancer's account cannot take it: then it is theirs, and we hold it."""
    release = begun.release
    if begun.payout_account_id is None:
        return None
    assert captured.charge_id is not None, captured
    try:
        sent = await cards.transfer(
            amount_minor=release.net.minor,
            currency=release.net.currency,
            account_id=begun.payout_account_id,
            charge_id=captured.charge_id,
            group=f"milestone:{release.milestone_id}",
            metadata={"release_id": str(release.id), "milestone_id": str(release.milestone_id)},
            key=f"transfer:{release.id}:{captured.charge_id}",
        )
    except Refused as refusal:
        log.warning("release.transfer_refused", release_id=release.id, code=refusal.code)
        return None
    assert sent.amount_minor == release.net.minor, sent
    return sent.transfer_id


@performs(TransferRelease)
async def transfer_release(job: TransferRelease, claim: Claim) -> releasing.ReleaseOutcome | None:
    """Send what was held for a freelancer whose account could not take it before."""
    begun = await guard.commit(releasing.begin_transfer, job.release_id)
    if begun is None:
        return await releasing.outcome(job.release_id)
    assert begun.payment.intent_id is not None, begun
    captured = await cards.read_intent(begun.payment.intent_id)
    await claim.still_mine()
    transfer_id = await _transfer(begun, captured)
    if transfer_id is None:
        await claim.fail("transfer_refused", "The freelancer's account cannot take the transfer yet.")
        return None
    await claim.complete(releasing.record_transfer, job.release_id, transfer_id)
    return None


async def _take_back_if_gone(intent_id: str, payment_id: int) -> None:
    """When the card network has let the hold go, escrow's books must say so before anything else does."""
    # An intent that Stripe does not know is nobody's money: the release ends, and the proof finds the difference.
    with suppress(Refused):
        intent = await cards.read_intent(intent_id)
        if intent.status == "canceled":
            await guard.commit(funding.lapse, payment_id)


@performs(SweepEscrow)
async def sweep_escrow(_: SweepEscrow, claim: Claim) -> None:
    """Find what is late and enqueue a job for each."""
    await claim.complete(_sweep)


async def _sweep() -> dict[str, int]:
    return {"enqueued": await funding.sweep() + await releasing.sweep() + await inbox.sweep()}
