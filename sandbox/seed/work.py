"""Contracts, their milestones, hours, disagreements and reviews, as rows."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, Final

from sandbox.seed import words
from sandbox.seed.chance import Speech
from sandbox.seed.hires import FEE_BP, Hire, shown
from sandbox.seed.loading import Loader
from sandbox.seed.plan import DAY_S
from sandbox.seed.projects import DUE_S

CONTRACTS: Final = (
    "project proposal client freelancer title amount_minor currency fee_bp budget_type weekly_cap_minutes time_zone "
    "status client_signed_at freelancer_signed_at created_at completed_at cancelled_at cancelled_because"
)
MILESTONES: Final = (
    "contract title description amount_minor currency due_date status delivery_note change_note submitted_at "
    "created_at updated_at"
)
WEEKS: Final = "contract monday status closed_at approved_at"
ENTRIES: Final = (
    "contract project freelancer week started_at ended_at description is_billable status created_at updated_at"
)
REVIEWS: Final = "contract reviewer reviewee rating comment status response created_at shown_at responded_at"
DISPUTES: Final = "milestone opener other_party reason description status created_at"
EVIDENCE: Final = "dispute author note created_at"

CAP_MINUTES: Final = 20 * 60
MOST_WEEKS: Final = 8
REASONS: Final = ("not_delivered", "not_as_described", "quality", "late")


def contract_rows(loader: Loader, seed: int, hires: list[Hire]) -> Iterator[tuple[Any, ...]]:
    """The rows of CONTRACTS."""
    speech = Speech(seed, "contracts")
    for hire in hires:
        work = hire.work
        signed = None if hire.signed is None else loader.at(hire.signed)
        ended = None if hire.ended is None else loader.at(hire.ended)
        cancelled = work.contract == "cancelled"
        yield (
            loader.id("projects", hire.project),
            loader.id("proposals", hire.proposal),
            loader.id("users", work.client),
            loader.id("users", hire.bid.freelancer),
            speech.line(words.TITLES, speech.subject(speech.field())),
            hire.amount,
            work.currency,
            FEE_BP,
            "hourly" if work.hourly else "fixed",
            CAP_MINUTES if work.hourly else None,
            "UTC",
            work.contract,
            loader.at(hire.at),
            signed,
            loader.at(hire.at),
            None if cancelled else ended,
            ended if cancelled else None,
            "We have other plans now." if cancelled else None,
        )


def milestone_rows(loader: Loader, seed: int, hires: list[Hire]) -> Iterator[tuple[Any, ...]]:
    """The rows of MILESTONES, contract by contract: so they are counted everywhere else."""
    speech = Speech(seed, "milestones")
    for contract, hire in enumerate(hires):
        slots = speech.subject(speech.field())
        for n, stage in enumerate(hire.stages):
            moments = (stage.released, stage.submitted, stage.funded, hire.at)
            changed = next(at for at in moments if at is not None)
            yield (
                loader.id("contracts", contract),
                words.STAGES[n],
                f"{words.STAGES[n]} of the {slots['thing']}",
                stage.amount,
                hire.work.currency,
                loader.day(hire.at + DUE_S),
                stage.status,
                None if stage.submitted is None else f"The {slots['thing']} is there: please have a look.",
                f"Please make it more {slots['quality']}." if stage.status == "changes_requested" else None,
                None if stage.submitted is None else loader.at(stage.submitted),
                loader.at(hire.at),
                loader.at(changed),
            )


Span = tuple[date, datetime, datetime]


def spans(loader: Loader, hire: Hire, busy_until: datetime | None) -> list[Span]:
    """The hours under an hourly contract, in UTC: weekday mornings, of no more weeks than MOST_WEEKS.

    None of them begin before `busy_until`: whoever works works at one thing at a time.
    """
    assert hire.signed is not None
    begin, end = loader.at(hire.signed), loader.at(hire.ended or 0)
    found = []
    for n in range(MOST_WEEKS * 7):
        day = (begin + timedelta(days=n + 1)).replace(hour=9, minute=0, second=0, microsecond=0)
        began, ended = day, day + timedelta(minutes=90 + 30 * (n % 5))
        if ended > end:
            break
        if day.isoweekday() <= 5 and (busy_until is None or began >= busy_until):
            found.append((day.date() - timedelta(days=day.isoweekday() - 1), began, ended))
    return found


def hours(loader: Loader, seed: int, hires: list[Hire]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows of WEEKS and of ENTRIES. A week is approved once its review is over, and open while it lasts."""
    speech = Speech(seed, "hours")
    weeks: list[tuple[Any, ...]] = []
    entries: list[tuple[Any, ...]] = []
    busy: dict[int, datetime] = {}
    for contract, hire in enumerate(hires):
        if not hire.work.hourly or hire.signed is None:
            continue
        freelancer = hire.bid.freelancer
        slots = speech.subject(speech.field())
        monday = None
        for monday_of, began, ended in spans(loader, hire, busy.get(freelancer)):
            status, entry_status, closed, approved = _week(loader, monday_of)
            if monday_of != monday:
                monday = monday_of
                weeks.append((loader.id("contracts", contract), monday, status, closed, approved))
            entries.append(
                (
                    loader.id("contracts", contract),
                    loader.id("projects", hire.project),
                    loader.id("users", freelancer),
                    loader.id("time_weeks", len(weeks) - 1),
                    began,
                    ended,
                    f"{slots['verb']} the {slots['thing']}",
                    True,
                    entry_status,
                    ended,
                    ended,
                )
            )
            busy[freelancer] = ended
    return weeks, entries


def _week(loader: Loader, monday: date) -> tuple[str, str, datetime | None, datetime | None]:
    """How a week stands when the data end: its status, its entries', when it was closed and approved."""
    closes = datetime.combine(monday, datetime.min.time(), loader.until.tzinfo) + timedelta(days=7)
    approves = closes + timedelta(days=5)
    if approves < loader.until:
        return "approved", "approved", closes, approves
    if closes < loader.until:
        return "in_review", "submitted", closes, None
    return "open", "draft", None, None


def review_rows(loader: Loader, seed: int, hires: list[Hire]) -> Iterator[tuple[Any, ...]]:
    """The rows of REVIEWS."""
    speech = Speech(seed, "reviews")
    for contract, hire in enumerate(hires):
        for one in hire.reviews:
            parties = (hire.work.client, hire.bid.freelancer)
            reviewer, reviewee = parties if one.by_client else parties[::-1]
            seen = shown(hire)
            answered = seen and speech.rng.random() < 0.2
            both = len(hire.reviews) == 2
            shown_at = loader.at(max(each.at for each in hire.reviews) if both else (hire.ended or 0) + 14 * DAY_S)
            yield (
                loader.id("contracts", contract),
                loader.id("users", reviewer),
                loader.id("users", reviewee),
                one.rating,
                speech.text(words.COMMENTS, speech.subject(speech.field()), 1, 3),
                "shown" if seen else "hidden",
                "Thank you, it was a pleasure." if answered else None,
                loader.at(one.at),
                shown_at if seen else None,
                shown_at if answered else None,
            )


def disputes(loader: Loader, seed: int, hires: list[Hire]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows of DISPUTES and of EVIDENCE: one of each for every milestone that is disputed."""
    speech = Speech(seed, "disputes")
    found: list[tuple[Any, ...]] = []
    evidence: list[tuple[Any, ...]] = []
    milestone = 0
    for hire in hires:
        for stage in hire.stages:
            if stage.status == "disputed":
                client, freelancer = (loader.id("users", one) for one in (hire.work.client, hire.bid.freelancer))
                at = loader.at(min(0, (stage.submitted or 0) + DAY_S))
                reason = REASONS[len(found) % len(REASONS)]
                slots = speech.subject(speech.field())
                said = f"The {slots['thing']} is not {slots['quality']}."
                evidence.append((loader.id("disputes", len(found)), freelancer, "It is what we agreed on.", at))
                found.append((loader.id("milestones", milestone), client, freelancer, reason, said, "evidence", at))
            milestone += 1
    return found, evidence


def rated(hires: list[Hire]) -> tuple[dict[int, list[int]], dict[int, int]]:
    """What is shown of people: the ratings each got, and how many contracts a freelancer has completed."""
    ratings: dict[int, list[int]] = {}
    completed: dict[int, int] = {}
    for hire in hires:
        if hire.work.contract != "completed":
            continue
        completed[hire.bid.freelancer] = completed.get(hire.bid.freelancer, 0) + 1
        for one in hire.reviews:
            if shown(hire):
                ratings.setdefault(hire.bid.freelancer if one.by_client else hire.work.client, []).append(one.rating)
    return ratings, completed
