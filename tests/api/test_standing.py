"""What is believed of a session is never older than a second, and nothing is believed when nobody watches."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import structlog
from litestar import Litestar

from api import standing as module
from api.standing import BELIEVED_S, GAP_S, Standing
from models import guard, sessions
from models.accounts import Person
from models.sessions import STANDING, SessionUser
from tests import factories
from tests.api.callers import calling, living
from tests.api.conftest import create_app


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A standing whose clock and watcher are the test's, and a caller's session."""

    def __init__(self, person: Person, session_id: UUID, clock: Clock, most: int) -> None:
        self.person, self.session_id, self.clock = person, session_id, clock
        self.standing = Standing(clock, most)

    async def read(self, *, fresh: bool = False) -> SessionUser | None:
        return await self.standing.read(self.session_id, fresh=fresh)


async def watched(person: Person | None = None, most: int = 10) -> Watched:
    person = person or await factories.a_client()
    begun = await guard.commit(sessions.begin, person.id, person.role)
    made = Watched(person, begun.session_id, Clock(), most)
    await made.standing.watch()
    return made


async def end_elsewhere(session_id: UUID) -> None:
    """Another process ends it: nothing rings here."""
    await guard.rows("update sessions set revoked_at = now() where id = $1", session_id)


@asynccontextmanager
async def changes_locked() -> AsyncIterator[None]:
    """Nobody can read or write changes of standing while inside."""
    async with guard.transaction():
        await guard.rows("lock table standing_changes in access exclusive mode")
        yield


async def test_a_caller_is_believed_until_the_watcher_hears_otherwise(database: str):
    one = await watched()
    known = await one.read()
    assert known == SessionUser(user_id=one.person.id, role=one.person.role, email_verified=True, proved_at=None)
    await end_elsewhere(one.session_id)
    assert await one.read() == known
    assert len(one.standing) == 1
    await one.standing.watch()
    assert await one.read() is None
    assert len(one.standing) == 0


async def test_whoever_must_be_fresh_is_looked_up_and_what_was_believed_is_corrected(database: str):
    one = await watched()
    await one.read()
    await end_elsewhere(one.session_id)
    assert await one.read(fresh=True) is None
    assert await one.read() is None


async def test_an_old_watch_is_not_believed(database: str):
    one = await watched()
    await one.read()
    await end_elsewhere(one.session_id)
    one.clock.now += BELIEVED_S
    assert await one.read() is not None
    one.clock.now += 0.001
    assert await one.read() is None


async def test_nothing_is_believed_before_the_first_watch(database: str):
    one = await watched()
    unwatched = Standing(one.clock)
    assert await unwatched.read(one.session_id, fresh=False) is not None
    await end_elsewhere(one.session_id)
    assert await unwatched.read(one.session_id, fresh=False) is None


@pytest.mark.parametrize(
    "change",
    [
        "update users set suspended_at = now()",
        "update users set deactivated_at = now()",
        "update users set role = 'admin'",
        "update users set email_verified_at = null",
        "update sessions set proved_at = now()",
    ],
)
async def test_every_change_of_standing_is_heard(database: str, change: str):
    one = await watched()
    before = await one.read()
    await guard.rows(change)
    await one.standing.watch()
    assert await one.read() != before
    assert len(one.standing) == 0, "whoever has just changed is looked up each time"


async def test_others_stay_believed(database: str):
    one = await watched()
    await one.read()
    other = await factories.a_client()
    await guard.rows("update users set suspended_at = now() where id = $1", other.id)
    await one.standing.watch()
    assert len(one.standing) == 1


async def test_admins_are_never_believed(database: str):
    one = await watched(await factories.an_admin())
    assert await one.read() is not None
    await end_elsewhere(one.session_id)
    assert await one.read() is None


async def test_after_a_gap_nothing_of_before_is_believed(database: str):
    one = await watched()
    await one.read()
    one.clock.now += GAP_S + 0.1
    await one.standing.watch()
    assert len(one.standing) == 0


async def test_no_more_callers_are_kept_than_there_is_room_for(database: str):
    one = await watched(most=2)
    others = [await guard.commit(sessions.begin, one.person.id, one.person.role) for _ in range(2)]
    for session_id in (one.session_id, *(begun.session_id for begun in others)):
        await one.standing.read(session_id, fresh=False)
    assert len(one.standing) == 2
    await end_elsewhere(one.session_id)
    assert await one.read() is None, "the first made room"


async def test_a_bell_in_this_process_is_heard_at_once_and_not_passed_on(database: str):
    one = await watched()
    await one.read()
    assert one.standing.rung(frozenset({"mail"})) == {"mail"}
    assert len(one.standing) == 1
    assert one.standing.rung(frozenset({STANDING, "mail"})) == {"mail"}
    assert len(one.standing) == 0


async def test_an_answer_of_before_the_bell_is_not_kept(database: str):
    one = await watched()
    asking = asyncio.create_task(one.read())
    await asyncio.sleep(0)
    one.standing.rung(frozenset({STANDING}))
    assert await asking is not None
    assert len(one.standing) == 0


async def test_verbs_that_end_sessions_ring(database: str):
    one = await watched()
    rung: list[frozenset[str]] = []
    guard.hang_bell(rung.append)
    begun = await guard.commit(sessions.begin, one.person.id, one.person.role)
    for generation in (1, 2):
        await guard.commit(sessions.rotate, begun.session_id, generation)
    assert rung == []
    await guard.commit(sessions.mark_proved, begun.session_id)
    await guard.commit(sessions.rotate, begun.session_id, 1)  # a second time, too late for a second tab
    await guard.commit(sessions.revoke, one.session_id, "test")
    await guard.commit(sessions.revoke_all, one.person.id, "test")
    assert rung == [{STANDING}] * 4


async def test_while_the_watcher_is_stuck_everybody_is_looked_up(database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "log", structlog.get_logger())  # one that no earlier test has bound
    monkeypatch.setattr(module, "LATEST_S", 0.05)
    monkeypatch.setattr(module, "EVERY_S", 0.01)
    one = await watched()
    await one.read()
    with structlog.testing.capture_logs() as logged:
        watching = asyncio.create_task(one.standing.watch_forever())
        async with changes_locked():
            await asyncio.sleep(0.3)
            one.clock.now += BELIEVED_S + 0.1
        assert [entry["event"] for entry in logged] == ["standing.not_read"], "said once"
        await end_elsewhere(one.session_id)
        monkeypatch.setattr(module, "LATEST_S", 5.0)
        for _ in range(200):
            if one.standing._good_at == one.clock.now:
                break
            await asyncio.sleep(0.01)
    assert one.standing._good_at == one.clock.now, "it goes on"
    assert await one.read() is None
    watching.cancel()
    await asyncio.wait([watching])


async def two_apps() -> tuple[Litestar, Litestar]:
    return create_app(), create_app()


async def test_a_session_that_ends_in_one_process_is_refused_by_the_other(database: str):
    elsewhere, here = await two_apps()
    # A process has one bell: the application that starts last has it, so the first is deaf to what happens here.
    async with living(elsewhere), living(here):
        person = await factories.a_client()
        at_home = await calling(here, person)
        abroad = await calling(elsewhere, person)
        abroad.headers["Authorization"] = at_home.headers["Authorization"]
        await asyncio.sleep(0.1)  # both have begun to watch
        for client in (at_home, abroad):
            assert [(await client.get("/api/auth/me")).status_code for _ in range(2)] == [200, 200]
        assert (await at_home.post("/api/auth/logout")).status_code == 204
        ended_at = time.monotonic()
        assert (await at_home.get("/api/auth/me")).status_code == 401, "at once where it ended"
        while (await abroad.get("/api/auth/me")).status_code == 200:
            assert time.monotonic() - ended_at < BELIEVED_S + 0.2
            await asyncio.sleep(0.01)


async def test_whatever_changes_something_is_refused_at_once_everywhere(database: str):
    elsewhere, here = await two_apps()
    async with living(elsewhere), living(here):
        person = await factories.a_client()
        at_home, abroad = await calling(here, person), await calling(elsewhere, person)
        abroad.headers["Authorization"] = at_home.headers["Authorization"]
        assert (await abroad.get("/api/auth/me")).status_code == 200
        assert (await at_home.post("/api/auth/logout")).status_code == 204
        assert (await abroad.post("/api/notifications/read-all")).status_code == 401


async def test_with_the_watcher_stuck_a_read_is_refused_at_once_too(database: str):
    elsewhere, here = await two_apps()
    async with living(elsewhere), living(here):
        person = await factories.a_client()
        caller = await calling(elsewhere, person)
        assert (await caller.get("/api/auth/me")).status_code == 200
        standing: Standing = elsewhere.state.standing
        standing._good_at = float("-inf")  # as old as can be: nobody has read for long
        async with changes_locked():
            await asyncio.sleep(0.6)
            standing._good_at = float("-inf")
            await guard.rows("alter table sessions disable trigger standing")
            await guard.rows("update sessions set revoked_at = now()")
        assert (await caller.get("/api/auth/me")).status_code == 401
