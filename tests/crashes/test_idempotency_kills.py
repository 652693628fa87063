"""A web process dies, or PostgreSQL does not answer it, at every point of a request under a key: one effect, once."""

import asyncio
import contextlib
import contextvars
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import msgspec
import pytest

import settings
from models import guard, sessions
from models.accounts import Person
from sandbox.ports import free_port
from tests import factories
from tests.tasks.conftest import Start, until
from wire.tokens import Tokens

AT_ONCE = 24
KEY = {"Idempotency-Key": "8e03978e-40d5-43dd-bc93-6894a57f9324"}
BODY = {
    "title": "A shop for bicycles",
    "description": "Sell bicycles.",
    "category": "web",
    "budget_min": 500,
    "budget_max": 2000,
    "currency": "USD",
}
HOLD = """create function hold() returns trigger language plpgsql as
$$ begin perform pg_advisory_xact_lock_shared(7); return new; end $$"""
COMMIT = """create constraint trigger held after insert on projects deferrable initially deferred
            for each row execute function hold()"""
BEFORE = {
    "the key is taken": "create trigger held before insert on idempotency_keys for each row execute function hold()",
    "the project is written": "create trigger held before insert on projects for each row execute function hold()",
    "what it made is noted": "create trigger held before update on idempotency_keys for each row execute function hold()",
}
"""Where a request can be held. Whoever dies there has not said COMMIT."""


class Web(msgspec.Struct):
    """A web process, and a signed-in caller of it."""

    process: subprocess.Popen[bytes]
    caller: httpx.AsyncClient

    async def ask(self) -> httpx.Response:
        """The request that is repeated."""
        return await self.caller.post("/api/projects", json=BODY, headers=KEY)

    def kill(self) -> None:
        """No farewell."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


Serve = Callable[..., Awaitable[Web]]


@pytest.fixture
async def person(database: str) -> Person:
    return await factories.a_client()


async def token_of(person: Person) -> str:
    keys = settings.load().tokens
    begun = await guard.commit(sessions.begin, person.id, person.role)
    return Tokens(keys.key, keys.old_keys).issue_access(person.id, person.role.value, begun.session_id)


@pytest.fixture
async def serve(start: Start, person: Person) -> AsyncIterator[Serve]:
    """Starts web processes."""
    async with contextlib.AsyncExitStack() as open_clients:

        async def run(caller: Person = person, **environment: str) -> Web:
            port = free_port()
            process = start("uvicorn", "--factory", "api.app:create_app", "--port", str(port), **environment)
            signed_in = {"Authorization": f"Bearer {await token_of(caller)}"}
            client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, headers=signed_in)
            await open_clients.enter_async_context(client)

            async def answers() -> bool:
                try:
                    return (await client.get("/api/health/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers, within_s=30, what="a web process")
            return Web(process, client)

        yield run


@asynccontextmanager
async def held(trigger: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Whoever comes to this point waits there, until what is yielded is called, or on leaving."""
    await guard.rows(HOLD)
    await guard.rows(trigger)
    locked, over = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with guard.transaction():
            await guard.rows("select pg_advisory_xact_lock(7)")
            locked.set()
            await over.wait()

    holding = asyncio.get_running_loop().create_task(hold(), context=contextvars.Context())
    await locked.wait()

    async def release() -> None:
        over.set()
        await holding

    yield release
    await release()


async def is_held() -> bool:
    return bool(await guard.value("select exists (select 1 from pg_locks where locktype = 'advisory' and not granted)"))


async def answered(web: Web) -> httpx.Response:
    """The request repeated until it is not in progress any more, as a client would."""
    while (answer := await web.ask()).status_code == 409:
        assert answer.json()["code"] == "idempotency_in_progress"
        await asyncio.sleep(0.05)
    return answer


async def assert_made_once(answer: httpx.Response, *, replayed: bool) -> None:
    assert (answer.status_code, "idempotent-replayed" in answer.headers) == (201, replayed), answer.text
    (made,) = await guard.rows("select id from projects")
    assert answer.json()["id"] == made["id"]
    (key,) = await guard.rows("select made from idempotency_keys")
    assert key["made"] == str(made["id"])


async def lost(asking: asyncio.Task[httpx.Response]) -> None:
    with pytest.raises(httpx.TransportError):
        await asking


@pytest.mark.parametrize("point", list(BEFORE))
async def test_a_web_process_dies_before_it_commits(serve: Serve, point: str):
    doomed, heir = await serve(), await serve()
    async with held(BEFORE[point]) as release:
        asking = asyncio.create_task(doomed.ask())
        await until(is_held, what="the request")
        doomed.kill()
        await lost(asking)
        # The server does not know yet that nobody is there: what the dead process began still stands in the way.
        assert (await heir.ask()).json()["code"] == "idempotency_in_progress"
        await release()
        await assert_made_once(await answered(heir), replayed=False)
        await assert_made_once(await heir.ask(), replayed=True)


async def test_a_web_process_dies_while_the_server_commits(serve: Serve):
    doomed, heir = await serve(), await serve()
    async with held(COMMIT) as release:
        asking = asyncio.create_task(doomed.ask())
        await until(is_held, what="the request")
        doomed.kill()
        await lost(asking)
        assert (await heir.ask()).json()["code"] == "idempotency_in_progress"
        await release()
        await assert_made_once(await answered(heir), replayed=True)


async def test_a_web_process_dies_after_the_commit_and_before_its_answer(serve: Serve):
    doomed, heir = await serve(), await serve()
    async with held(COMMIT) as release:
        asking = asyncio.create_task(doomed.ask())
        await until(is_held, what="the request")
        os.kill(doomed.process.pid, signal.SIGSTOP)
        await release()

        async def is_made() -> bool:
            return await guard.row("select 1 from projects") is not None

        await until(is_made, what="the commit")
        doomed.kill()
        await lost(asking)
        await assert_made_once(await heir.ask(), replayed=True)


async def test_a_web_process_dies_while_its_caller_waits_for_the_job(serve: Serve):
    freelancer = await factories.a_freelancer(payouts_ready=False)
    doomed, heir = await serve(freelancer), await serve(freelancer)
    path = "/api/stripe/accounts"
    asking = asyncio.create_task(doomed.caller.post(path, headers=KEY))

    async def is_enqueued() -> bool:
        return await guard.row("select 1 from jobs") is not None

    await until(is_enqueued, what="the job")
    doomed.kill()
    await lost(asking)
    again = await heir.caller.post(path, headers={**KEY, "Prefer": "respond-async"})
    (job,) = await guard.rows("select id from jobs")
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    assert again.headers["location"] == f"/api/jobs/{job['id']}"


async def test_a_commit_that_is_not_answered_and_was_not_made_is_made_by_the_repetition(serve: Serve):
    web = await serve()
    async with held(COMMIT) as release:
        asking = asyncio.create_task(web.ask())
        await until(is_held, what="the request")
        await guard.rows("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and not granted")
        unknown = await asking
        assert (unknown.status_code, unknown.json()["code"]) == (500, "outcome_unknown")
        await release()
        assert await guard.value("select count(*) from projects") == 0
        await assert_made_once(await answered(web), replayed=False)


class Cable:
    """What lies between a process and its PostgreSQL, and can be cut."""

    def __init__(self, server: str) -> None:
        self._server = urlsplit(server)
        self._ends: set[asyncio.StreamWriter] = set()

    async def lay(self) -> str:
        """Where to connect to instead of the server."""
        self._listening = await asyncio.start_server(self._join, "127.0.0.1", 0)
        port = self._listening.sockets[0].getsockname()[1]
        user = f"{self._server.username}:{self._server.password}" if self._server.password else self._server.username
        return urlunsplit(self._server._replace(netloc=f"{user}@127.0.0.1:{port}"))

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._server.hostname, self._server.port)
        self._ends |= {writer, back}
        await asyncio.gather(self._carry(reader, back), self._carry(there, writer))

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while some := await reader.read(1 << 16):
                writer.write(some)
        writer.close()

    def cut(self) -> None:
        """Cut every connection; new ones can be made."""
        for one in self._ends:
            one.transport.abort()
        self._ends.clear()

    async def close(self) -> None:
        """Take it away."""
        self._listening.close()
        self.cut()
        await asyncio.sleep(0)


@pytest.fixture
async def cable(database: str) -> AsyncIterator[Cable]:
    laid = Cable(database)
    yield laid
    await laid.close()


async def test_a_commit_that_is_not_answered_and_was_made_is_shown_by_the_repetition(serve: Serve, cable: Cable):
    url = await cable.lay()
    web = await serve(DATABASE_URL=url, DATABASE_DIRECT_URL=url)
    async with held(COMMIT) as release:
        asking = asyncio.create_task(web.ask())
        await until(is_held, what="the request")
        cable.cut()
        unknown = await asking
        assert (unknown.status_code, unknown.json()["code"]) == (500, "outcome_unknown")
        assert (await web.ask()).json()["code"] == "idempotency_in_progress"
        await release()
        await assert_made_once(await answered(web), replayed=True)


async def test_of_many_first_uses_in_two_processes_one_is_carried_out(serve: Serve):
    webs = [await serve(), await serve()]
    for n in range(5):
        sent: list[Any] = [
            webs[one % 2].caller.post("/api/projects", json=BODY, headers={"Idempotency-Key": f"k-{n}"})
            for one in range(AT_ONCE)
        ]
        answers = await asyncio.gather(*sent)
        new = [one for one in answers if one.status_code == 201 and "idempotent-replayed" not in one.headers]
        again = [one for one in answers if one.status_code == 201 and one not in new]
        rest = {one.json()["code"] for one in answers if one.status_code != 201}
        assert (len(new), rest | {"idempotency_in_progress"}) == (1, {"idempotency_in_progress"})
        assert {one.json()["id"] for one in again} <= {new[0].json()["id"]}
        assert await guard.value("select count(*) from projects") == n + 1
