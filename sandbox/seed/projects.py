"""Projects and what freelancers offer for them."""

import json
from collections.abc import Iterator
from typing import Any, Final

from sandbox.seed import words
from sandbox.seed.chance import Speech
from sandbox.seed.hires import Hire
from sandbox.seed.loading import Loader
from sandbox.seed.plan import DAY_S, Work, later

DUE_S: Final = 30 * DAY_S

PROJECTS: Final = (
    "client title description category skills budget_type budget_min_minor budget_max_minor currency deadline "
    "visibility status created_at updated_at published_at"
)


def slug(name: str) -> str:
    """A name as it is written in addresses."""
    return "-".join("".join(char if char.isalnum() else " " for char in name.lower()).split())


def project_rows(loader: Loader, seed: int, works: list[Work]) -> Iterator[tuple[Any, ...]]:
    """The rows of PROJECTS."""
    speech = Speech(seed, "projects")
    for one in works:
        field = speech.field()
        slots = speech.subject(field)
        published = None if one.status == "draft" else loader.at(one.at + 600)
        yield (
            loader.id("users", one.client),
            speech.line(words.TITLES, slots),
            speech.text(words.SENTENCES, slots, 4, 9),
            words.CATEGORIES.get(field, slug(field)),
            [slots["skill"], slots["skill2"]],
            "hourly" if one.hourly else "fixed",
            one.low,
            one.high,
            one.currency,
            loader.day(one.at + 60 * DAY_S) if one.low % 3 else None,
            one.visibility,
            one.status,
            loader.at(one.at),
            loader.at(one.at + 600),
            published,
        )


PROPOSALS: Final = (
    "project freelancer cover_letter bid_minor currency delivery_days milestones weekly_hours status created_at "
    "updated_at decided_at"
)


def proposal_rows(loader: Loader, seed: int, works: list[Work], hires: list[Hire]) -> Iterator[tuple[Any, ...]]:
    """The rows of PROPOSALS. An accepted one says what its contract says."""
    speech = Speech(seed, "proposals")
    agreed = {hire.project: hire for hire in hires}
    for project, work in enumerate(works):
        for bid in work.bids:
            slots = speech.subject(speech.field())
            accepted = bid.status == "accepted"
            amount = agreed[project].amount if accepted else work.low + (work.high - work.low) // 200 * 100
            decided = agreed[project].at if accepted else later(speech.rng, bid.at, 7 * DAY_S)
            yield (
                loader.id("projects", project),
                loader.id("users", bid.freelancer),
                speech.text(words.OFFERS, slots, 2, 4),
                amount,
                work.currency,
                3 + int(60 * speech.rng.random()),
                _plan(loader, agreed[project]) if accepted else "[]",
                20 if work.hourly else None,
                bid.status,
                loader.at(bid.at),
                loader.at(bid.at),
                None if bid.status in {"submitted", "shortlisted"} else loader.at(decided),
            )


def _plan(loader: Loader, hire: Hire) -> str:
    """The stages of an offer as its column has them."""
    planned = [
        {"title": words.STAGES[n], "amount_minor": stage.amount, "due_date": loader.day(hire.at + DUE_S).isoformat()}
        for n, stage in enumerate(hire.stages)
    ]
    return json.dumps(planned)
