"""What the walk asks of every step: which rows moved, and which deadlines were set."""

from datetime import timedelta

from models import guard, timers
from models.timers import TimerKind
from tests import factories
from tests.histories import moves

RENAME = "update users set first_name = $2 where id = $1"


async def test_a_row_moves_when_it_comes_changes_or_goes_and_not_when_it_stays_as_it_was(database: str) -> None:
    await moves.watch()
    await moves.watch()  # of every cast of one database
    moment = await moves.mark()
    person = await factories.a_client()
    assert await moves.tables_since(moment) == {"users"}

    moment = await moves.mark()
    await guard.rows(RENAME, person.id, person.first_name)
    assert await moves.tables_since(moment) == set()
    await guard.rows(RENAME, person.id, "Cora")
    assert await moves.tables_since(moment) == {"users"}

    project = await factories.a_project(person, open=False)
    moment = await moves.mark()
    await guard.rows("delete from projects where id = $1", project.id)
    assert await moves.tables_since(moment) == {"projects"}


async def test_what_is_rolled_back_did_not_move(database: str) -> None:
    await moves.watch()
    person = await factories.a_client()
    moment = await moves.mark()

    async def rename(*, fail: bool) -> None:
        await guard.rows(RENAME, person.id, "Cora")
        if fail:
            raise LookupError

    try:
        await guard.commit(rename, fail=True)
    except LookupError:
        assert await moves.tables_since(moment) == set()
    await guard.commit(rename, fail=False)
    assert await moves.tables_since(moment) == {"users"}


async def test_a_deadline_is_set_when_it_comes_or_moves_and_not_when_it_is_taken(database: str) -> None:
    await moves.watch()
    late = await guard.value("select now() - interval '1 day'")
    early = late - timedelta(days=1)
    moment = await moves.mark()
    await guard.commit(timers.start, TimerKind.TICKET_CLOSE, 7, early)
    assert await moves.timers_since(moment) == {"ticket.close"}

    moment = await moves.mark()
    await guard.commit(timers.start, TimerKind.TICKET_CLOSE, 7, early)
    assert await moves.timers_since(moment) == set()
    await guard.commit(timers.start, TimerKind.TICKET_CLOSE, 7, late)
    assert await moves.timers_since(moment) == {"ticket.close"}

    moment = await moves.mark()
    found = await timers.find(await guard.value("select id from timers"))
    assert found is not None
    assert await guard.commit(timers.take, found)
    assert await moves.timers_since(moment) == set()
    assert await moves.tables_since(moment) == {"timers"}
