"""An upload's life in the database: announced within limits, seen by whoever it was shown to, gone when nothing shows it."""

from datetime import timedelta
from typing import Any

import pytest

from models import business_time, deadlines, guard, timers, uploads
from models.errors import NotFound, Throttled, TokenInvalid, UploadNotReady, UploadRefused, WrongState
from models.uploads import MOST_A_DAY, UploadPurpose, UploadStatus
from tests import clock, factories, files, worlds
from tests.worlds import refused, unmoved

GB = 1 << 30


async def status_of(upload_id: int) -> str:
    found: str = await guard.value("select status from uploads where id = $1", upload_id)
    return found


async def deletions() -> list[str]:
    """The keys of objects that wait to be deleted, not before no form can bring them back."""
    found = await guard.rows(
        """select j.payload->'object_keys'->>0 as key, l.run_at - now() as within from jobs j
             join job_live l on l.job_id = j.id where j.kind = 'uploads.delete_objects' order by j.id"""
    )
    assert all(timedelta(minutes=14) < one["within"] < timedelta(minutes=15) for one in found)
    return [one["key"] for one in found]


async def waiting_for(upload_id: int) -> list[Any]:
    return await guard.rows("select kind, due_at from timers where subject_id = $1 and fired_at is null", upload_id)


async def test_an_announcement_waits_for_its_file_for_a_day(database: str) -> None:
    person = await factories.a_client()

    made = await files.announced(person, UploadPurpose.AVATAR, filename="../me.jpeg", content_type="image/jpeg", size=7)

    assert (made.user_id, made.purpose, made.filename, made.content_type) == (
        person.id,
        "avatar",
        "me.jpeg",
        "image/jpeg",
    )
    assert (made.size_bytes, made.status, made.ready_at) == (7, UploadStatus.AWAITING, None)
    assert made.object_key.startswith("test/incoming/avatar/")
    assert len(made.object_key) == len("test/incoming/avatar/") + 32
    (timer,) = await waiting_for(made.id)
    assert (timer["kind"], timer["due_at"]) == ("upload.expire", made.created_at + timedelta(days=1))
    again = await files.announced(person, UploadPurpose.AVATAR)
    assert again.object_key != made.object_key


async def test_an_announcement_is_refused_whole(database: str) -> None:
    person = await factories.a_client()
    async with refused(UploadRefused):
        await files.announced(person, content_type="image/svg+xml")
    await guard.rows("update users set suspended_at = now() where id = $1", person.id)
    async with refused(TokenInvalid):
        await files.announced(person)


async def test_one_person_begins_so_many_a_day_and_keeps_so_much(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()
    insert = """insert into uploads ("user", purpose, filename, content_type, size_bytes, object_key, status, created_at)
                select $1::bigint, 'evidence', 'x', 'image/png', $3, 'k' || $1::bigint || '-' || n, $4, business_now() - interval '23 hours'
                  from generate_series(1, $2) n"""
    await guard.rows(insert, person.id, MOST_A_DAY, 1, "expired")
    async with unmoved():
        with pytest.raises(Throttled) as refusal:
            await files.announced(person)
        assert 3500 < refusal.value.retry_after_s <= 3600
    await clock.ahead(hours=1, seconds=1)
    await files.announced(person)

    await guard.rows(insert, other.id, 4, GB, "ready")
    await guard.rows(insert.replace("'k'", "'l'"), other.id, 3, GB, "refused")
    await files.announced(other, UploadPurpose.DELIVERABLE, size=100 << 20)
    await guard.rows("update uploads set size_bytes = size_bytes + 1000000000 where object_key = $1", f"k{other.id}-1")
    async with refused(WrongState, match=r"Your files have 5\.03 GB; with this one more than 5 GB"):
        await files.announced(other, UploadPurpose.DELIVERABLE, size=100 << 20)


async def test_an_upload_is_completed_once_by_its_owner(database: str) -> None:
    person, stranger = await factories.a_client(), await factories.a_client()
    made = await files.announced(person)
    async with refused(NotFound):
        await guard.commit(uploads.complete, made.id, user_id=stranger.id)
    async with refused(NotFound):
        await guard.commit(uploads.complete, made.id + 1, user_id=person.id)

    requested = await guard.commit(uploads.complete, made.id, user_id=person.id)

    assert requested.upload_id == made.id
    assert await status_of(made.id) == "checking"
    assert await waiting_for(made.id) == []
    async with refused(WrongState, match="it has to be awaiting"):
        await guard.commit(uploads.complete, made.id, user_id=person.id)
    async with refused(WrongState, match="being looked at"):
        await guard.commit(uploads.delete, made.id, user_id=person.id)


async def test_what_was_found_good_is_kept_and_what_was_not_is_told(database: str) -> None:
    person = await factories.a_client()
    good, bad = await files.checking(person), await files.checking(person)

    for _ in range(2):
        outcome = await guard.commit(uploads.accept, good.id, good.kept_key('"e-1"'))
        assert (outcome.upload_id, outcome.status) == (good.id, UploadStatus.READY)
        outcome = await guard.commit(uploads.refuse, bad.id, "It has macros.", "copy")
        assert (outcome.upload_id, outcome.status) == (bad.id, UploadStatus.REFUSED)

    kept = await uploads.read(good.id, user_id=person.id, admin=False)
    assert kept.object_key == good.object_key.replace("/incoming/", "/kept/") + "-e1"
    assert kept.ready_at is not None
    told = await uploads.read(bad.id, user_id=person.id, admin=False)
    assert (told.refused_because, told.ready_at) == ("It has macros.", None)
    assert await deletions() == [good.object_key, bad.object_key]
    assert await worlds.told(person.id) == ["upload_refused"]
    assert await guard.value("select message from notifications") == "“plan.pdf” was not taken: It has macros."
    assert await uploads.find_unchecked(good.id) is None


async def test_what_never_came_is_forgotten_after_a_day(database: str) -> None:
    person = await factories.a_client()
    made = await files.announced(person)
    await clock.ahead(hours=24, seconds=1)
    timer = await timers.find(await guard.value("select id from timers"))
    assert timer is not None

    for _ in range(2):
        await guard.commit(deadlines.VERBS[timer.kind], timer)

    assert await status_of(made.id) == "expired"
    assert await deletions() == [made.object_key]
    async with refused(WrongState):
        await guard.commit(uploads.complete, made.id, user_id=person.id)
    await guard.commit(uploads.delete, made.id, user_id=person.id)
    assert await guard.value("select count(*) from uploads") == 0


async def test_an_avatar_and_a_portfolio_are_everybodys_as_long_as_their_owner_stands(database: str) -> None:
    owner, stranger, admin = await factories.a_freelancer(), await factories.a_client(), await factories.an_admin()
    shown = [await files.ready(owner, one) for one in (UploadPurpose.AVATAR, UploadPurpose.PORTFOLIO)]
    waits = await files.checking(owner, UploadPurpose.AVATAR)
    for one in shown:
        assert not await files.is_seen(one, stranger)
    await guard.rows("update users set avatar_upload_id = $2 where id = $1", owner.id, shown[0].id)
    await guard.rows(
        """insert into portfolio_items ("user", title, description, upload_ids) values ($1, 'x', 'x', array[$2::bigint])""",
        owner.id,
        shown[1].id,
    )
    for one in shown:
        assert await files.is_seen(one, stranger)
    assert not await files.is_seen(waits, stranger)
    assert await files.is_seen(waits, owner)
    assert await files.is_seen(waits, admin, admin=True)
    assert not await files.is_seen(waits, admin)
    await guard.rows("update users set deactivated_at = now() where id = $1", owner.id)
    for one in shown:
        assert not await files.is_seen(one, stranger)
        assert await files.is_seen(one, admin, admin=True)


async def test_work_is_seen_by_whoever_it_was_given_to(database: str) -> None:
    hire, stranger = await worlds.a_hire(), await factories.a_client()
    client, freelancer, milestone = hire.client, hire.freelancer, hire.milestones[0]
    delivered, sent, said = [
        await files.ready(freelancer, one)
        for one in (UploadPurpose.DELIVERABLE, UploadPurpose.ATTACHMENT, UploadPurpose.EVIDENCE)
    ]
    assert not any([await files.is_seen(one, client) for one in (delivered, sent, said)])

    await guard.rows(
        "update milestones set attachment_ids = array[$2::bigint] where id = $1", milestone.id, delivered.id
    )
    message = await files.a_message(freelancer, client, sent)
    await files.evidence(freelancer, client, milestone.id, said)

    for one in (delivered, sent, said):
        assert await files.is_seen(one, client)
        assert await files.is_seen(one, freelancer)
        assert not await files.is_seen(one, stranger)
        async with refused(WrongState, match="shown somewhere"):
            await guard.commit(uploads.delete, one.id, user_id=freelancer.id)
        async with refused(NotFound):
            await guard.commit(uploads.delete, one.id, user_id=client.id)
    await guard.rows("update messages set deleted_at = now() where id = $1", message)
    assert not await files.is_seen(sent, client)


async def test_naming_somebody_elses_file_shows_nothing_of_it(database: str) -> None:
    """As if a verb had forgotten to look: the rule stands where the file is read."""
    hire, thief = await worlds.a_hire(), await factories.a_freelancer()
    secret = await files.ready(hire.client, UploadPurpose.ATTACHMENT)
    await files.a_message(thief, hire.freelancer, secret)
    assert not await files.is_seen(secret, thief)
    assert not await files.is_seen(secret, hire.freelancer)


@pytest.mark.parametrize("shown", ["avatar", "portfolio"])
async def test_what_is_shown_stays_and_what_is_not_goes(database: str, shown: str) -> None:
    owner = await factories.a_freelancer()
    kept = await files.ready(owner, UploadPurpose(shown))
    if shown == "avatar":
        await guard.rows("update users set avatar_upload_id = $2 where id = $1", owner.id, kept.id)
    else:
        await guard.rows(
            """insert into portfolio_items ("user", title, description, upload_ids) values ($1, 'x', 'x', array[$2::bigint])""",
            owner.id,
            kept.id,
        )
    async with refused(WrongState):
        await guard.commit(uploads.delete, kept.id, user_id=owner.id)
    await guard.rows("update users set avatar_upload_id = null")
    await guard.rows("delete from portfolio_items")

    await guard.commit(uploads.delete, kept.id, user_id=owner.id)

    assert (await deletions())[-1] == kept.object_key
    with pytest.raises(NotFound):
        await uploads.outcome(kept.id)


async def test_only_ones_own_good_files_are_named(database: str) -> None:
    owner, other = await factories.a_freelancer(), await factories.a_freelancer()
    good = [await files.ready(owner, UploadPurpose.DELIVERABLE) for _ in range(2)]
    ids = [one.id for one in good]

    async def name(upload_ids: list[int], purpose: UploadPurpose = UploadPurpose.DELIVERABLE) -> None:
        await guard.commit(uploads.require_ready, upload_ids, user_id=owner.id, purpose=purpose)

    await name([])
    await name([*ids, *ids])
    wrong = [
        await files.ready(other, UploadPurpose.DELIVERABLE),
        await files.checking(owner, UploadPurpose.DELIVERABLE),
    ]
    for one in [*[one.id for one in wrong], 999_999]:
        async with refused(UploadNotReady, match=f"File {one} "):
            await name([*ids, one])
    async with refused(UploadNotReady):
        await name(ids, UploadPurpose.EVIDENCE)


async def test_an_erased_persons_files_go_and_what_others_were_given_loses_its_name(database: str) -> None:
    hire = await worlds.a_hire()
    owner = hire.freelancer
    given = await files.ready(owner, UploadPurpose.DELIVERABLE)
    gone = [await files.ready(owner, UploadPurpose.AVATAR), await files.announced(owner), await files.checking(owner)]
    others = await files.ready(hire.client, UploadPurpose.AVATAR)

    await guard.commit(uploads.forget_all, owner.id)

    left = {one["id"]: one["filename"] for one in await guard.rows("select id, filename from uploads")}
    assert left == {given.id: "file.pdf", others.id: "plan.png"}
    assert {one.object_key for one in gone} <= set(await deletions())
    assert await guard.value("select count(*) from timers") == 0


async def test_times_are_those_of_the_business_clock(database: str) -> None:
    await clock.ahead(days=3)
    made = await files.announced(await factories.a_client())
    assert abs(made.created_at - await business_time.now()) < timedelta(seconds=5)
