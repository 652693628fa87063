"""The one subscription of this process to Redis: what the relay publishes, and what has no number.

Redis may be away, come back empty, or cut us off without a word; delivery is told when listening begins and ends, and
reads from PostgreSQL what went by in between.
"""

import asyncio
import random
from typing import Final

import msgspec
import structlog

from realtime.delivery import Delivery, Told
from wire.redis import AWAY, Names, connect

POLL_S: Final = 1.0
"""How long one wait for a message lasts; the socket's time-out must be longer."""

AGAIN_S: Final = 0.3
"""Between attempts to subscribe, with as much again at random so that processes do not come back together."""

log = structlog.get_logger(__name__)


async def listen_forever(url: str, names: Names, delivery: Delivery) -> None:
    """Subscribe, hand over what comes, and begin anew whenever that ends. Never returns; cancel it."""
    redis = connect(url, socket_timeout_s=POLL_S + 1)
    decoder = msgspec.json.Decoder(Told)
    speaking = True
    try:
        while True:
            try:
                async with redis.pubsub() as channel:
                    await channel.subscribe(names.events, names.volatile)
                    while True:
                        heard = await channel.get_message(timeout=POLL_S)
                        if heard is None:
                            continue
                        if heard["type"] == "subscribe":
                            speaking = True
                            delivery.redis_speaks()
                        elif heard["type"] == "message":
                            _hand_over(delivery, decoder, heard, volatile=heard["channel"].decode() == names.volatile)
            except AWAY as error:
                if speaking:
                    log.warning("subscription.redis_away", error=type(error).__name__)
                speaking = False
            except Exception:
                # The sweep still delivers; without this loop it would be all there is.
                log.exception("subscription.failed")
            delivery.redis_is_silent()
            await asyncio.sleep(AGAIN_S * (1 + random.random()))  # noqa: S311  spreads rivals, hides nothing
    finally:
        await redis.aclose()


def _hand_over(
    delivery: Delivery, decoder: msgspec.json.Decoder[Told], heard: dict[str, bytes], *, volatile: bool
) -> None:
    try:
        told = decoder.decode(heard["data"])
    except msgspec.DecodeError:
        log.warning("subscription.unreadable")
        return
    if volatile:
        delivery.hear_volatile(told)
    else:
        delivery.hear(told)
