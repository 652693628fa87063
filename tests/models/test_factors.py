"""Second factors as rows: what counts, what is used once, what follows when one comes or goes."""

import asyncio
from uuid import uuid4

import pytest

from models import factors, guard, passkeys, sessions
from models.accounts import Person
from models.errors import FactorExists, NotFound, SecondFactorRequired
from models.factors import Batch, FactorRow, Method
from tests import factories
from tests.enrolled import ELSEWHERE, VISITOR, noted, with_contact
from tests.worlds import mailed, refused

pytestmark = pytest.mark.usefixtures("database")


def a_batch(*hashes: str) -> Batch:
    return Batch(id=uuid4(), hashes=hashes or ("one", "two"))


async def a_totp(person: Person, *, batch: Batch | None = None, confirmed: bool = True) -> int:
    factor_id = await guard.commit(factors.begin_enrolment, person.id, Method.TOTP, secret_sealed="sealed", batch=batch)
    if confirmed:
        assert await guard.commit(factors.confirm, factor_id, user_id=person.id, visitor=VISITOR, step=100)
    return factor_id


async def a_passkey(person: Person, credential_id: str = "key", *, sign_count: int = 1) -> FactorRow:
    begun = await guard.commit(sessions.begin, person.id, person.role)
    return await guard.commit(
        passkeys.add_passkey, person.id, credential_id=credential_id, public_key="public", sign_count=sign_count,
        name="Phone", batch=None, session_id=begun.session_id, visitor=VISITOR,
    )  # fmt: skip


async def audited(user_id: int) -> list[str]:
    found = await guard.rows("select action from audit_log where subject_id = $1 order by id", str(user_id))
    return [one["action"] for one in found]


async def test_a_factor_counts_once_it_is_proved():
    ada = await factories.a_client()
    factor_id = await a_totp(ada, batch=a_batch(), confirmed=False)
    assert await factors.methods_of(ada.id) == []
    assert await factors.codes_left(ada.id) == 0
    assert await factors.live_batch(ada.id) is None
    assert await factors.read_seed(ada.id) is None
    assert (await factors.find_pending(ada.id, Method.TOTP)) is not None
    assert [one.confirmed_at for one in await factors.list_own(ada.id)] == [None]
    assert await noted(ada.id) == []
    assert await guard.commit(factors.confirm, factor_id, user_id=ada.id, visitor=VISITOR)
    assert await factors.methods_of(ada.id) == [Method.TOTP, Method.BACKUP_CODE]
    assert await factors.codes_left(ada.id) == 2
    assert await factors.find_pending(ada.id, Method.TOTP) is None
    assert await noted(ada.id) == ["factor_added"]
    assert await mailed(ada.id) == ["2fa_enabled"]
    assert await audited(ada.id) == ["factor.added"]


async def test_one_that_was_begun_long_ago_can_no_longer_be_proved():
    ada = await factories.a_client()
    await a_totp(ada, confirmed=False)
    await guard.rows("update mfa_methods set created_at = now() - interval '31 minutes'")
    assert await factors.find_pending(ada.id, Method.TOTP) is None
    assert await factors.list_own(ada.id) == []


async def test_enrolling_anew_leaves_the_old_one_until_the_new_one_is_proved():
    ada = await factories.a_client()
    old_batch, dropped, new_batch = a_batch("old"), a_batch("dropped"), a_batch("new")
    old = await a_totp(ada, batch=old_batch)
    await a_totp(ada, batch=dropped, confirmed=False)
    new = await a_totp(ada, batch=new_batch, confirmed=False)
    seed = await factors.read_seed(ada.id)
    assert seed is not None
    assert seed.factor_id == old
    assert await factors.live_batch(ada.id) == old_batch.id
    assert await guard.value("select count(*) from backup_codes where batch = $1", dropped.id) == 0
    assert await guard.commit(factors.confirm, new, user_id=ada.id, visitor=VISITOR)
    assert [one.id for one in await factors.list_own(ada.id)] == [new]
    assert await factors.live_batch(ada.id) == new_batch.id
    assert await guard.value("select count(*) from backup_codes") == 1


async def test_a_factor_is_proved_once_and_by_its_own_person():
    ada, bob = await factories.a_client(), await factories.a_client()
    factor_id = await a_totp(ada, confirmed=False)
    assert not await guard.commit(factors.confirm, factor_id, user_id=bob.id, visitor=VISITOR)
    proved = await asyncio.gather(
        *(guard.commit(factors.confirm, factor_id, user_id=ada.id, visitor=VISITOR) for _ in range(6))
    )
    assert sorted(proved) == [False] * 5 + [True]
    assert await noted(ada.id) == ["factor_added"]


async def test_a_new_factor_ends_every_other_session_and_proves_this_one():
    ada = await factories.a_client()
    here, there = [await guard.commit(sessions.begin, ada.id, ada.role) for _ in range(2)]
    factor_id = await a_totp(ada, confirmed=False)
    await guard.commit(factors.confirm, factor_id, user_id=ada.id, visitor=VISITOR, session_id=here.session_id)
    mine = await sessions.read_live(here.session_id)
    assert mine is not None
    assert mine.proved_at is not None
    assert await sessions.read_live(there.session_id) is None


async def test_a_step_works_once_and_never_an_earlier_one():
    ada = await factories.a_client()
    factor_id = await a_totp(ada)
    assert [await guard.commit(factors.use_step, factor_id, step) for step in (100, 99, 101, 101, 100, 102)] == [
        False, False, True, False, False, True,
    ]  # fmt: skip
    used = await asyncio.gather(*(guard.commit(factors.use_step, factor_id, 103) for _ in range(8)))
    assert used.count(True) == 1


async def test_a_backup_code_works_once_even_at_the_same_moment():
    ada, bob = await factories.a_client(), await factories.a_client()
    batch = a_batch()
    await a_totp(ada, batch=batch)
    assert not await guard.commit(factors.use_backup_code, bob.id, batch.id, "one")
    assert not await guard.commit(factors.use_backup_code, ada.id, batch.id, "three")
    used = await asyncio.gather(*(guard.commit(factors.use_backup_code, ada.id, batch.id, "one") for _ in range(8)))
    assert used.count(True) == 1
    assert await factors.codes_left(ada.id) == 1
    await guard.commit(factors.use_backup_code, ada.id, batch.id, "two")
    assert await factors.methods_of(ada.id) == [Method.TOTP]
    assert await factors.live_batch(ada.id) is None


async def test_new_backup_codes_take_the_place_of_the_old():
    ada = await factories.a_client()
    async with refused(FactorExists):
        await guard.commit(factors.replace_codes, ada.id, a_batch(), visitor=VISITOR)
    await a_totp(ada, batch=a_batch())
    new = a_batch("a", "b", "c")
    await guard.commit(factors.replace_codes, ada.id, new, visitor=VISITOR)
    assert (await factors.codes_left(ada.id), await factors.live_batch(ada.id)) == (3, new.id)
    assert await noted(ada.id) == ["factor_added", "backup_codes_made"]
    assert await audited(ada.id) == ["factor.added", "backup_codes.made"]


async def test_removing_a_factor_is_told_and_the_last_one_takes_the_backup_codes_along():
    ada = await factories.a_client()
    first = await a_totp(ada, batch=a_batch())
    second = await with_contact(ada.id, Method.EMAIL, ELSEWHERE)
    here, there = [await guard.commit(sessions.begin, ada.id, ada.role) for _ in range(2)]
    who = {"user_id": ada.id, "role": ada.role, "visitor": VISITOR}
    await guard.commit(factors.remove, first, session_id=here.session_id, **who)
    assert await factors.methods_of(ada.id) == [Method.EMAIL, Method.BACKUP_CODE]
    assert await sessions.read_live(here.session_id) is not None
    assert await sessions.read_live(there.session_id) is None
    await guard.commit(factors.remove, second, **who)
    assert (await factors.methods_of(ada.id), await factors.codes_left(ada.id)) == ([], 0)
    assert await mailed(ada.id) == ["2fa_enabled"] * 2 + ["2fa_disabled"] * 2
    said = await guard.rows("select context::text from mails where kind = '2fa_disabled' order by id")
    assert [one[0] for one in said] == [
        '{"method": "totp", "factors_left": 1}', '{"method": "email", "factors_left": 0}'
    ]  # fmt: skip
    assert (await noted(ada.id))[2:] == ["factor_removed"] * 2
    assert (await audited(ada.id))[2:] == ["factor.removed"] * 2


async def test_what_waits_is_removed_silently_and_other_peoples_not_at_all():
    ada, bob = await factories.a_client(), await factories.a_client()
    waiting = await a_totp(ada, batch=a_batch(), confirmed=False)
    async with refused(NotFound):
        await guard.commit(factors.remove, waiting, user_id=bob.id, role=bob.role, visitor=VISITOR)
    await guard.commit(factors.remove, waiting, user_id=ada.id, role=ada.role, visitor=VISITOR)
    assert await guard.value("select count(*) from mfa_methods") == 0
    assert await guard.value("select count(*) from backup_codes") == 0
    assert (await noted(ada.id), await mailed(ada.id)) == ([], [])


async def test_an_admin_keeps_the_last_factor():
    admin = await factories.an_admin()
    first, who = await a_totp(admin), {"user_id": admin.id, "role": admin.role, "visitor": VISITOR}
    async with refused(SecondFactorRequired):
        await guard.commit(factors.remove, first, **who)
    await with_contact(admin.id, Method.EMAIL, ELSEWHERE)
    await guard.commit(factors.remove, first, **who)
    assert await factors.methods_of(admin.id) == [Method.EMAIL]


async def test_a_passkey_belongs_to_one_person():
    ada, bob = await factories.a_client(), await factories.a_client()
    made = await a_passkey(ada)
    begun = await guard.commit(sessions.begin, bob.id, bob.role)
    async with refused(FactorExists, "registered"):
        await guard.commit(
            passkeys.add_passkey, bob.id, credential_id="key", public_key="p", sign_count=0, name="", batch=None,
            session_id=begun.session_id, visitor=VISITOR,
        )  # fmt: skip
    assert [one.factor_id for one in await passkeys.list_passkeys(ada.id)] == [made.id]
    assert await passkeys.list_passkeys(bob.id) == []
    assert await factors.methods_of(ada.id) == [Method.WEBAUTHN]


async def test_passkeys_are_many_but_not_without_end():
    ada = await factories.a_client()
    for n in range(passkeys.MAX_PASSKEYS):
        await a_passkey(ada, f"key {n}")
    begun = await guard.commit(sessions.begin, ada.id, ada.role)
    async with refused(FactorExists, "at most 20"):
        await guard.commit(
            passkeys.add_passkey, ada.id, credential_id="another", public_key="p", sign_count=0, name="", batch=None,
            session_id=begun.session_id, visitor=VISITOR,
        )  # fmt: skip
    newest = await factors.find_confirmed(ada.id, Method.WEBAUTHN)
    assert newest is not None
    assert newest.name == "Phone"


async def test_a_passkeys_counter_only_grows_unless_it_has_none():
    ada = await factories.a_client()
    counting, bare = await a_passkey(ada, "a", sign_count=5), await a_passkey(ada, "b", sign_count=0)
    taken = [await guard.commit(passkeys.use_passkey, counting.id, n) for n in (5, 4, 0, 6, 6, 9)]
    assert taken == [False, False, False, True, False, True]
    assert [await guard.commit(passkeys.use_passkey, bare.id, n) for n in (0, 0)] == [True, True]
    rivals = await asyncio.gather(*(guard.commit(passkeys.use_passkey, counting.id, 10) for _ in range(8)))
    assert rivals.count(True) == 1
