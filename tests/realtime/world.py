"""People, sessions and a relay that can be told to fail: what the realtime process lives among."""

from uuid import UUID

import asyncpg
import redis.asyncio

from models import events, guard, outbox, sessions
from models.accounts import Role
from tasks import relay as relay_process
from wire.redis import Names


async def make_user(email: str, role: Role = Role.CLIENT) -> int:
    made: int = await guard.value(
        """insert into users (email, email_key, password_hash, first_name, last_name, role)
           values ($1, $1, '', 'Ada', 'Byron', $2) returning id""",
        email,
        role.value,
    )
    return made


async def make_session(user_id: int, role: Role = Role.CLIENT) -> UUID:
    made = await guard.commit(sessions.begin, user_id, role, proved=role is Role.ADMIN)
    return made.session_id


async def happen(*told: tuple[events.Event, events.Audience]) -> None:
    """Events commit with their changes; nobody has numbered them yet."""

    async def publish() -> None:
        for event, audience in told:
            await outbox.publish(event, audience)

    await guard.commit(publish)


async def number() -> list[asyncpg.Record]:
    """The relay's first half: a crash after it leaves numbered events that nobody was told of."""
    return sorted(await guard.rows(relay_process.NUMBER, 1000), key=lambda one: (one["audience"], one["seq"]))


async def publish(numbered: list[asyncpg.Record], redis_url: str) -> None:
    """The relay's second half."""
    client = redis.asyncio.Redis.from_url(redis_url)
    for one in numbered:
        told = relay_process.encode(one["audience"], one["seq"], one["name"], one["payload"])
        await client.publish(Names("mgl:test:").events, told)
    await client.aclose()


async def relay(redis_url: str) -> list[asyncpg.Record]:
    """Number what waits and publish it."""
    numbered = await number()
    await publish(numbered, redis_url)
    return numbered


def notified(n: int) -> events.Notified:
    return events.Notified(type="test", title=f"number {n}", message="", data={"n": n})
