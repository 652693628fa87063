"""A milestone's money goes to its freelancer: asked for, then recorded, once."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from models import (
    business_time,
    guard,
    invoices,
    mail,
    milestones,
    notifications,
    outbox,
    payments,
    refund_requests,
    timers,
)
from models.base import Record
from models.contracts import ContractRow
from models.errors import EscrowUnderfunded, Invalid, NotFound, RoleNotAllowed
from models.escrow.tables import ReleaseStatus
from models.jobs import ReleaseMilestone, TransferRelease
from models.ledger import accounts as ledger_accounts
from models.ledger.posting import balance, post
from models.milestones import MilestoneRow, MilestoneStatus
from models.money import Money, fee_of
from models.notifications import NotificationType
from models.outbox import Enqueued, hourly
from models.payments import PAID, IntentSeen, PaymentRow, PaymentStatus
from models.timers import TimerKind


class ReleaseRequested(Record, frozen=True):
    """A release that a job now works on."""

    release_id: int
    job: Enqueued


class ReleaseRow(Record, frozen=True):
    """A release as the verbs read it; net + fee = gross."""

    id: int
    milestone_id: int
    payment_id: int
    gross: Money
    fee: Money
    net: Money
    status: ReleaseStatus
    transfer_id: str | None


class ReleaseBegun(Record, frozen=True):
    """What the provider has to be asked for. `payout_account_id` is None when the freelancer has none to send to."""

    release: ReleaseRow
    payment: PaymentRow
    payout_account_id: str | None


class ReleaseOutcome(Record, frozen=True):
    """A release as its caller sees it; amounts in smallest units. No `transfer_id`: we hold the net amount."""

    release_id: int
    milestone_id: int
    status: str
    gross_minor: int
    fee_minor: int
    net_minor: int
    currency: str
    transfer_id: str | None


STANDS_STILL: Final = timedelta(minutes=10)
"""A release takes seconds; one this old has lost its job, or its job waits for a provider."""

ROW: Final = """
select id, milestone as milestone_id, payment as payment_id, gross_minor, fee_minor, net_minor, currency, status,
       transfer_id from releases where id = $1
"""


async def read(release_id: int) -> ReleaseRow:
    """The release as it stands."""
    found = await guard.row(ROW, release_id)
    if found is None:
        raise NotFound(f"There is no release {release_id}.")
    return ReleaseRow(
        id=found["id"],
        milestone_id=found["milestone_id"],
        payment_id=found["payment_id"],
        gross=Money(found["gross_minor"], found["currency"]),
        fee=Money(found["fee_minor"], found["currency"]),
        net=Money(found["net_minor"], found["currency"]),
        status=ReleaseStatus(found["status"]),
        transfer_id=found["transfer_id"],
    )


async def request_release(milestone_id: int, *, caller_id: int, amount: Decimal | None = None) -> ReleaseRequested:
    """Approve a delivered milestone: its amounts are frozen and a job moves the money.

    Of any number of approvals at once one makes the release; the others find the milestone releasing. `amount`, in
    major units, is the whole when it is named. Raises NotFound for a stranger, RoleNotAllowed for the freelancer,
    Invalid for a part of it, WrongState, EscrowUnderfunded.
    """
    milestone, contract = await milestones.lock_with_contract(milestone_id)
    if caller_id == contract.freelancer_id:
        raise RoleNotAllowed("Only the client approves a milestone.")
    if caller_id != contract.client_id:
        raise NotFound(f"There is no milestone {milestone_id}.")
    if amount is not None and Money.from_major(amount, milestone.currency) != milestone.amount:
        raise Invalid(f"A milestone is released as a whole: {milestone.amount}, and not a part of it.", field="amount")
    # By the verb's name: a dispute that is settled releases too, and is nobody's approval.
    milestones.MACHINE.check(milestone.status, MilestoneStatus.RELEASING, verb="request_release")
    return await release_locked(milestone, contract)


async def release_locked(milestone: MilestoneRow, contract: ContractRow) -> ReleaseRequested:
    """Freeze the amounts of a milestone that is locked and may be released, and let a job move the money.

    Whether it may be is the caller's to check, by the name of its verb. An open refund request is withdrawn. Raises
    EscrowUnderfunded before anything is written, so that a caller may go another way.
    """
    payment = await payments.live_of(milestone.id)
    held = await balance(ledger_accounts.milestone(milestone.id), milestone.amount.currency)
    if payment is None or payment.status not in PAID or held.minor < milestone.amount.minor:
        raise EscrowUnderfunded(f"Escrow holds {held}; the release needs {milestone.amount}.")
    await milestones.move(milestone, contract, MilestoneStatus.RELEASING)
    await refund_requests.withdraw_open(milestone.id)
    fee = fee_of(milestone.amount, contract.fee_bp)
    release_id = await guard.value(
        """insert into releases (milestone, payment, gross_minor, fee_minor, net_minor, currency, status)
           values ($1, $2, $3, $4, $5, $6, 'begun') returning id""",
        milestone.id,
        payment.id,
        milestone.amount.minor,
        fee.minor,
        milestone.amount.minor - fee.minor,
        milestone.amount.currency,
    )
    job = await outbox.enqueue(ReleaseMilestone(release_id=release_id))
    return ReleaseRequested(release_id=release_id, job=job)


async def begin_release(release_id: int) -> ReleaseBegun | None:
    """What to ask the provider for, or None when the release has ended."""
    release = await read(release_id)
    if release.status is not ReleaseStatus.BEGUN:
        return None
    return await _with_payee(release)


async def _with_payee(release: ReleaseRow) -> ReleaseBegun:
    payee = await guard.only(
        """select u.stripe_account_id, u.payouts_ready
             from milestones m join contracts c on c.id = m.contract join users u on u.id = c.freelancer
            where m.id = $1""",
        release.milestone_id,
    )
    return ReleaseBegun(
        release=release,
        payment=await payments.read(release.payment_id),
        payout_account_id=payee["stripe_account_id"] if payee["payouts_ready"] else None,
    )


async def outcome(release_id: int) -> ReleaseOutcome:
    """How the release stands."""
    release = await read(release_id)
    milestone_status = await guard.value("select status from milestones where id = $1", release.milestone_id)
    return ReleaseOutcome(
        release_id=release.id,
        milestone_id=release.milestone_id,
        status=milestone_status,
        gross_minor=release.gross.minor,
        fee_minor=release.fee.minor,
        net_minor=release.net.minor,
        currency=release.gross.currency,
        transfer_id=release.transfer_id,
    )


async def complete_release(release_id: int, captured: IntentSeen, transfer_id: str | None) -> ReleaseOutcome:
    """Record that the money has moved, once. A second call returns the first one's outcome.

    Without a transfer (the freelancer's account could not take it) the net amount is the freelancer's, held by us.
    Raises AssertionError when the captured amount is not the release's gross: never a user's mistake.
    """
    unlocked = await read(release_id)
    milestone, contract = await milestones.lock_with_contract(unlocked.milestone_id, completes=True)
    payment = await payments.lock(unlocked.payment_id)
    release = await read(release_id)
    if release.status is not ReleaseStatus.BEGUN:
        return await outcome(release_id)
    # Stripe may deliver `transfer.created` before our own call returns, so the callback and the performer race to
    # this verb. The locks above let one win; the other returned two lines earlier.
    assert captured.amount_received_minor == release.gross.minor, captured
    if payment.status is not PaymentStatus.SUCCEEDED:
        await payments.note_intent(payment.id, captured)
        await payments.set_status(payment, PaymentStatus.SUCCEEDED)
    await guard.rows(
        "update releases set status = 'completed', transfer_id = $2, completed_at = now() where id = $1",
        release_id,
        transfer_id,
    )
    await milestones.move(milestone, contract, MilestoneStatus.RELEASED, verb="complete_release")
    await milestones.complete_contract_if_done(contract)
    await _tell(contract, milestone, release, sent=transfer_id is not None)
    payee = ledger_accounts.STRIPE if transfer_id else ledger_accounts.available(contract.freelancer_id)
    posted = await post(
        f"release:{release_id}",
        kind="release",
        subject=f"milestone:{milestone.id}",
        moves={
            ledger_accounts.milestone(milestone.id): -release.gross.minor,
            ledger_accounts.FEES: release.fee.minor,
            payee: release.net.minor,
        },
        currency=release.gross.currency,
    )
    assert posted, f"journal release:{release_id} exists though its row says otherwise"
    await invoices.write(contract, milestone, gross=release.gross, fee=release.fee)
    return await outcome(release_id)


async def record_transfer(release_id: int, transfer_id: str) -> ReleaseOutcome:
    """Record a transfer that Stripe made after its release had been completed without one, once.

    It happens when one performer was told no, and another, slower one yes: the net amount that we held for the
    freelancer has left. Raises AssertionError when the release did not wait for a transfer: money has moved twice.
    """
    unlocked = await read(release_id)
    _, contract = await milestones.lock_with_contract(unlocked.milestone_id)
    release = await read(release_id)
    if release.transfer_id != transfer_id:
        assert (release.status, release.transfer_id) == (ReleaseStatus.COMPLETED, None), (release, transfer_id)
        await guard.rows("update releases set transfer_id = $2 where id = $1", release_id, transfer_id)
        await post(
            f"transfer:{release_id}",
            kind="transfer",
            subject=f"milestone:{release.milestone_id}",
            moves={
                ledger_accounts.available(contract.freelancer_id): -release.net.minor,
                ledger_accounts.STRIPE: release.net.minor,
            },
            currency=release.net.currency,
        )
    return await outcome(release_id)


async def begin_transfer(release_id: int) -> ReleaseBegun | None:
    """What to ask the provider for, for a release whose net amount we hold; None when there is nothing to send."""
    release = await read(release_id)
    if (release.status, release.transfer_id) != (ReleaseStatus.COMPLETED, None):
        return None
    begun = await _with_payee(release)
    return begun if begun.payout_account_id else None


async def sweep() -> int:
    """Enqueue a job for each release that stands still, and each that can be paid out by now; returns how many.

    Its own job may have died of a long outage, or be trying still: any number of jobs release once.
    """
    guard.in_transaction()
    begun = await guard.rows(
        """select id from releases where status = 'begun' and created_at < now() - $1::interval
            order by created_at limit 500""",
        STANDS_STILL,
    )
    for found in begun:
        await outbox.enqueue(ReleaseMilestone(release_id=found["id"]), once=hourly("release", found["id"]))
    owed = await guard.rows(
        """select r.id from releases r join milestones m on m.id = r.milestone join contracts c on c.id = m.contract
             join users u on u.id = c.freelancer
            where r.status = 'completed' and r.transfer_id is null and u.payouts_ready
            order by r.id limit 500"""
    )
    for found in owed:
        await outbox.enqueue(TransferRelease(release_id=found["id"]), once=hourly("transfer", found["id"]))
    return len(begun) + len(owed)


async def abandon_release(release_id: int, reason: str) -> ReleaseOutcome:
    """Give a release up that the provider refused before any money moved: the milestone can be approved again."""
    unlocked = await read(release_id)
    milestone, contract = await milestones.lock_with_contract(unlocked.milestone_id)
    release = await read(release_id)
    if release.status is ReleaseStatus.BEGUN:
        await guard.rows("update releases set status = 'abandoned' where id = $1", release_id)
        # It waits for its client anew, from now on: also what a dispute decided about and nobody ever delivered.
        await guard.rows("update milestones set submitted_at = business_now() where id = $1", milestone.id)
        await milestones.move(milestone, contract, MilestoneStatus.SUBMITTED, verb="abandon_release")
        # The client's silence counts anew: they learn of this only now.
        silent_until = await business_time.now() + milestones.CLOCKS[TimerKind.MILESTONE_APPROVE]
        await timers.start(TimerKind.MILESTONE_APPROVE, milestone.id, silent_until)
        await notifications.tell(
            contract.client_id,
            type=NotificationType.PAYMENT_FAILED,
            title="Release failed",
            message=f"{release.gross} for “{milestone.title}” could not be released: {reason}",
            data={"milestone_id": milestone.id, "release_id": release_id},
        )
    return await outcome(release_id)


async def _tell(contract: ContractRow, milestone: MilestoneRow, release: ReleaseRow, *, sent: bool) -> None:
    """Both sides hear of it in the same commit: mail and notification each."""
    subject: dict[str, Any] = {
        "project_title": contract.title,
        "contract_id": contract.id,
        "milestone_id": milestone.id,
        "milestone_title": milestone.title,
        "currency": release.gross.currency,
    }
    await mail.write(
        "milestone_completed",
        to=contract.freelancer_id,
        about=f"milestone:{milestone.id}",
        other_name=contract.client_name,
        amount_minor=release.gross.minor,
        **subject,
    )
    await mail.write(
        "payment_received",
        to=contract.freelancer_id,
        about=f"release:{release.id}",
        client_name=contract.client_name,
        gross_minor=release.gross.minor,
        fee_minor=release.fee.minor,
        net_minor=release.net.minor,
        **subject,
    )
    await mail.write(
        "payment_sent",
        to=contract.client_id,
        about=f"release:{release.id}",
        freelancer_name=contract.freelancer_name,
        amount_minor=release.gross.minor,
        **subject,
    )
    received = f"You received {release.net} for “{milestone.title}”."
    if not sent:
        received = f"{release.net} for “{milestone.title}” is yours. It is kept until your payout account can take it."
    await notifications.tell(
        contract.freelancer_id,
        type=NotificationType.PAYMENT_RECEIVED,
        title="Payment Received",
        message=received,
        data={
            "payment_id": release.payment_id,
            "amount": release.net.minor,
            "currency": release.net.currency.lower(),
            "milestone_id": milestone.id,
        },
    )
    await notifications.tell(
        contract.client_id,
        type=NotificationType.MILESTONE_RELEASED,
        title="Milestone released",
        message=f"{release.gross} went to {contract.freelancer_name} for “{milestone.title}”.",
        data={
            "payment_id": release.payment_id,
            "amount": release.gross.minor,
            "currency": release.gross.currency.lower(),
            "milestone_id": milestone.id,
        },
    )
