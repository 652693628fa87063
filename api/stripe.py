"""The caller at Stripe: the connected account a freelancer is paid to."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from litestar import Request, Response, Router, get, post
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, role, signed_in, verified
from api.idempotency import Once
from api.jobs import JobOut
from api.waiting import answer
from models import payouts
from models.accounts import Role
from models.errors import NotFound
from settings import Settings
from wire.sealing import Sealer


class PayoutAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Where the caller's money goes. `onboarding_url` is good once, for minutes; absent when nothing is missing."""

    id: str
    payouts_ready: bool
    onboarding_url: str | None = None


@post(
    "/accounts",
    status_code=HTTP_200_OK,
    guards=[role(Role.FREELANCER), verified],
    opt={"bodiless": True},
    responses={200: ResponseSpec(PayoutAccount), 202: ResponseSpec(JobOut)},
)
async def open_account(request: Request[Any, Any, Any], caller: Asking, state: State, once: Once) -> Response[Any]:
    """Open a payout account, or get a fresh onboarding link to the one there is."""
    requested = await once.job(payouts.request_account, caller.id)
    return await answer(request, requested, _shown_to(caller, state.settings))


def _shown_to(caller: Asking, config: Settings) -> Callable[[Any], Awaitable[PayoutAccount]]:
    async def show(_: Any) -> PayoutAccount:
        """The link signs its holder in, so it is unsealed for its owner's answer and stored nowhere else."""
        found = await payouts.read(caller.id)
        sealer = Sealer(config.tokens.key, config.tokens.old_keys)
        url = sealer.unseal(found.onboarding_sealed) if found.onboarding_sealed else None
        return PayoutAccount(id=found.account_id or "", payouts_ready=found.ready, onboarding_url=url)

    return show


@get("/accounts/me", guards=[role(Role.FREELANCER)])
async def read_account(caller: Asking) -> PayoutAccount:
    """The caller's payout account. 404 when none was opened."""
    found = await payouts.read(caller.id)
    if found.account_id is None:
        raise NotFound("You have no payout account yet: POST /api/stripe/accounts.")
    return PayoutAccount(id=found.account_id, payouts_ready=found.ready)


router = Router(
    path="/api/stripe",
    route_handlers=[open_account, read_account],
    tags=["stripe"],
    guards=[signed_in],
)
