"""A client asks for a funded milestone's money back; its freelancer has seven days to answer, and silence is a yes.

Refuses more than escrow holds, and a second request while one is open.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from piccolo.columns import BigInt, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import business_time, guard, mail, milestones, notifications, settlements, timers
from models.accounts import User
from models.base import Record, restricted
from models.contracts import ContractRow
from models.errors import AmountOutOfBounds, NotAllowed, NotFound, WrongState
from models.milestones import Milestone, MilestoneRow
from models.money import Money
from models.notifications import NotificationType
from models.queries import query
from models.settlements import SettlementCause
from models.states import Edge, Machine, Part
from models.timers import TimerKind, TimerRow

ANSWERED_WITHIN: Final = timedelta(days=7)
"""After so long without an answer the freelancer has agreed. Source: contract.md, milestones."""


class RefundRequestStatus(StrEnum):
    """Where a request stands."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"


class RefundRequest(Table, tablename="refund_requests"):
    """A request for a milestone's money, in smallest units of its currency. `answered_by` is null for silence."""

    id = BigSerial(primary_key=True)
    milestone = restricted(Milestone)
    client = restricted(User)
    amount_minor = BigInt(default=None)
    currency = Text()
    reason = Text()
    status = Text(default=RefundRequestStatus.OPEN.value)
    answer = Text(null=True, default=None)
    answered_by = restricted(User, null=True)
    created_at = Timestamptz(default=TimestamptzNow())
    answered_at = Timestamptz(null=True, default=None)


MACHINE: Final = Machine[RefundRequestStatus](
    noun="refund request",
    start=RefundRequestStatus.OPEN,
    edges=(
        Edge(
            source=RefundRequestStatus.OPEN,
            target=RefundRequestStatus.ACCEPTED,
            verb="refund_accept",
            by=(
                Part.FREELANCER,
                Part.SYSTEM,
            ),
            guard="by silence after 7 days; the milestone is settled",
            tells=("refund_answered",),
            mails=("refund_answered",),
            events=("milestone_update",),
        ),
        Edge(
            source=RefundRequestStatus.OPEN,
            target=RefundRequestStatus.DECLINED,
            verb="refund_decline",
            by=(Part.FREELANCER,),
            tells=("refund_answered",),
            mails=("refund_answered",),
        ),
        Edge(
            source=RefundRequestStatus.OPEN,
            target=RefundRequestStatus.WITHDRAWN,
            verb="withdraw",
            by=(
                Part.CLIENT,
                Part.SYSTEM,
            ),
            guard="also when the milestone is released or disputed meanwhile",
        ),
    ),
)


class RefundRequestRow(Record, frozen=True):
    """A request as the domain passes it around. `answered_by` is None for silence, and while nobody answered."""

    id: int
    milestone_id: int
    client_id: int
    amount_minor: int
    currency: str
    reason: str
    status: RefundRequestStatus
    answered_by: int | None
    created_at: datetime
    answered_at: datetime | None
    answer_due_at: datetime | None

    @property
    def amount(self) -> Money:
        """What the client wants back."""
        return Money(self.amount_minor, self.currency)


COLUMNS: Final = """
select r.id, r.milestone as milestone_id, r.client as client_id, r.amount_minor, r.currency, r.reason, r.status,
       r.answered_by, r.created_at, r.answered_at, t.due_at as answer_due_at
"""

JOINED: Final = """
  from refund_requests r
       left join timers t on t.kind = 'refund_request.lapse' and t.subject_id = r.id and t.fired_at is null
"""

SELECT: Final = COLUMNS + JOINED

OF_MILESTONE: Final = query(
    "refund_requests.of_milestone", SELECT + "where r.milestone = $1 and r.id < $2 order by r.id desc limit $3"
)

# The partial unique index lets one be open at a time.
ASK: Final = """
insert into refund_requests (milestone, client, amount_minor, currency, reason, created_at)
values ($1, $2, $3, $4, $5, business_now()) on conflict (milestone) where status = 'open' do nothing returning id
"""

ANSWER: Final = """
update refund_requests set status = $2, answered_by = $3, answered_at = business_now() where id = $1
"""


def _row(found: Any) -> RefundRequestRow:
    return RefundRequestRow(**{**dict(found), "status": RefundRequestStatus(found["status"])})


# Verbs


async def ask(milestone_id: int, *, client_id: int, amount: Decimal | None, reason: str) -> RefundRequestRow:
    """Ask for a funded milestone's money, or `amount` of it in major units; its freelancer has seven days to answer.

    Raises NotFound for a stranger, NotAllowed for the freelancer, WrongState unless money is held for work under way
    and no other request is open, AmountOutOfBounds, AmountTooPrecise.
    """
    milestone, contract = await milestones.lock_with_contract(milestone_id)
    _check_party(contract, client_id, contract.client_id, milestone_id)
    if not milestones.MACHINE.may(milestone.status, "accept_refund"):
        raise WrongState(f"This milestone is {milestone.status.value}: there is no money of it to ask back now.")
    wanted = milestone.amount if amount is None else Money.from_major(amount, milestone.currency)
    if not 0 < wanted.minor <= milestone.amount.minor:
        raise AmountOutOfBounds(
            f"A refund is more than 0 and at most {milestone.amount}; {wanted} is not.", field="amount"
        )
    request_id = await guard.value(ASK, milestone_id, client_id, wanted.minor, wanted.currency, reason)
    if request_id is None:
        raise WrongState("A refund request for this milestone is open: it is answered or withdrawn first.")
    due_at = await business_time.now() + ANSWERED_WITHIN
    await timers.start(TimerKind.REFUND_REQUEST_LAPSE, request_id, due_at)
    request = await _reread(request_id)
    await _tell_asked(request, milestone, contract)
    return request


async def accept(milestone_id: int, *, freelancer_id: int) -> RefundRequestRow:
    """Agree to the open request: the client is to get what they asked for, the freelancer the rest.

    The money stays in escrow until the settlement is carried out. Raises NotFound for a stranger, NotAllowed for the
    client, WrongState when no request is open.
    """
    milestone, contract = await milestones.lock_with_contract(milestone_id)
    _check_party(contract, freelancer_id, contract.freelancer_id, milestone_id)
    return await _accept(await _open_of(milestone_id), milestone, contract, by=freelancer_id)


async def decline(milestone_id: int, *, freelancer_id: int) -> RefundRequestRow:
    """Refuse the open request; the client may ask anew, or open a dispute.

    Raises NotFound for a stranger, NotAllowed for the client, WrongState when no request is open.
    """
    milestone, contract = await milestones.lock_with_contract(milestone_id)
    _check_party(contract, freelancer_id, contract.freelancer_id, milestone_id)
    request = await _open_of(milestone_id)
    declined = await _answer(request, RefundRequestStatus.DECLINED, "refund_decline", freelancer_id)
    await _tell_answered(declined, milestone, contract, "declined")
    return declined


async def withdraw(milestone_id: int, *, client_id: int) -> RefundRequestRow:
    """Take one's own open request back.

    Raises NotFound for a stranger, NotAllowed for the freelancer, WrongState when no request is open.
    """
    _, contract = await milestones.lock_with_contract(milestone_id)
    _check_party(contract, client_id, contract.client_id, milestone_id)
    return await _answer(await _open_of(milestone_id), RefundRequestStatus.WITHDRAWN, "withdraw", None)


async def withdraw_open(milestone_id: int) -> None:
    """Withdraw the open request, if there is one: the milestone is released or disputed. With the milestone's lock."""
    guard.in_transaction()
    found = await guard.row(SELECT + "where r.milestone = $1 and r.status = 'open'", milestone_id)
    if found is not None:
        await _answer(_row(found), RefundRequestStatus.WITHDRAWN, "withdraw", None)


async def lapse(timer: TimerRow) -> None:
    """Agree in the freelancer's place: they said nothing for seven days."""
    unlocked = await guard.value("select milestone from refund_requests where id = $1", timer.subject_id)
    milestone, contract = await milestones.lock_with_contract(unlocked)
    if await timers.take(timer):
        await _accept(await _reread(timer.subject_id), milestone, contract, by=None)


async def _accept(
    request: RefundRequestRow, milestone: MilestoneRow, contract: ContractRow, *, by: int | None
) -> RefundRequestRow:
    accepted = await _answer(request, RefundRequestStatus.ACCEPTED, "refund_accept", by)
    await settlements.settle(
        milestone, contract, cause=SettlementCause.REFUND_REQUEST, cause_id=request.id, client=request.amount
    )
    await milestones.stop_clocks(milestone.id)
    await _tell_answered(accepted, milestone, contract, "lapsed" if by is None else "accepted")
    return accepted


async def _answer(
    request: RefundRequestRow, target: RefundRequestStatus, verb: str, by: int | None
) -> RefundRequestRow:
    MACHINE.check(request.status, target, verb=verb)
    await guard.rows(ANSWER, request.id, target.value, by)
    await timers.clear(request.id, TimerKind.REFUND_REQUEST_LAPSE)
    return await _reread(request.id)


async def _open_of(milestone_id: int) -> RefundRequestRow:
    found = await guard.row(SELECT + "where r.milestone = $1 and r.status = 'open'", milestone_id)
    if found is None:
        raise WrongState("No refund request for this milestone is open.")
    return _row(found)


async def _reread(request_id: int) -> RefundRequestRow:
    return _row(await guard.only(SELECT + "where r.id = $1", request_id))


def _check_party(contract: ContractRow, user_id: int, wanted_id: int, milestone_id: int) -> None:
    """Whether it is this party's turn; a stranger is told that nothing is there."""
    if user_id == wanted_id:
        return
    if user_id in (contract.client_id, contract.freelancer_id):
        raise NotAllowed("This is for the contract's other party to do.")
    raise NotFound(f"There is no milestone {milestone_id}.")


def _subject(request: RefundRequestRow, milestone: MilestoneRow, contract: ContractRow) -> dict[str, Any]:
    """What both mails about a request say."""
    return {
        "project_title": contract.title,
        "contract_id": contract.id,
        "milestone_id": milestone.id,
        "milestone_title": milestone.title,
        "amount_minor": request.amount.minor,
        "currency": request.currency,
    }


async def _tell_asked(request: RefundRequestRow, milestone: MilestoneRow, contract: ContractRow) -> None:
    await notifications.tell(
        contract.freelancer_id,
        type=NotificationType.REFUND_REQUESTED,
        title="Refund requested",
        message=f"{contract.client_name} asks for {request.amount} of “{milestone.title}” back. Answer within 7 days: "
        "after that you have agreed.",
        data={"milestone_id": milestone.id, "contract_id": contract.id, "refund_request_id": request.id},
    )
    await mail.write(
        "refund_requested",
        to=contract.freelancer_id,
        about=f"refund_request:{request.id}",
        client_name=contract.client_name,
        reason=request.reason,
        **_subject(request, milestone, contract),
    )


async def _tell_answered(
    request: RefundRequestRow, milestone: MilestoneRow, contract: ContractRow, answer: str
) -> None:
    said = {
        "accepted": f"{contract.freelancer_name} has agreed to pay {request.amount} of “{milestone.title}” back.",
        "declined": f"{contract.freelancer_name} does not agree to pay {request.amount} of “{milestone.title}” back.",
        "lapsed": f"Nobody answered for 7 days, so {request.amount} of “{milestone.title}” are to be paid back.",
    }
    # Of their silence the freelancer hears too: it is they whom it binds.
    people = (contract.client_id, contract.freelancer_id) if answer == "lapsed" else (contract.client_id,)
    for person in people:
        await notifications.tell(
            person,
            type=NotificationType.REFUND_ANSWERED,
            title="Refund request answered",
            message=said[answer],
            data={"milestone_id": milestone.id, "contract_id": contract.id, "refund_request_id": request.id},
        )
    await mail.write(
        "refund_answered",
        to=contract.client_id,
        about=f"refund_request:{request.id}",
        freelancer_name=contract.freelancer_name,
        answer=answer,
        **_subject(request, milestone, contract),
    )


# Queries


async def read(request_id: int, *, user_id: int, admin: bool) -> RefundRequestRow:
    """The request, for its contract's two parties or an admin. Raises NotFound for anybody else."""
    found = await guard.row(SELECT + "where r.id = $1", request_id)
    if found is None:
        raise NotFound(f"There is no refund request {request_id}.")
    await milestones.read(found["milestone_id"], user_id=user_id, admin=admin)
    return _row(found)


async def list_of_milestone(
    milestone_id: int, *, user_id: int, admin: bool, before: int, limit: int
) -> list[RefundRequestRow]:
    """A milestone's newest requests, from `before` (an id, exclusive) backwards.

    Raises NotFound when the caller may not see the milestone.
    """
    await milestones.read(milestone_id, user_id=user_id, admin=admin)
    return [_row(one) for one in await guard.rows(OF_MILESTONE, milestone_id, before, limit)]
