"""Contracts and their signatures, over HTTP."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import FromQuery, JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in
from api.fields import Body, PathId
from api.idempotency import Once, seen_by
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import cancellation, completion, contracts
from models.accounts import Role
from models.contracts import ContractRow, ContractStatus
from models.projects import BudgetType

LISTING: Final = "contracts"


class Cancellation(Body, frozen=True, kw_only=True):
    """Why: the other party is told."""

    reason: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]


class ContractOut(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as its parties see it; the amount is in major units of `currency`, of an hourly one for an hour."""

    id: int
    project_id: int
    proposal_id: int
    client_id: int
    client_name: str
    freelancer_id: int
    freelancer_name: str
    title: str
    amount: Decimal
    currency: str
    platform_fee_percent: Decimal
    budget_type: BudgetType
    hourly_rate: Decimal | None
    weekly_cap_hours: Decimal | None
    time_zone: str
    status: ContractStatus
    is_disputed: bool
    client_signed_at: datetime | None
    freelancer_signed_at: datetime | None
    created_at: datetime
    completed_at: datetime | None
    cancelled_at: datetime | None
    cancelled_because: str | None


def show(contract: ContractRow) -> ContractOut:
    """The contract as it is answered."""
    cap = contract.weekly_cap_minutes
    return ContractOut(
        id=contract.id,
        project_id=contract.project_id,
        proposal_id=contract.proposal_id,
        client_id=contract.client_id,
        client_name=contract.client_name,
        freelancer_id=contract.freelancer_id,
        freelancer_name=contract.freelancer_name,
        title=contract.title,
        amount=contract.amount.major,
        currency=contract.currency,
        platform_fee_percent=Decimal(contract.fee_bp).scaleb(-2),
        budget_type=contract.budget_type,
        hourly_rate=contract.amount.major if contract.budget_type is BudgetType.HOURLY else None,
        weekly_cap_hours=None if cap is None else Decimal(cap) / 60,
        time_zone=contract.time_zone,
        status=contract.status,
        is_disputed=contract.is_disputed,
        client_signed_at=contract.client_signed_at,
        freelancer_signed_at=contract.freelancer_signed_at,
        created_at=contract.created_at,
        completed_at=contract.completed_at,
        cancelled_at=contract.cancelled_at,
        cancelled_because=contract.cancelled_because,
    )


@get("/")
async def list_contracts(
    caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None, status: FromQuery[ContractStatus | None] = None
) -> Page[ContractOut]:
    """The contracts the caller is a party of, newest first."""
    before = decode_cursor(LISTING, cursor, int)
    found = await contracts.list_own(caller.id, status=status, before=before, limit=limit + 1)
    return page(LISTING, [show(one) for one in found], limit, lambda one: one.id)


@get("/{contract_id:int}")
async def read_contract(contract_id: PathId, caller: Asking) -> ContractOut:
    """A contract, for its two parties."""
    return show(await contracts.read(contract_id, user_id=caller.id, admin=caller.admin))


@post("/{contract_id:int}/sign", status_code=HTTP_200_OK, guards=[role(Role.CLIENT, Role.FREELANCER)])
async def sign_contract(contract_id: PathId, caller: Asking, once: Once) -> ContractOut:
    """Sign as one of the two parties; the second signature makes the contract active."""
    return show(await once(contracts.sign, contract_id, user_id=caller.id, again=seen_by(caller, contracts.read)))


@post("/{contract_id:int}/cancel", status_code=HTTP_200_OK, guards=[role(Role.CLIENT, Role.FREELANCER)])
async def cancel_contract(contract_id: PathId, data: JSONBody[Cancellation], caller: Asking, once: Once) -> ContractOut:
    """End a contract while no money and no hours hang on it; its project is cancelled with it."""
    again = seen_by(caller, contracts.read)
    return show(await once(cancellation.cancel, contract_id, user_id=caller.id, reason=data.reason, again=again))


@post("/{contract_id:int}/complete", status_code=HTTP_200_OK, guards=[role(Role.CLIENT)])
async def complete_contract(contract_id: PathId, caller: Asking, once: Once) -> ContractOut:
    """End a contract well, once nothing of it is open; both may review each other from then on."""
    again = seen_by(caller, contracts.read)
    return show(await once(completion.complete, contract_id, client_id=caller.id, again=again))


router = Router(
    "/api/contracts",
    route_handlers=[list_contracts, read_contract, sign_contract, cancel_contract, complete_contract],
    tags=["contracts"],
    guards=[signed_in],
)
