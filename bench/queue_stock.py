"""The other side: stock Dramatiq on Redis, as its guide sets it up, with the same job."""

import time
from pathlib import Path

import dramatiq
from dramatiq.brokers.redis import RedisBroker

import settings

dramatiq.set_broker(RedisBroker(url=settings.load().redis.url))


@dramatiq.actor
def stamp(path: str) -> None:
    """Write down the moment it began at."""
    began = time.monotonic_ns()
    with Path(path).open("a", encoding="ascii") as file:
        file.write(f"{began}\n")
