"""Stored callbacks: each is looked up afresh at its provider and ends in the same verb as our own call."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from models import guard, inbox, payments, payouts
from models.errors import NotFound
from models.escrow import funding, releasing
from models.escrow.tables import ReleaseStatus
from models.jobs import HandleCallback
from models.payments import PaymentStatus
from tasks.gateways import cards
from tasks.intents import UNPAID, call_off, seen
from tasks.job import Claim, performs

NOT_OURS: Final = "not made by us"

MAX_ID_DIGITS: Final = 18
"""Within a 64-bit integer: more in somebody's metadata is no id of ours."""


class _Object(msgspec.Struct):
    id: str


class _Data(msgspec.Struct):
    object: _Object


class _Event(msgspec.Struct):
    data: _Data


@performs(HandleCallback)
async def handle_callback(job: HandleCallback, claim: Claim) -> None:
    """Work on one stored callback, whatever the order and however often it comes; an unknown kind is done at once."""
    callback = await inbox.read(job.inbox_id)
    outcome = "seen before"
    if not callback.handled:
        handler = HANDLERS.get(callback.kind)
        if handler is None:
            outcome = "not ours to act on"
        else:
            try:
                object_id = msgspec.json.decode(callback.payload, type=_Event).data.object.id
            except msgspec.DecodeError:
                outcome = "names no object"
            else:
                outcome = await handler(object_id)
    await claim.complete(_mark, job.inbox_id, outcome)


async def _mark(inbox_id: int, outcome: str) -> dict[str, Any]:
    await inbox.mark_handled(inbox_id, outcome)
    return {"outcome": outcome}


async def _intent_changed(intent_id: str) -> str:
    """Ask Stripe how the intent is now: the callback may be late, repeated, or early (before our own call returned).

    Known by its id and not by its metadata, which could name anything: no intent is confirmed before its id is ours.
    """
    payment = await payments.find_by_intent(intent_id)
    if payment is None:
        return NOT_OURS
    intent = await cards.read_intent(intent_id)
    outcome = None
    match intent.status:
        case "requires_capture" if payment.status in (PaymentStatus.FAILED, PaymentStatus.CANCELED):
            await cards.cancel(intent_id, key=f"cancel:{intent_id}")
        case "requires_capture" | "succeeded" | "requires_action" | "processing":
            outcome = await guard.commit(funding.complete_funding, payment.id, seen(intent))
        case "canceled":
            outcome = await guard.commit(_end, payment.id, *_reason(intent, "canceled_at_stripe"))
        case status if status == UNPAID and intent.failure_code:
            # The bank refused, perhaps after its customer was asked (3-D Secure).
            outcome = await _give_up(payment.id, intent)
    return outcome.status if outcome else f"nothing to record: {intent.status}"


def _reason(intent: cards.Intent, otherwise: str) -> tuple[str, str | None]:
    if intent.failure_code is None:
        return otherwise, None
    return cards.DECLINED, intent.decline_code or intent.failure_code


async def _give_up(payment_id: int, declined: cards.Intent) -> funding.FundingOutcome:
    captured = await call_off(payment_id, *_reason(declined, cards.DECLINED))
    if captured is not None:
        return await guard.commit(funding.complete_funding, payment_id, captured)
    return await guard.commit(funding.complete_canceling, payment_id)


async def _end(payment_id: int, code: str, decline_code: str | None) -> funding.FundingOutcome:
    """A cancelled intent: an unpaid one is given up, a held one has lapsed."""
    if await funding.begin_canceling(payment_id, code, decline_code) is not None:
        return await funding.complete_canceling(payment_id)
    return await funding.lapse(payment_id)


async def _transfer_made(transfer_id: str) -> str:
    transfer = await cards.read_transfer(transfer_id)
    release_id = transfer.metadata.get("release_id", "")
    if not (release_id.isascii() and release_id.isdecimal() and len(release_id) <= MAX_ID_DIGITS):
        return NOT_OURS
    try:
        release = await releasing.read(int(release_id))
    except NotFound:
        return NOT_OURS
    payment = await payments.read(release.payment_id)
    if transfer.charge_id is None or transfer.charge_id != payment.charge_id:
        return NOT_OURS
    assert (transfer.amount_minor, transfer.currency.upper()) == (release.net.minor, release.net.currency), transfer
    if release.status is not ReleaseStatus.BEGUN:
        done = await guard.commit(releasing.record_transfer, release.id, transfer_id)
        return done.status
    assert payment.intent_id is not None, payment
    captured = await cards.read_intent(payment.intent_id)
    done = await guard.commit(releasing.complete_release, release.id, seen(captured), transfer_id)
    return done.status


async def _account_changed(account_id: str) -> str:
    if not await payouts.is_known(account_id):
        return NOT_OURS
    account = await cards.read_account(account_id)
    await guard.commit(payouts.set_ready, account_id, ready=account.ready)
    return "ready" if account.ready else "not ready"


HANDLERS: Final[dict[str, Callable[[str], Awaitable[str]]]] = {
    "payment_intent.amount_capturable_updated": _intent_changed,
    "payment_intent.succeeded": _intent_changed,
    "payment_intent.requires_action": _intent_changed,
    "payment_intent.processing": _intent_changed,
    "payment_intent.payment_failed": _intent_changed,
    "payment_intent.canceled": _intent_changed,
    "transfer.created": _transfer_made,
    "account.updated": _account_changed,
}
