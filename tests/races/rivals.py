"""Two verbs at one moment, in an order that a test chooses."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from models import guard
from models.locks import Noun, lock

HELD: Final = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"


async def until_waiting(count: int = 1) -> None:
    """Return once so many transactions wait for a lock that another one holds."""
    async with asyncio.timeout(5):
        while await guard.value(HELD) < count:  # noqa: ASYNC110  PostgreSQL sets no event of ours
            await asyncio.sleep(0.01)


async def behind(user_id: int, first: Callable[[], Awaitable[object]], second: Coroutine[Any, Any, Any]) -> object:
    """Run `first` under an account's lock while `second` waits for that lock; what came of the second one."""

    async def work() -> asyncio.Task[Any]:
        await lock(Noun.ACCOUNT, user_id)
        late = asyncio.create_task(second, context=outside.copy())
        await asyncio.get_running_loop().create_task(until_waiting(), context=outside.copy())
        await first()
        return late

    outside = contextvars.copy_context()
    late = await guard.commit(work)
    [outcome] = await asyncio.gather(late, return_exceptions=True)
    return outcome
