"""A code from its row to the phone, and secrets from one key to the next: once, twice, and across a crash."""

import os
from collections.abc import Iterator
from uuid import UUID

import msgspec
import pytest

import settings
from models import guard, outbox, sealed
from models.accounts import Person
from models.jobs import JobStatus, ResealSecrets, SendCode
from models.sealed import Resealing, SealedPlace
from tasks import security
from tasks.gateways import sms
from tasks.gateways.sms import Sms
from tests import factories
from tests.performing import killed_after, killed_before, perform_killed, perform_now, release_dead
from tests.smsbox import ACCOUNT, SmsBox, an_smsbox
from tests.tasks.conftest import hearing
from wire.sealing import SealBroken, Sealer
from wire.tokens import Tokens

PHONE = "+4915112345678"
NEW_KEY = "another-0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmsBox]:
    with an_smsbox(tmp_path_factory.mktemp("sms")) as started:
        yield started


@pytest.fixture
def box(module_box: SmsBox, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmsBox]:
    monkeypatch.setenv("TWILIO_API_BASE", module_box.base)
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "t0p")
    monkeypatch.setenv("TWILIO_FROM_NUMBER", "+15005550006")
    monkeypatch.setattr(sms, "READ_S", 0.5)
    settings.load.cache_clear()
    security._sms.cache_clear()
    module_box.reset()
    yield module_box
    security._sms(settings.load().sms).close()
    security._sms.cache_clear()
    settings.load.cache_clear()


async def a_code(*, contact: str = PHONE) -> tuple[int, UUID]:
    """A code that waits to be sent, and the job that sends it."""
    person = await factories.a_client()
    code_id = await guard.value(
        """insert into security_codes ("user", method, purpose, contact) values ($1, 'sms', 'sign_in', $2)
           returning id""",
        person.id,
        contact,
    )
    return code_id, (await guard.commit(outbox.enqueue, SendCode(code_id=code_id))).job_id


async def status_of(code_id: int) -> tuple[str, str | None]:
    found = await guard.only("select status, provider_id from security_codes where id = $1", code_id)
    return found["status"], found["provider_id"]


async def test_a_code_is_sent_and_its_row_says_so(box: SmsBox) -> None:
    code_id, job_id = await a_code()

    done = await perform_now(job_id)

    (taken,) = box.messages(PHONE)
    assert done.status is JobStatus.SUCCEEDED
    assert done.result is None
    assert await status_of(code_id) == ("sent", taken["sid"])
    code, _, rest = taken["body"].partition(" ")
    assert rest == "is your MegiLance code. It is good for 10 minutes. Never tell anybody."
    made = await guard.value("select created_at from security_codes where id = $1", code_id)
    assert len(code) == 6
    assert Tokens(settings.load().tokens.key).fits_code(code_id, made, code)


async def test_a_code_that_was_sent_is_not_sent_again(box: SmsBox) -> None:
    code_id, job_id = await a_code()
    await perform_now(job_id, give_back_first=True)
    before = await status_of(code_id)
    again = await guard.commit(outbox.enqueue, SendCode(code_id=code_id))

    done = await perform_now(again.job_id)

    assert done.status is JobStatus.SUCCEEDED
    assert len(box.messages()) == 1
    assert await status_of(code_id) == before


async def test_a_crash_before_the_sending_loses_and_doubles_nothing(box: SmsBox) -> None:
    code_id, job_id = await a_code()
    with killed_before(Sms, "send"):
        await perform_killed(job_id)
    await release_dead(job_id)

    await perform_now(job_id, even_if_early=True)

    (taken,) = box.messages()
    assert await status_of(code_id) == ("sent", taken["sid"])


async def test_a_crash_between_sending_and_recording_sends_the_same_code_again(box: SmsBox) -> None:
    code_id, job_id = await a_code()
    with killed_after(Sms, "send"):
        await perform_killed(job_id)
    assert await status_of(code_id) == ("queued", None)
    await release_dead(job_id)

    await perform_now(job_id, even_if_early=True)

    second, first = box.messages()
    assert await status_of(code_id) == ("sent", second["sid"])
    assert first["body"] == second["body"]


@pytest.mark.parametrize("fault", ["throttle", "error", "down"])
async def test_trouble_that_passes_delays_the_code(box: SmsBox, fault: str) -> None:
    code_id, job_id = await a_code()
    box.misbehave(fault)

    delayed = await perform_now(job_id)

    assert delayed.status is JobStatus.QUEUED
    assert await status_of(code_id) == ("queued", None)
    assert (await perform_now(job_id, even_if_early=True)).status is JobStatus.SUCCEEDED
    assert len(box.messages()) == 1


async def test_a_refused_code_ends_its_job_and_tells_nobody_number_or_code(box: SmsBox) -> None:
    code_id, job_id = await a_code()
    box.misbehave("reject")

    with hearing(security) as said:
        refused = await perform_now(job_id)

    assert refused.status is JobStatus.FAILED
    assert (refused.error_code, refused.error_detail) == ("twilio_21610", "The provider refused this text message.")
    assert await status_of(code_id) == ("refused", None)
    (line,) = said
    assert (line["event"], line["code_id"], line["error_code"]) == ("code.refused", code_id, "twilio_21610")
    assert PHONE not in str(said)
    made = await guard.value("select created_at from security_codes where id = $1", code_id)
    assert Tokens(settings.load().tokens.key).code(code_id, made) not in str(said)


async def test_a_number_that_is_none_is_refused_unsent(box: SmsBox) -> None:
    code_id, job_id = await a_code(contact="+49 151, +15551234567")

    assert (await perform_now(job_id)).error_code == "number_invalid"
    assert await status_of(code_id) == ("refused", None)
    assert box.messages() == []


@pytest.mark.parametrize(
    "because",
    ["used_at = now()", "created_at = now() - interval '10 minutes'", "method = 'email'", "status = 'refused'"],
)
async def test_what_nobody_can_use_any_more_is_not_sent(box: SmsBox, because: str) -> None:
    code_id, job_id = await a_code()
    await guard.rows(f"update security_codes set {because}")
    before = await status_of(code_id)

    assert (await perform_now(job_id)).status is JobStatus.SUCCEEDED
    assert box.messages() == []
    assert await status_of(code_id) == before


async def test_without_an_account_for_text_messages_the_job_says_so(database: str) -> None:
    settings.load.cache_clear()
    code_id, job_id = await a_code()

    failed = await perform_now(job_id)

    assert (failed.status, failed.error_code) == (JobStatus.FAILED, "channel_unavailable")
    assert await status_of(code_id) == ("refused", None)


# Keys ----------------------------------------------------------------------------------------------------------------


async def secrets_of(person: Person, sealer: Sealer) -> None:
    """One sealed text in every place there is."""
    milestone = await factories.a_milestone()
    await guard.rows(
        """insert into payments (milestone, payer, amount_minor, currency, payment_method_id, expires_at,
                                 client_secret_sealed)
           values ($1, $2, 100, 'USD', 'pm_card_visa', now(), $3)""",
        milestone.id,
        person.id,
        sealer.seal("secret"),
    )
    await guard.rows("update users set onboarding_sealed = $2 where id = $1", person.id, sealer.seal("link"))
    await guard.rows(
        """insert into mfa_methods ("user", method, secret_sealed) values ($1, 'totp', $2), ($1, 'sms', null)""",
        person.id,
        sealer.seal("seed"),
    )


async def opened_by(sealer: Sealer) -> list[str]:
    found = [one.sealed for place in SealedPlace for one in await sealed.list_sealed(place, 0)]
    return sorted(sealer.unseal(one) for one in found)


def rotate(monkeypatch: pytest.MonkeyPatch) -> tuple[Sealer, Sealer]:
    """Put a new key before the present one; the sealers of the old and of the new one alone."""
    old = os.environ["SECRET_KEY"]
    monkeypatch.setenv("SECRET_KEY", NEW_KEY)
    monkeypatch.setenv("SECRET_KEYS", old)
    settings.load.cache_clear()
    return Sealer(old), Sealer(NEW_KEY)


@pytest.fixture(autouse=True)
def _own_keys() -> Iterator[None]:
    yield
    settings.load.cache_clear()


async def reseal() -> security.Resealed:
    job_id = (await guard.commit(outbox.enqueue, ResealSecrets())).job_id
    done = await perform_now(job_id)
    while done.status is JobStatus.QUEUED:
        done = await perform_now(job_id, even_if_early=True)
    assert done.status is JobStatus.SUCCEEDED
    return msgspec.convert(done.result, security.Resealed)


async def test_after_a_rotation_everything_opens_without_the_old_key(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = rotate(monkeypatch)
    await secrets_of(await factories.a_freelancer(), old)
    with pytest.raises(SealBroken):
        await opened_by(new)

    assert await reseal() == security.Resealed(resealed=3, unreadable=0)

    assert await opened_by(new) == ["link", "secret", "seed"]
    assert await reseal() == security.Resealed(resealed=0, unreadable=0)
    monkeypatch.setenv("SECRET_KEYS", "")
    settings.load.cache_clear()
    assert await reseal() == security.Resealed()
    assert await opened_by(new) == ["link", "secret", "seed"]


async def test_slices_go_on_where_the_last_one_ended_even_after_a_crash(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = rotate(monkeypatch)
    people = [await factories.a_freelancer() for _ in range(5)]
    for person in people:
        await guard.rows("update users set onboarding_sealed = $2 where id = $1", person.id, old.seal("link"))
    monkeypatch.setattr(sealed, "SLICE", 2)
    monkeypatch.setattr(security, "MOST_SLICES", 2)
    job_id = (await guard.commit(outbox.enqueue, ResealSecrets())).job_id
    with killed_after(sealed, "replace_seals"):
        await perform_killed(job_id)
    assert await guard.value("select count(*) from users where onboarding_sealed is not null") == 5
    assert [old.is_current(one.sealed) for one in await sealed.list_sealed(SealedPlace.ONBOARDING_LINKS, 0)] == [
        True
    ] * 2
    await release_dead(job_id)

    done = await perform_now(job_id, even_if_early=True)
    assert done.status is JobStatus.QUEUED
    while done.status is JobStatus.QUEUED:
        done = await perform_now(job_id, even_if_early=True)

    assert done.result == {"resealed": 5, "unreadable": 0}
    monkeypatch.setattr(sealed, "SLICE", 500)
    assert await opened_by(new) == ["link"] * 5


async def test_what_somebody_else_wrote_meanwhile_stays(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = rotate(monkeypatch)
    person = await factories.a_freelancer()
    await guard.rows("update users set onboarding_sealed = $2 where id = $1", person.id, old.seal("before"))
    (row,) = await sealed.list_sealed(SealedPlace.ONBOARDING_LINKS, 0)
    await guard.rows("update users set onboarding_sealed = $2 where id = $1", person.id, old.seal("rival"))

    anew = Resealing(id=row.id, sealed=row.sealed, anew=new.seal("before"))
    assert await guard.commit(sealed.replace_seals, SealedPlace.ONBOARDING_LINKS, [anew]) == 0

    assert await opened_by(old) == ["rival"]


async def test_what_no_key_opens_is_counted_told_and_left(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rotate(monkeypatch)
    person = await factories.a_freelancer()
    lost = Sealer("a-key-that-nobody-has-any-more-0123456789").seal("link")
    await guard.rows("update users set onboarding_sealed = $2 where id = $1", person.id, lost)

    with hearing(security) as said:
        assert await reseal() == security.Resealed(resealed=0, unreadable=1)

    assert [(one["event"], one["place"], one["row_id"]) for one in said] == [
        ("reseal.unreadable", "ONBOARDING_LINKS", person.id)
    ]
    assert await guard.value("select onboarding_sealed from users where id = $1", person.id) == lost


def test_every_sealed_column_has_its_place() -> None:
    from models.piccolo_app import APP_CONFIG

    columns = {
        (table._meta.tablename, column._meta.name)
        for table in APP_CONFIG.table_classes
        for column in table._meta.columns
        if column._meta.name.endswith("_sealed")
    }

    assert columns == {place.value for place in SealedPlace}


def test_the_clock_reseals_daily() -> None:
    from tasks.clock import SCHEDULE

    (entry,) = [one for one in SCHEDULE if one.job is ResealSecrets]
    assert (entry.name, entry.every_s) == ("security.reseal_secrets", 86_400)
