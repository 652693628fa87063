"""The proof as the clock runs it: every difference is an alarm, and none is mended."""

from structlog.testing import capture_logs

from models import guard, outbox
from models.jobs import CheckLedger
from tests.escrows import a_deal
from tests.performing import perform_now
from tests.stripe_sandbox import StripeSandbox


async def test_a_difference_is_logged_as_an_error_and_counted(stripe: StripeSandbox):
    deal = await a_deal(stripe)
    await deal.funded()
    await guard.rows("update milestones set status = 'pending'")
    job = await guard.commit(outbox.enqueue, CheckLedger())
    with capture_logs() as logs:
        done = await perform_now(job.job_id)
    assert done.result == {"journals": 1, "postings": 2, "differences": 1}
    (alarm,) = [one for one in logs if one["event"] == "ledger.difference"]
    assert (alarm["log_level"], alarm["check"]) == ("error", "escrow holds what funded milestones say")
    assert (alarm["subject"], alarm["found"], alarm["wanted"]) == (f"milestone:{deal.milestone_id}", 100_000, 0)
    assert await deal.status() == "pending"
