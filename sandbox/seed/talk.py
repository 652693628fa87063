"""Conversations with their messages, and notifications, as rows."""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sandbox.seed import words
from sandbox.seed.chance import Speech, dice
from sandbox.seed.hires import Hire
from sandbox.seed.loading import Loader
from sandbox.seed.plan import DAY_S, Work, later

CONVERSATIONS: Final = "low high last_seq last_at created_at"
MEMBERS: Final = "conversation user read_seq"
MESSAGES: Final = "conversation seq sender receiver content client_id project created_at read_at"
NOTIFICATIONS: Final = "user type title message data created_at read_at"

LONGEST: Final = 2_000
"""Messages of one conversation."""
GAP_S: Final = 2 * DAY_S
READ_AFTER_S: Final = -30 * DAY_S
"""What is older than this has been read."""


@dataclass(slots=True)
class Chat:
    """A conversation of two users about a project. The figures are known once its messages are made."""

    client: int
    freelancer: int
    project: int
    at: int
    length: int
    last_at: int = 0
    client_read: int = 0
    freelancer_read: int = 0


def chats(seed: int, works: list[Work], messages: int) -> list[Chat]:
    """Who talks with whom: whoever was shortlisted or hired, once a pair; a few very long, most of them short."""
    rng = dice(seed, "chats")
    found: dict[tuple[int, int], Chat] = {}
    for project, work in enumerate(works):
        for bid in work.bids:
            pair = (work.client, bid.freelancer)
            if bid.status in {"shortlisted", "accepted"} and pair not in found:
                found[pair] = Chat(*pair, project, bid.at, 0)
    lengths = [2 / (rng.random() + 0.002) for _ in found]
    each = messages / sum(lengths)
    for chat, length in zip(found.values(), lengths, strict=True):
        chat.length = max(1, min(LONGEST, int(length * each + rng.random())))
    return list(found.values())


def message_rows(loader: Loader, seed: int, talks: list[Chat]) -> Iterator[tuple[Any, ...]]:
    """The rows of MESSAGES, chat by chat, numbered without gaps; notes in each chat how far its two have read."""
    speech = Speech(seed, "messages")
    rng = speech.rng
    for n, chat in enumerate(talks):
        slots = speech.subject(speech.field())
        _read(rng, chat)
        ids = (loader.id("users", chat.client), loader.id("users", chat.freelancer))
        at, clients_turn = chat.at, True
        for seq in range(1, chat.length + 1):
            sender, receiver = ids if clients_turn else ids[::-1]
            read = seq <= (chat.freelancer_read if clients_turn else chat.client_read)
            at = chat.last_at = later(rng, at, GAP_S)
            moment = loader.at(at)
            yield (
                loader.id("conversations", n),
                seq,
                sender,
                receiver,
                speech.line(words.MESSAGES, slots),
                f"seed-{n}-{seq}",
                loader.id("projects", chat.project),
                moment,
                moment if read else None,
            )
            clients_turn = rng.random() < 0.4 if clients_turn else rng.random() < 0.6


def _read(rng: random.Random, chat: Chat) -> None:
    """How far each of the two has read: old chats to their end, one side of some newer ones not quite."""
    chat.client_read = chat.freelancer_read = chat.length
    if chat.at > READ_AFTER_S or rng.random() < 0.03:
        unread = int(min(chat.length, 10) * rng.random())
        if rng.random() < 0.5:
            chat.client_read -= unread
        else:
            chat.freelancer_read -= unread


def conversation_rows(loader: Loader, talks: list[Chat]) -> Iterator[tuple[Any, ...]]:
    """The rows of CONVERSATIONS, once the messages are made."""
    for chat in talks:
        low, high = sorted((chat.client, chat.freelancer))
        last = loader.at(chat.last_at)
        yield (loader.id("users", low), loader.id("users", high), chat.length, last, loader.at(chat.at))


def member_rows(loader: Loader, talks: list[Chat]) -> Iterator[tuple[Any, ...]]:
    """The rows of MEMBERS, once the messages are made."""
    for n, chat in enumerate(talks):
        for user, read in ((chat.client, chat.client_read), (chat.freelancer, chat.freelancer_read)):
            yield (loader.id("conversations", n), loader.id("users", user), read)


def notification_rows(loader: Loader, works: list[Work], hires: list[Hire]) -> Iterator[tuple[Any, ...]]:
    """The rows of NOTIFICATIONS: of every offer to its client, of every contract to both. The old ones are read."""
    proposal = 0
    for project, work in enumerate(works):
        for bid in work.bids:
            data = {"proposal_id": loader.id("proposals", proposal), "project_id": loader.id("projects", project)}
            proposal += 1
            said = ("proposal_received", "New proposal", "A freelancer offers to do your project.", json.dumps(data))
            yield (loader.id("users", work.client), *said, *_seen(loader, bid.at))
    for contract, hire in enumerate(hires):
        data = {"contract_id": loader.id("contracts", contract), "project_id": loader.id("projects", hire.project)}
        said = ("contract_created", "New contract", "Both sides sign before work begins.", json.dumps(data))
        for user in (hire.work.client, hire.bid.freelancer):
            yield (loader.id("users", user), *said, *_seen(loader, hire.at))


def _seen(loader: Loader, at: int) -> tuple[datetime, datetime | None]:
    """When a notification was made and read."""
    return loader.at(at), loader.at(min(0, at + 3_600)) if at < READ_AFTER_S else None
