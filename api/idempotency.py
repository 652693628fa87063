"""Idempotency-Key → the row it made. A repeated request is answered with what the first one made, as it is now.

A handler runs its verb through `once`. Without the header that is `commit`; with it, the key is taken, the verb run and
what it made written down in one transaction. A repetition runs nothing. What makes secrets (PATHS below) refuses the
header: its answer could not be given again.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Final, ParamSpec, TypeVar
from uuid import UUID

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.datastructures import MutableScopeHeaders
from litestar.di import NamedDependency
from litestar.handlers.base import BaseRouteHandler
from litestar.params import HeaderParameter
from litestar.types import Message, Scope

from api.auth import Caller
from api.waiting import Requested
from models import guard, idempotency
from models.errors import IdempotencyUnsupported, Invalid
from models.idempotency import Asked, Made

P = ParamSpec("P")
R = TypeVar("R")

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotent-Replayed"
PATHS: Final = ("/api/auth/", "/api/security/", "/api/users/me/deactivate")
"""Below these every POST makes, proves or ends a secret. Of a password not even a row's hash of the request is kept."""
_MARK: Final = "idempotent_replayed"

Key = Annotated[
    str | None,
    HeaderParameter(
        name=HEADER,
        # Bounded by the pattern too. No spaces at the ends: servers and proxies take them away.
        pattern=r"^[!-~]([ -~]{0,253}[!-~])?$",
        description="Makes the call safe to repeat: 1 to 255 printable ASCII characters, new for each intention. A "
        f"repetition is answered anew from what the first call made, with `{REPLAYED}: true`. Kept for 24 hours.",
    ),
]


class Repeated(msgspec.Struct, frozen=True):
    """What stands for a verb's result in a repetition: the job that the first request enqueued."""

    job: UUID


class Keyed:
    """The verbs of one request, run once for its Idempotency-Key. A request runs one verb through it."""

    def __init__(self, request: Request[Caller, Any, Any], key: str | None) -> None:
        self._request = request
        self._key = key

    async def __call__(
        self,
        verb: Callable[..., Awaitable[R]],
        *args: Any,
        again: Callable[[Any], Awaitable[R]],
        made: Callable[[R], int | None] | None = None,
        **kwargs: Any,
    ) -> R:
        """Run a verb in a transaction of its own; in a repetition return what `again` reads, and run nothing.

        `made` names what the verb has made, by default its result's id; `again` is given that. Raises what the verb
        raises, and then the key is free; IdempotencyInProgress, IdempotencyKeyReused.
        """
        outcome = await self._run(partial(verb, *args, **kwargs), made or _id)
        if not isinstance(outcome, Made):
            return outcome
        return await again(None if outcome.id is None else int(outcome.id))

    async def job(
        self, verb: Callable[P, Awaitable[Requested]], *args: P.args, **kwargs: P.kwargs
    ) -> Requested | Repeated:
        """The same for a verb that enqueues a job: a repetition is given the first request's job, to wait for."""
        outcome = await self._run(partial(verb, *args, **kwargs), _job_id)
        if not isinstance(outcome, Made):
            return outcome
        assert outcome.id is not None, "what made a job keeps its id"
        return Repeated(UUID(outcome.id))

    async def _run(self, verb: Callable[[], Awaitable[R]], made: Callable[[R], object]) -> R | Made:
        if self._key is None:
            return await guard.commit(verb)
        asked = await self._asked(self._key)

        async def do() -> R | Made:
            first = await idempotency.take(asked)
            if first is not None:
                return first
            result = await verb()
            named = made(result)
            await idempotency.keep(asked, None if named is None else str(named))
            return result

        outcome = await guard.commit(do)
        if isinstance(outcome, Made):
            self._request.scope["state"][_MARK] = True
        return outcome

    async def _asked(self, key: str) -> Asked:
        scope = self._request.scope
        parts = [
            scope["path"].encode(),
            scope["query_string"],
            self._request.headers.get("content-type", "").encode(),
            await self._request.body(),
        ]
        whole = sha256()
        for part in parts:  # each with its length, or what ends one could begin the next
            whole.update(len(part).to_bytes(8) + part)
        route = f"{scope['method']} {scope['path_template']}"
        return Asked(user_id=self._request.user.id, route=route, key=key, request_hash=whole.digest())


Once = NamedDependency[Keyed]
"""The type of a handler's `once`."""


def _job_id(requested: Requested) -> UUID:
    return requested.job if isinstance(requested.job, UUID) else requested.job.job_id


def _id(row: Any) -> int | None:
    return None if row is None else row.id


def seen_by(caller: Caller, read: Callable[..., Awaitable[R]]) -> Callable[[Any], Awaitable[R]]:
    """An `again` for what a module's `read(id, user_id=…, admin=…)` reads, as far as the caller sees it."""
    return partial(read, user_id=caller.id, admin=caller.admin)


async def nothing(_: None) -> None:
    """An `again` for verbs that make nothing: there is nothing to read."""


def no_id(_: object) -> None:
    """A `made` for verbs that make nothing with an id."""


async def provide_once(request: Request[Caller, Any, Any], idempotency_key: Key = None) -> Keyed:
    """The dependency `once`. Raises Invalid when two keys came: a proxy and we could believe different ones."""
    if len(request.headers.getall(HEADER, [])) > 1:
        raise Invalid(f"Send one {HEADER}.", field=HEADER)
    return Keyed(request, idempotency_key)


async def refuse_keys(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """A guard of the whole API: no keys where secrets are made. Raises IdempotencyUnsupported."""
    scope = connection.scope
    if scope.get("method") == "POST" and scope["path"].startswith(PATHS) and HEADER in connection.headers:
        raise IdempotencyUnsupported("Nothing here can be repeated by a key: its answers hold secrets, kept nowhere.")


async def tell_replayed(message: Message, scope: Scope) -> None:
    """Say on whatever answers a repetition that it is one: also a 202, and a problem."""
    if message["type"] == "http.response.start" and scope["state"].get(_MARK):
        MutableScopeHeaders.from_message(message)[REPLAYED] = "true"
