"""What a web process is to the queue: `python -m tests.crashes.door` commits a row and its job, again and again.

It is killed in the middle of that; then each order that was committed has its job, and no other order has one.
"""

import asyncio
import contextlib
import os
from itertools import count

import asyncpg

import settings
from models import guard, outbox
from tests.crashes.probes import Piece
from wire.bell import Bell
from wire.redis import Names

PAUSE_S = 0.1


async def place_order(key: str) -> None:
    """A change and the job that it causes."""
    await guard.rows("insert into orders (key) values ($1)", key)
    await outbox.enqueue(Piece(key=key))


async def serve() -> None:
    """Place orders until killed. PostgreSQL's absence is an error to the caller, who asks for something else."""
    config = settings.load()
    while True:
        try:
            await guard.open_pool(max_size=2)
            break
        except (*guard.LOST_CONNECTION, asyncpg.PostgresError):
            await asyncio.sleep(PAUSE_S)
    guard.hang_bell(Bell(config.redis.url, Names(config.redis.prefix)))
    for number in count():
        with contextlib.suppress(*guard.LOST_CONNECTION, asyncpg.PostgresError, asyncpg.InternalClientError):
            await guard.commit(place_order, f"order-{os.getpid()}-{number}")
        await asyncio.sleep(PAUSE_S)


if __name__ == "__main__":
    asyncio.run(serve())
