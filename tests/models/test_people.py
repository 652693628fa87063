"""People as admins steer them: who is found, who may be shut out, and what is left behind of it."""

import asyncio
from typing import Any

import pytest

from models import accounts, audit, factors, guard, people, security, sessions
from models.accounts import Person, Role
from models.base import uuid7
from models.errors import AccountSuspended, DomainError, Invalid, NotAllowed, NotFound, WrongState
from models.factors import Batch, Method
from models.people import Listed, Sought, Status
from models.security import SecurityEventKind
from models.visitors import Visitor

HERE = Visitor(user_agent="Firefox", ip_address="203.0.113.9")


async def someone(email: str, role: Role = Role.CLIENT, *, name: str = "Nina Nobel", verified: bool = True) -> Person:
    first, _, last = name.partition(" ")
    return await guard.commit(
        accounts.register,
        email=email,
        password_hash="x",
        first_name=first,
        last_name=last,
        role=role,
        verified=verified,
    )


async def found(**sought: Any) -> list[str]:
    return [one.email for one in await people.find(Sought(**sought), before=None, limit=50)]


async def kinds(user_id: int) -> list[SecurityEventKind]:
    return [one.kind for one in await security.list_own(user_id, before=None, limit=9)]


async def suspend(user_id: int, by: int, reason: str = "fraud") -> Listed:
    return await guard.commit(people.suspend, user_id, reason, by=by, visitor=HERE)


@pytest.mark.parametrize(
    ("text", "emails"),
    [
        ("nina", ["n@example.com"]),
        ("NOBEL n@", ["n@example.com"]),
        ("éva", ["e@other.example"]),
        ("example.com", ["p@example.com", "n@example.com"]),
        ("100%", ["p@example.com"]),
        ("0_0", []),
        ("\\", []),
        ("'; drop table users", []),
    ],
)
async def test_people_are_found_by_a_part_of_a_name_or_an_address(database: str, text: str, emails: list[str]):
    await someone("n@example.com")
    await someone("e@other.example", name="Éva Ember")
    await someone("p@example.com", name="Paul 100%")
    assert await found(text=text) == emails


async def test_the_search_can_use_its_index(database: str):
    async with guard.transaction():
        await guard.rows("set local enable_seqscan = off")
        plan = await guard.rows(f"explain select 1 from users u where {people.SOUGHT} like lower('%nina%')")
    assert any("users_sought" in one[0] for one in plan)


async def test_a_list_has_each_standing_and_role_newest_first_a_page_at_a_time(database: str):
    await someone("active@example.com", Role.FREELANCER)
    await someone("unverified@example.com", verified=False)
    for name, columns in (("suspended", "suspended_at = now()"), ("deactivated", "deactivated_at = now()"),
                          ("erased", "erased_at = now(), suspended_at = now()")):  # fmt: skip
        person = await someone(f"{name}@example.com")
        await guard.rows(f"update users set {columns} where id = $1", person.id)
    for status in Status:
        (one,) = await people.find(Sought(status=status), before=None, limit=9)
        assert (one.email, one.status) == (f"{status.value}@example.com", status)
    assert await found(role=Role.FREELANCER) == ["active@example.com"]
    everybody = await people.find(Sought(), before=None, limit=9)
    assert [one.id for one in everybody] == sorted((one.id for one in everybody), reverse=True)
    older = await people.find(Sought(text="example", role=Role.CLIENT), before=everybody[1].id, limit=1)
    assert [one.email for one in older] == ["suspended@example.com"]


async def test_an_item_says_when_somebody_was_last_seen_and_whether_a_factor_protects_them(database: str):
    person = await someone("n@example.com")
    one = await people.read(person.id)
    assert (one.two_factor, one.last_seen_at, one.email_verified, one.user_type) == (False, None, True, Role.CLIENT)
    await guard.commit(sessions.begin, person.id, person.role, HERE)
    await guard.commit(people.replace_factors, person.id, secret_sealed="s", batch=Batch(id=uuid7(), hashes=["a", "b"]))
    file = await people.read_file(person.id)
    assert (file.listed.two_factor, file.listed.last_seen_at) == (True, file.sessions[0].refreshed_at)
    assert ([one.method for one in file.factors], file.codes_left) == ([Method.TOTP], 2)
    assert (file.sessions[0].ip_address, file.sessions[0].revoked_because) == ("203.0.113.9", "factor_added")
    with pytest.raises(NotFound, match="no user 999"):
        await people.read(999)


async def test_suspending_shuts_out_at_once_and_restoring_lets_in(database: str):
    admin, client = await someone("a@example.com", Role.ADMIN), await someone("c@example.com")
    begun = await guard.commit(sessions.begin, client.id, client.role)
    now = await suspend(client.id, admin.id)
    assert now.status is Status.SUSPENDED
    assert await sessions.read_live(begun.session_id) is None
    assert (await people.read_file(client.id)).suspended_because == "fraud"
    assert await kinds(client.id) == [SecurityEventKind.ACCOUNT_SUSPENDED]
    (deed,) = await audit.read_for("user", str(client.id))
    assert (deed.actor_id, deed.action, deed.before, deed.after) == (
        admin.id,
        "user.suspended",
        {"status": "active"},
        {"status": "suspended"},
    )
    assert deed.details == {"reason": "fraud", "sessions_ended": 1, "ip_address": "203.0.113.…"}
    with pytest.raises(WrongState, match="suspended already"):
        await suspend(client.id, admin.id)
    restored = await guard.commit(people.restore, client.id, by=admin.id)
    assert restored.status is Status.ACTIVE
    assert await sessions.read_live(begun.session_id) is None
    assert await kinds(client.id) == [SecurityEventKind.ACCOUNT_RESTORED, SecurityEventKind.ACCOUNT_SUSPENDED]
    assert (await audit.read_for("user", str(client.id)))[0].details == {"was_suspended_because": "fraud"}
    with pytest.raises(WrongState, match="not suspended, but active"):
        await guard.commit(people.restore, client.id, by=admin.id)


async def test_who_cannot_be_suspended_stays_and_nothing_is_written(database: str):
    admin, client = await someone("a@example.com", Role.ADMIN), await someone("c@example.com")
    gone = await someone("g@example.com")
    await guard.rows("update users set erased_at = now() where id = $1", gone.id)
    refused: list[tuple[int, int, str, type[DomainError]]] = [
        (admin.id, admin.id, "fraud", NotAllowed),
        (admin.id, client.id, "fraud", WrongState),  # the last admin
        (gone.id, admin.id, "fraud", WrongState),
        (999, admin.id, "fraud", NotFound),
        (client.id, admin.id, "  ", Invalid),
        (client.id, admin.id, "x" * 501, Invalid),
    ]
    for user_id, by, reason, error in refused:
        with pytest.raises(error):
            await suspend(user_id, by, reason)
    assert await guard.value("select count(*) from audit_log") == 0
    assert await found(status=Status.SUSPENDED) == []


async def test_of_two_admins_who_suspend_each_other_at_once_one_stands(database: str):
    first, second = await someone("a@example.com", Role.ADMIN), await someone("b@example.com", Role.ADMIN)
    for _ in range(5):
        answers = await asyncio.gather(
            suspend(first.id, second.id), suspend(second.id, first.id), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in answers) == ["AccountSuspended", "Listed"]
        await guard.rows("update users set suspended_at = null")
    assert issubclass(AccountSuspended, NotAllowed)


async def test_a_suspended_admin_steers_nobody(database: str):
    admin, other = await someone("a@example.com", Role.ADMIN), await someone("b@example.com", Role.ADMIN)
    client = await someone("c@example.com")
    await suspend(other.id, admin.id)
    for verb in (people.restore, people.revoke_sessions):
        with pytest.raises(AccountSuspended):
            await guard.commit(verb, client.id, by=other.id)


async def test_sessions_are_revoked_and_counted(database: str):
    admin, client = await someone("a@example.com", Role.ADMIN), await someone("c@example.com")
    for _ in range(3):
        await guard.commit(sessions.begin, client.id, client.role)
    assert await guard.commit(people.revoke_sessions, client.id, by=admin.id, visitor=HERE) == 3
    assert await guard.commit(people.revoke_sessions, client.id, by=admin.id) == 0
    assert await kinds(client.id) == [SecurityEventKind.SESSIONS_REVOKED]
    deeds = await audit.read_for("user", str(client.id))
    assert [one.details["sessions_ended"] for one in deeds] == [0, 3]
    assert await guard.commit(people.revoke_sessions, admin.id, by=admin.id) == 0


async def test_new_factors_take_the_place_of_all_earlier_ones(database: str):
    admin = await someone("a@example.com", Role.ADMIN)
    first, second = Batch(id=uuid7(), hashes=["a"]), Batch(id=uuid7(), hashes=["b", "c"])
    await guard.commit(people.replace_factors, admin.id, secret_sealed="one", batch=first)
    begun = await guard.commit(sessions.begin, admin.id, admin.role)
    await guard.commit(people.replace_factors, admin.id, secret_sealed="two", batch=second)
    seed = await factors.read_seed(admin.id)
    assert seed is not None
    assert (seed.secret_sealed, await factors.live_batch(admin.id), await factors.codes_left(admin.id)) == (
        "two",
        second.id,
        2,
    )
    assert await sessions.read_live(begun.session_id) is None
    deed = next(one for one in await audit.read_for("user", str(admin.id)) if one.action == "user.factors_replaced")
    assert (deed.actor_id, deed.before, deed.after) == (0, {"methods": ["totp"]}, {"methods": ["totp"]})
