"""Payments, releases and the ledger, as rows. Every cent of them is held to the ledger's own rules by its triggers.

All money lies in the platform's balance (the `captured` rail): a card's hold would lapse, and Stripe's stand-in knows
nothing of seeded payments, so nobody is to look for them there.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from sandbox.seed.hires import FEE_BP, Hire, Stage
from sandbox.seed.loading import Loader
from sandbox.seed.people import payouts_ready

PAYMENTS: Final = (
    "milestone payer amount_minor currency payment_method_id rail status intent_id charge_id failure_code decline_code "
    "expires_at created_at updated_at"
)
RELEASES: Final = (
    "milestone payment gross_minor fee_minor net_minor currency status transfer_id created_at completed_at"
)
JOURNALS: Final = "key kind subject effective_at"
POSTINGS: Final = "journal account asset amount"

BASIS_POINTS: Final = 10_000
DECLINED: Final = (("card_declined", "generic_decline"), ("card_declined", "insufficient_funds"))

Paid = tuple[int, Stage, Hire]


def paid_stages(hires: list[Hire]) -> Iterator[Paid]:
    """Each milestone that was funded, with its place among all milestones, counted from 0."""
    place = 0
    for hire in hires:
        for stage in hire.stages:
            if stage.funded is not None:
                yield place, stage, hire
            place += 1


def fee_of(gross: int) -> int:
    """The platform's fee: basis points, rounded half to even. The sandbox's own sum, which the proof compares."""
    quotient, remainder = divmod(gross * FEE_BP, BASIS_POINTS)
    up = 2 * remainder > BASIS_POINTS or (2 * remainder == BASIS_POINTS and quotient % 2 == 1)
    return quotient + up


class Books:
    """The rows of money, table by table; the ids of payments are counted as they are made."""

    def __init__(self, loader: Loader, hires: list[Hire]) -> None:
        self.loader = loader
        self.hires = hires

    def payment_rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows of PAYMENTS: for each funded milestone the one that funded it, for some a declined one before."""
        count = 0
        for place, stage, hire in paid_stages(self.hires):
            if stage.declined:
                yield self._payment(count, place, stage, hire, DECLINED[count % len(DECLINED)])
                count += 1
            yield self._payment(count, place, stage, hire, None)
            count += 1

    def _payment(
        self, count: int, place: int, stage: Stage, hire: Hire, failure: tuple[str, str] | None
    ) -> tuple[Any, ...]:
        at = self._at(stage.funded)
        return (
            self.loader.id("milestones", place),
            self.loader.id("users", hire.work.client),
            stage.amount,
            hire.work.currency,
            "pm_card_visa",
            "captured",
            "succeeded" if failure is None else "failed",
            f"pi_seed_{self.loader.id('payments', count)}",
            None if failure else f"ch_seed_{self.loader.id('payments', count)}",
            failure and failure[0],
            failure and failure[1],
            at,
            at,
            at,
        )

    def _at(self, seconds: int | None) -> datetime:
        assert seconds is not None
        return self.loader.at(seconds)

    def _funded(self) -> Iterator[tuple[int, Paid]]:
        """Each funded milestone with the id of the payment that funded it."""
        count = 0
        for one in paid_stages(self.hires):
            count += one[1].declined
            yield self.loader.id("payments", count), one
            count += 1

    def _released(self) -> Iterator[tuple[int, int, Paid]]:
        """Each released milestone with the ids of its release and its payment."""
        count = 0
        for payment, one in self._funded():
            if one[1].released is not None:
                yield self.loader.id("releases", count), payment, one
                count += 1

    def release_rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows of RELEASES."""
        for release, payment, (place, stage, hire) in self._released():
            fee = fee_of(stage.amount)
            at = self._at(stage.released)
            sent = payouts_ready(hire.bid.freelancer)
            yield (
                self.loader.id("milestones", place),
                payment,
                stage.amount,
                fee,
                stage.amount - fee,
                hire.work.currency,
                "completed",
                f"tr_seed_{release}" if sent else None,
                at,
                at,
            )

    def journal_rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows of JOURNALS: all fundings, then all releases."""
        for payment, (place, stage, _) in self._funded():
            subject = f"milestone:{self.loader.id('milestones', place)}"
            yield (f"fund:{payment}", "fund", subject, self._at(stage.funded))
        for release, _, (place, stage, _) in self._released():
            subject = f"milestone:{self.loader.id('milestones', place)}"
            yield (f"release:{release}", "release", subject, self._at(stage.released))

    def posting_rows(self) -> Iterator[tuple[Any, ...]]:
        """The rows of POSTINGS, in the order of the journals; within one by account."""
        journal = self.loader.id("journals", 0)
        for _, (place, stage, hire) in self._funded():
            escrow = f"escrow:milestone:{self.loader.id('milestones', place)}"
            yield (journal, escrow, hire.work.currency, stage.amount)
            yield (journal, "world:stripe", hire.work.currency, -stage.amount)
            journal += 1
        for _, _, (place, stage, hire) in self._released():
            fee = fee_of(stage.amount)
            freelancer = hire.bid.freelancer
            held = f"user:{self.loader.id('users', freelancer)}:available"
            yield (
                journal,
                f"escrow:milestone:{self.loader.id('milestones', place)}",
                hire.work.currency,
                -stage.amount,
            )
            if fee:
                yield (journal, "platform:fees", hire.work.currency, fee)
            payee = "world:stripe" if payouts_ready(freelancer) else held
            yield (journal, payee, hire.work.currency, stage.amount - fee)
            journal += 1
