"""The Redis client, and every key and channel name there is.

Redis rings, remembers and limits; it never holds the only copy of anything. Losing all of it costs latency, not data.
"""

from typing import Final

import msgspec
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

SOCKET_TIMEOUT_S: Final = 2.0
"""The longest a command may hold up whoever waits for it, when Redis is stalled rather than gone."""

AWAY: Final = (RedisError, OSError, TimeoutError)
"""What an absent, stalled or restarting Redis raises."""


class Names(msgspec.Struct, frozen=True):
    """Every key and channel, under one environment's prefix (`mgl:{env}:`)."""

    prefix: str

    def bell(self, name: str) -> str:
        """A list of tokens: one for each time a queue, or the events, had something new."""
        return f"{self.prefix}bell:{name}"

    def limit(self, name: str) -> str:
        """A bucket of the rate limit: a debt and when that was. Its name holds a route and an id or an address."""
        return f"{self.prefix}limit:{name}"

    @property
    def jobs_ended(self) -> str:
        """A channel: JSON lists of the ids of jobs that have ended."""
        return f"{self.prefix}jobs:ended"

    @property
    def events(self) -> str:
        """A channel: stored events as `{audience, seq, name, payload}`."""
        return f"{self.prefix}events"

    @property
    def volatile(self) -> str:
        """A channel: what nobody needs to hear twice, as `{audience, name, payload}`: no row, no number."""
        return f"{self.prefix}volatile"


def connect(url: str, *, socket_timeout_s: float = SOCKET_TIMEOUT_S, single: bool = False) -> Redis:
    """A client that connects on first use and never repeats a command by itself.

    `single`: one connection of its own, for a caller that blocks on it.
    """
    return Redis.from_url(
        url,
        socket_timeout=socket_timeout_s,
        socket_connect_timeout=min(socket_timeout_s, SOCKET_TIMEOUT_S),
        retry=Retry(NoBackoff(), 0),
        single_connection_client=single,
    )
