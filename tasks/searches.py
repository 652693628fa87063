"""Saved searches and the words of the market, worked on by jobs."""

from time import monotonic
from typing import Final

import msgspec

from models import alerts, guard, vocabulary
from models.jobs import GatherWords, MatchProject
from tasks.job import Claim, Reschedule, performs

LONG_S: Final = 2.0
"""After so long a job lets others go first: well within the queue's limit."""


class Matched(msgspec.Struct, frozen=True):
    """How many searches a project fitted, in this go."""

    searches: int


class Gathered(msgspec.Struct, frozen=True):
    """How many words there are."""

    words: int


@performs(MatchProject)
async def match_project(job: MatchProject, claim: Claim) -> Matched:
    """Hold a project against all saved searches, some at a time. Whoever was told is not told again.

    Each transaction stands for itself: after a crash the next run passes over what was done.
    """
    began, matched = monotonic(), 0
    after: int | None = claim.bookmark or 0
    while after is not None:
        batch = await guard.commit(alerts.match, job.project_id, after=after)
        matched, after = matched + batch.matched, batch.go_on
        if after is not None and monotonic() - began > LONG_S:
            raise Reschedule(0.0, bookmark=after)
    return Matched(searches=matched)


@performs(GatherWords)
async def gather_words(_: GatherWords, __: Claim) -> Gathered:
    """Count the words that open public projects use. Doing it twice changes nothing."""
    return Gathered(words=await guard.commit(vocabulary.gather))
