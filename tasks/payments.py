"""The performers around charges that are no escrow: a freelancer's payout account."""

import settings
from models import guard, payouts
from models.jobs import OpenPayoutAccount
from tasks.gateways import cards
from tasks.job import Claim, performs
from wire.sealing import Sealer


@performs(OpenPayoutAccount)
async def open_payout_account(job: OpenPayoutAccount, claim: Claim) -> None:
    """Make or find the freelancer's connected account, see whether it is ready, and make a fresh onboarding link."""
    known = await payouts.read(job.user_id)
    account_id = known.account_id
    if account_id is None:
        made = await cards.create_account(email=known.email, user_id=known.user_id, key=f"account:{claim.job_id}")
        # Two requests may each make one: the first that is remembered is the freelancer's, and the other stays empty.
        account_id = await guard.commit(payouts.remember_account, known.user_id, made.account_id)
    account = await cards.read_account(account_id)
    sealed = None
    if not account.ready:
        config = settings.load()
        back = f"{config.web.frontend_url or config.web.public_url}/payouts"
        link = await cards.onboarding_link(account.account_id, return_url=back, refresh_url=back)
        sealed = Sealer(config.tokens.key, config.tokens.old_keys).seal(link)
    await claim.complete(
        payouts.complete_opening, known.user_id, account.account_id, ready=account.ready, onboarding_sealed=sealed
    )
