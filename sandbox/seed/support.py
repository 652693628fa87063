"""Questions to the people behind the platform, as rows."""

from datetime import timedelta
from typing import Any, Final

from sandbox.seed import words
from sandbox.seed.chance import Speech
from sandbox.seed.loading import Loader
from sandbox.seed.plan import ADMINS, DAY_S

TICKETS: Final = (
    "user subject category priority status assignee first_response_due_at first_response_at resolution_due_at "
    "resolved_at created_at updated_at closed_at"
)
REPLIES: Final = "ticket author message created_at"
QUEUES: Final = ("account", "payment", "project", "dispute", "bug", "other")
PRIORITIES: Final = ("normal", "normal", "normal", "low", "high", "urgent")


def tickets(loader: Loader, seed: int, count: int, users: int) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows of TICKETS and of REPLIES: mostly closed, the newest open."""
    speech = Speech(seed, "tickets")
    found: list[tuple[Any, ...]] = []
    replies: list[tuple[Any, ...]] = []
    for n in range(count):
        at = -180 * DAY_S + 179 * DAY_S * n // count
        owner = loader.id("users", ADMINS + int((users - ADMINS) * speech.rng.random()))
        admin = loader.id("users", n % ADMINS)
        closed = n < count * 9 // 10
        asked, answered = loader.at(at), loader.at(at + 3 * 3_600)
        slots = speech.subject(speech.field())
        subject = speech.line(words.QUESTIONS, slots)
        rest = (asked + timedelta(hours=24), answered if closed else None, asked + timedelta(days=5))
        end = (answered if closed else None, asked, answered, answered if closed else None)
        kind = (QUEUES[n % len(QUEUES)], PRIORITIES[n * 7 % len(PRIORITIES)], "closed" if closed else "open")
        replies.append((loader.id("support_tickets", n), owner, f"{subject} What can I do?", asked))
        if closed:
            replies.append((loader.id("support_tickets", n), admin, "We have looked into it: done.", answered))
        found.append((owner, subject, *kind, admin if closed else None, *rest, *end))
    return found, replies
