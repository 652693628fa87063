"""Connections through a transaction pooler, where every transaction may meet another session of the server.

What asyncpg keeps in a session, prepared statements by name, is then somebody else's or gone. Here nothing is kept:
each statement is parsed as it is executed, in one packet that ends with Sync, so it costs no round trip more than a
prepared one. Only a statement's first use on a connection asks the server for its types, as ever; since they are then
believed, no migration changes the type of a column under a running release, and no statement says `select *`
(`tests/house/test_pooled.py`): the server cannot tell us, as it does for what it has prepared.
"""

from typing import Any

import asyncpg


class Pooled(asyncpg.Connection):  # type: ignore[misc]
    """A connection that leaves nothing behind in the session it was lent.

    asyncpg's own answer (`statement_cache_size=0`) describes a statement at each use: a round trip more, and a
    session that stays lent when the arguments turn out to be wrong, because nothing has ended the description.
    """

    __slots__ = ()

    async def _get_statement(
        self,
        query: str,
        timeout: float | None,  # noqa: ASYNC109  asyncpg's own signature
        *,
        named: str | bool | None = False,
        use_cache: bool = True,
        ignore_custom_codec: bool = False,
        record_class: type | None = None,
    ) -> Any:
        """The statement's types, kept by us; the statement itself, unnamed and to be parsed again at each use."""
        del named  # a name would be left behind in a session that another process is lent next
        key = query, record_class or self._protocol.get_record_class(), ignore_custom_codec
        is_known = use_cache and self._stmt_cache.has(key)
        statement = await super()._get_statement(
            query,
            timeout,
            named="",
            use_cache=use_cache,
            ignore_custom_codec=ignore_custom_codec,
            record_class=record_class,
        )
        statement.mark_unprepared()
        if not is_known:
            await self._protocol.query(
                "select", timeout
            )  # ends the description: the session may be lent to somebody else
        return statement

    async def _introspect_types(self, typeoids: Any, timeout: float | None) -> Any:  # noqa: ASYNC109  likewise
        """Look types up in one transaction: asyncpg sets `jit` meanwhile, and must set it back in the same session."""
        if self.is_in_transaction():
            return await super()._introspect_types(typeoids, timeout)
        async with self.transaction():
            return await super()._introspect_types(typeoids, timeout)


def engine_config(url: str, *, is_pooled: bool) -> dict[str, Any]:
    """How Piccolo's engine, and so the pool, connects to this address."""
    return {"dsn": url, "connection_class": Pooled} if is_pooled else {"dsn": url}
