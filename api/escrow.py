"""A milestone's money: funded from a card, approved for release. Both wait for their job."""

from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response, Router, post
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, verified
from api.fields import Amount, Body, PathId
from api.idempotency import Once
from api.jobs import JobOut
from api.waiting import answer
from models import payments
from models.accounts import Role
from models.errors import PaymentMethodMissing
from models.escrow import funding, releasing
from models.escrow.funding import FundingOutcome
from models.escrow.releasing import ReleaseOutcome
from models.money import Money
from models.payments import PaymentStatus
from models.policy import Policy
from settings import Settings
from wire.sealing import Sealer


class Fund(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a milestone is paid: `payment_method_id` is Stripe's, made in the browser."""

    payment_method_id: Annotated[str, msgspec.Meta(pattern="^(pm|card|src)_[A-Za-z0-9_]{1,200}(?!\\n)$")] | None = None
    source: Literal["card"] = "card"


class Approval(Body, frozen=True, kw_only=True):
    """How much is approved: the whole, which need not be said. Parts of a milestone cannot be released yet."""

    amount: Amount | None = None


class Funding(msgspec.Struct, frozen=True, kw_only=True):
    """How a funding stands: funded, processing, or requires_action with the secret that a browser goes on with."""

    id: int
    payment_id: int
    status: str
    amount: Decimal
    currency: str
    escrow: dict[str, Any]
    client_secret: str | None = None


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """A release that has completed, in major units: gross = fee + net. No `transfer_id`: the platform holds the net."""

    id: int
    release_id: int
    status: str
    amount: Decimal
    fee: Decimal
    net: Decimal
    currency: str
    transfer_id: str | None


@post(
    "/{milestone_id:int}/fund",
    status_code=HTTP_200_OK,
    guards=[role(Role.CLIENT), verified],
    responses={200: ResponseSpec(Funding), 202: ResponseSpec(JobOut)},
)
async def fund(
    *,
    milestone_id: PathId,
    data: JSONBody[Fund],
    request: Request[Any, Any, Any],
    caller: Asking,
    state: State,
    once: Once,
) -> Response[Any]:
    """Charge a card for a milestone. 402 when the bank declines; a bank that asks its customer is `requires_action`."""
    if data.payment_method_id is None:
        raise PaymentMethodMissing("Name the card: payment_method_id.", field="payment_method_id")
    config: Settings = state.settings
    requested = await once.job(
        funding.request_funding,
        milestone_id,
        caller_id=caller.id,
        payment_method_id=data.payment_method_id,
        policy=Policy(fee_bp=config.fees.platform_bp),
    )
    return await answer(request, requested, _funding(config))


def _funding(config: Settings) -> Callable[[Any], Awaitable[Funding]]:
    async def show(result: Any) -> Funding:
        """The job's result, and what is secret or known since: read when the answer is built, stored nowhere else."""
        found = msgspec.convert(result, FundingOutcome)
        payment = await payments.read(found.payment_id)
        secret = None
        if payment.status is PaymentStatus.REQUIRES_ACTION and payment.client_secret_sealed:
            secret = Sealer(config.tokens.key, config.tokens.old_keys).unseal(payment.client_secret_sealed)
        held = payment.status in payments.PAID
        return Funding(
            id=found.milestone_id,
            payment_id=payment.id,
            status="funded" if held else payment.status.value,
            amount=payment.amount.major,
            currency=payment.amount.currency,
            escrow={
                "state": "funded" if held else "funding",
                "rail": payment.rail.value,
                "releasable": payment.amount.major if held else 0,
            },
            client_secret=secret,
        )

    return show


@post(
    "/{milestone_id:int}/approve",
    status_code=HTTP_200_OK,
    guards=[role(Role.CLIENT), verified],
    responses={200: ResponseSpec(Release), 202: ResponseSpec(JobOut)},
)
async def approve(
    *,
    milestone_id: PathId,
    request: Request[Any, Any, Any],
    caller: Asking,
    once: Once,
    data: JSONBody[Approval | None] = None,
) -> Response[Any]:
    """Release a delivered milestone to its freelancer. Of any number of approvals one releases; the others are 409."""
    amount = data.amount if data else None
    requested = await once.job(releasing.request_release, milestone_id, caller_id=caller.id, amount=amount)
    return await answer(request, requested, _release)


def _release(result: Any) -> Release:
    found = msgspec.convert(result, ReleaseOutcome)
    return Release(
        id=found.milestone_id,
        release_id=found.release_id,
        status=found.status,
        amount=Money(found.gross_minor, found.currency).major,
        fee=Money(found.fee_minor, found.currency).major,
        net=Money(found.net_minor, found.currency).major,
        currency=found.currency,
        transfer_id=found.transfer_id,
    )


router = Router(path="/api/milestones", route_handlers=[fund, approve], tags=["milestones"])
