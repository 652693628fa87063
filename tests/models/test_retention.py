"""What accounts leave behind is forgotten when its time has come, and not a day before."""

import uuid
from datetime import UTC, datetime

import pytest

from models import guard, retention, sessions
from models.base import uuid7_at
from models.jobs import JobStatus, TendPartitions
from models.outbox import enqueue
from tests import factories
from tests.performing import perform_now

# A row whose age in hours is $1, and whose owner, where it has one, is $2.
ROWS = {
    "standing_changes": "insert into standing_changes (user_id, at) values ($2, {then})",
    "idempotency_keys": """insert into idempotency_keys (user_id, route, key, request_hash, created_at)
                           values ($2, 'POST /x', gen_random_uuid()::text, '', {then})""",
    "sign_in_tickets": """insert into sign_in_tickets (id, "user", methods, user_agent, ip_address, created_at)
                          values (gen_random_uuid(), $2, '{{}}', '', '', {then})""",
    "passkey_challenges": """insert into passkey_challenges (id, "user", purpose, challenge, created_at)
                             values (gen_random_uuid(), $2, 'sign_in', '', {then})""",
    "security_codes": """insert into security_codes ("user", method, purpose, contact, created_at)
                         values ($2, 'email', 'sign_in', '', {then})""",
    "throttles": "insert into throttles (key, last_at) select gen_random_uuid()::text || $2, {then}",
    "security_events": """insert into security_events ("user", kind, created_at) values ($2, 'signed_in', {then})""",
    "exports": """insert into exports ("user", expires_at) values ($2, {then})""",
    "timers": "insert into timers (kind, subject_id, due_at, fired_at) values ('ticket.close', $2, now(), {then})",
}
KEPT_HOURS = {
    "standing_changes": 24,
    "idempotency_keys": 48,
    "sign_in_tickets": 24,
    "passkey_challenges": 24,
    "security_codes": 30 * 24,
    "throttles": 24,
    "security_events": 400 * 24,
    "exports": 0,
    "timers": 30 * 24,
}


async def count(table: str) -> int:
    found: int = await guard.value(f"select count(*) from {table}")
    return found


async def write(table: str, user_id: int, hours: float) -> None:
    then = "now() - make_interval(secs => $1::float8 * 3600)"
    await guard.rows(ROWS[table].format(then=then), hours, str(user_id) if table == "throttles" else user_id)


def test_each_table_that_passes_is_known_here():
    assert set(retention.PASSING) == set(ROWS) == set(KEPT_HOURS)


@pytest.mark.parametrize("table", list(retention.PASSING))
async def test_a_row_goes_when_its_time_has_come(database: str, table: str):
    person, kept_hours = await factories.a_client(), KEPT_HOURS[table]
    await guard.rows(f"delete from {table}")
    for hours in (kept_hours + 0.1, kept_hours + 1000, kept_hours - 0.1, kept_hours - 0.2):
        await write(table, person.id, hours)

    assert await guard.commit(retention.forget_passing, table) == 2
    assert await count(table) == 2
    assert await guard.commit(retention.forget_passing, table) == 0


async def test_a_throttle_that_still_blocks_stays(database: str):
    await write("throttles", 1, 100)
    await guard.rows("update throttles set blocked_until = now() + interval '1 hour'")
    assert await guard.commit(retention.forget_passing, "throttles") == 0


async def test_at_most_a_slice_goes_at_once(database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(retention, "SLICE", 2)
    person = await factories.a_client()
    for _ in range(3):
        await write("exports", person.id, 1)
    assert [await guard.commit(retention.forget_passing, "exports") for _ in range(3)] == [2, 1, 0]


async def _session(user_id: int, *, begun_days: int, refreshed_days: int) -> uuid.UUID:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    session_id = uuid7_at(now_ms - begun_days * 86_400_000)
    await guard.rows(
        """insert into sessions (id, "user", user_agent, ip_address, refreshed_at)
           values ($1, $2, '', '', now() - make_interval(days => $3))""",
        session_id,
        user_id,
        refreshed_days,
    )
    return session_id


async def test_a_session_goes_when_nobody_has_refreshed_it_for_400_days(database: str):
    person = await factories.a_client()
    await _session(person.id, begun_days=500, refreshed_days=401)
    kept = [
        await _session(person.id, begun_days=500, refreshed_days=399),
        await _session(person.id, begun_days=399, refreshed_days=399),
        (await guard.commit(sessions.begin, person.id, person.role)).session_id,
    ]
    assert await guard.commit(retention.forget_sessions, datetime.now(UTC)) == 1
    assert {one["id"] for one in await guard.rows("select id from sessions")} == set(kept)


async def test_upkeep_rests_when_there_is_more_than_it_may_do_at_once(database: str, monkeypatch: pytest.MonkeyPatch):
    from tasks import upkeep

    monkeypatch.setattr(retention, "SLICE", 1)
    monkeypatch.setattr(upkeep, "MOST_SLICES", 2)
    person = await factories.a_client()
    for _ in range(3):
        await write("exports", person.id, 1)
    job = await perform_now((await guard.commit(enqueue, TendPartitions())).job_id)
    assert (job.status, await count("exports")) == (JobStatus.QUEUED, 1)


async def test_upkeep_forgets_them_all_and_says_how_many(database: str):
    from tasks import upkeep  # noqa: F401  its performer

    person = await factories.a_client()
    await guard.rows("delete from standing_changes")
    for table in retention.PASSING:
        await write(table, person.id, 401 * 24)
    await _session(person.id, begun_days=500, refreshed_days=401)

    for passing, ended in ((1, 1), (0, 0)):
        job = await perform_now((await guard.commit(enqueue, TendPartitions())).job_id)
        assert job.result is not None
        assert (job.result["passing"], job.result["sessions"]) == (dict.fromkeys(retention.PASSING, passing), ended)


async def test_the_key_of_a_sent_code_goes_and_that_of_a_mail_stays(database: str):
    await guard.rows(
        """insert into job_keys (key, job_id, created_at)
           select k, gen_random_uuid(), now() - interval '41 days' from unnest('{code:1, mail:1}'::text[]) k"""
    )

    assert await guard.commit(retention.forget_keys) == 1
    assert await guard.value("select string_agg(key, ' ') from job_keys") == "mail:1"
