"""A mail from its row to the mailbox: it works, it works twice, it survives a crash, and each fault has its end."""

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

import settings
from models import guard, mail, outbox
from models.accounts import Person
from models.jobs import JobStatus, SendMail
from models.letters import MailKind, SecurityCode
from models.queue.views import JobView
from tasks import mail as mailing
from tasks.gateways import post
from tasks.gateways.post import Post
from tests import factories
from tests.performing import killed_after, killed_before, perform_killed, perform_now, release_dead
from tests.postbox import Postbox, a_postbox
from wire.tokens import Purpose, Tokens


@pytest.fixture(scope="module")
def module_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postbox]:
    with a_postbox(tmp_path_factory.mktemp("post")) as started:
        yield started


@pytest.fixture
def box(module_box: Postbox, database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Postbox]:
    monkeypatch.setenv("SES_API_BASE", module_box.base)
    monkeypatch.setattr(post, "READ_S", 0.5)
    settings.load.cache_clear()
    mailing._post.cache_clear()
    module_box.reset()
    yield module_box
    mailing._post(settings.load().post).close()
    mailing._post.cache_clear()
    settings.load.cache_clear()


async def a_verification(person: Person) -> tuple[int, UUID]:
    """A verification mail and the job that sends it."""

    async def written() -> int:
        return await mail.write(MailKind.EMAIL_VERIFICATION, to=person.id, about="account:1")

    mail_id = await guard.commit(written)
    return mail_id, UUID(int=(await guard.value("select job_id from job_keys where key = $1", f"mail:{mail_id}")).int)


async def status_of(mail_id: int) -> tuple[str, str | None]:
    found = await guard.only("select status, provider_id from mails where id = $1", mail_id)
    return found["status"], found["provider_id"]


async def waits(job: JobView, mail_id: int) -> bool:
    return job.status is JobStatus.QUEUED and await status_of(mail_id) == ("queued", None)


async def test_a_mail_is_sent_and_its_row_says_so(box: Postbox) -> None:
    person = await factories.a_client()
    mail_id, job_id = await a_verification(person)

    done = await perform_now(job_id)

    (taken,) = box.messages(person.email)
    assert done.status is JobStatus.SUCCEEDED
    assert await status_of(mail_id) == ("sent", taken["id"])
    assert taken["to"] == [person.email]
    assert taken["from"] == "MegiLance <noreply@megilance.com>"
    assert taken["subject"] == "Please confirm your email address"
    assert taken["headers"]["X-MegiLance-Mail"] == str(mail_id)
    told = settings.load()
    (link,) = [line for line in taken["text"].splitlines() if line.startswith("http")]
    address, token = link.split("?token=")
    assert address == "http://localhost:3000/verify-email"
    assert Tokens(told.tokens.key).read_link(Purpose.EMAIL_VERIFICATION, token, max_age_s=60) == mail_id
    assert link in taken["html"]


async def test_a_mail_that_was_sent_is_not_sent_again(box: Postbox) -> None:
    mail_id, job_id = await a_verification(await factories.a_client())
    await perform_now(job_id, give_back_first=True)
    before = await status_of(mail_id)
    again = await guard.commit(outbox.enqueue, SendMail(mail_id=mail_id))

    done = await perform_now(again.job_id)

    assert done.status is JobStatus.SUCCEEDED
    assert len(box.messages()) == 1
    assert await status_of(mail_id) == before


async def test_a_crash_before_the_sending_loses_and_doubles_nothing(box: Postbox) -> None:
    mail_id, job_id = await a_verification(await factories.a_client())
    with killed_before(Post, "send"):
        await perform_killed(job_id)
    await release_dead(job_id)

    done = await perform_now(job_id, even_if_early=True)

    assert done.status is JobStatus.SUCCEEDED
    (taken,) = box.messages()
    assert await status_of(mail_id) == ("sent", taken["id"])


async def test_a_crash_between_sending_and_recording_sends_a_copy_that_can_be_recognised(box: Postbox) -> None:
    # SES takes no idempotency key, so this window stays; better twice than never.
    mail_id, job_id = await a_verification(await factories.a_client())
    with killed_after(Post, "send"):
        await perform_killed(job_id)
    assert await status_of(mail_id) == ("queued", None)
    await release_dead(job_id)

    done = await perform_now(job_id, even_if_early=True)

    second, first = box.messages()
    assert done.status is JobStatus.SUCCEEDED
    assert await status_of(mail_id) == ("sent", second["id"])
    assert first["headers"] == second["headers"]
    assert first["text"] == second["text"]
    assert first["html"] == second["html"]


@pytest.mark.parametrize("fault", ["throttle", "paused", "down"])
async def test_trouble_that_passes_delays_the_mail(box: Postbox, fault: str) -> None:
    mail_id, job_id = await a_verification(await factories.a_client())
    box.misbehave(fault)

    delayed = await perform_now(job_id)

    assert await waits(delayed, mail_id)
    assert box.messages() == []
    done = await perform_now(job_id, even_if_early=True)
    assert done.status is JobStatus.SUCCEEDED
    assert len(box.messages()) == 1


@pytest.mark.parametrize("fault", ["timeout_after_commit", "error_after_commit"])
async def test_an_answer_lost_on_the_way_costs_a_copy_that_can_be_recognised(box: Postbox, fault: str) -> None:
    mail_id, job_id = await a_verification(await factories.a_client())
    box.misbehave(fault, delay_s=2)

    delayed = await perform_now(job_id)

    assert await waits(delayed, mail_id)
    await perform_now(job_id, even_if_early=True)
    second, first = box.messages()
    assert first["headers"]["X-MegiLance-Mail"] == second["headers"]["X-MegiLance-Mail"] == str(mail_id)
    assert await status_of(mail_id) == ("sent", second["id"])


async def test_a_refused_mail_ends_its_job_and_tells_nobody_the_address(box: Postbox) -> None:
    person = await factories.a_client()
    mail_id, job_id = await a_verification(person)
    box.misbehave("reject")

    refused = await perform_now(job_id)

    assert refused.status is JobStatus.FAILED
    assert refused.error_code == "MessageRejected"
    assert refused.error_detail == "The mail provider refused this mail."
    assert await status_of(mail_id) == ("refused", None)
    assert box.messages() == []


async def test_an_address_that_is_two_is_refused_unsent(box: Postbox) -> None:
    person = await factories.a_client()
    await guard.rows("update users set email = 'a@example.org, eve@example.org' where id = $1", person.id)
    mail_id, job_id = await a_verification(person)

    refused = await perform_now(job_id)

    assert refused.error_code == "address_invalid"
    assert await status_of(mail_id) == ("refused", None)
    assert box.messages() == []


async def test_a_mail_that_nobody_wants_is_not_sent_and_its_job_ends_well(box: Postbox) -> None:
    mail_id, job_id = await a_verification(await factories.a_client())
    await guard.rows("update mails set created_at = now() - interval '2 days'")

    done = await perform_now(job_id)

    assert done.status is JobStatus.SUCCEEDED
    assert await status_of(mail_id) == ("unwanted", None)
    assert box.messages() == []


async def test_a_code_reaches_its_address_and_stands_in_no_row_and_no_job(box: Postbox) -> None:
    person = await factories.a_client()
    code_id = await guard.value(
        """insert into security_codes ("user", method, purpose, contact)
           values ($1, 'email', 'enrol', 'another@example.org') returning id""",
        person.id,
    )

    async def written() -> int:
        return await mail.write(
            MailKind.SECURITY_CODE,
            to=person.id,
            about=f"code:{code_id}",
            address="another@example.org",
            code_id=code_id,
            purpose="enrol",
        )

    mail_id = await guard.commit(written)
    job_id = UUID(int=(await guard.value("select job_id from job_keys where key = $1", f"mail:{mail_id}")).int)

    await perform_now(job_id)

    (taken,) = box.messages("another@example.org")
    digits = Tokens(settings.load().tokens.key).code(
        code_id, await guard.value("select created_at from security_codes")
    )
    assert f"  {digits}\n" in taken["text"]
    for table in ("mails", "jobs", "security_codes", "events"):
        assert await guard.value(f"select count(*) from {table} t where t::text like '%' || $1 || '%'", digits) == 0


async def test_a_code_without_its_row_is_our_mistake(box: Postbox) -> None:
    outgoing = mail.Outgoing(
        mail_id=1,
        kind=MailKind.SECURITY_CODE,
        user_id=1,
        address="x@example.org",
        first_name="X",
        last_name="Y",
        role="client",
        context=SecurityCode(code_id=1, purpose="sign_in"),
        created_at=datetime.now(UTC),
    )

    with pytest.raises(AssertionError, match="names a code that is not there"):
        mailing.render(outgoing, settings.load())
