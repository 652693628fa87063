"""Mail rows: one per kind, matter and recipient; one job each; a link that works once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from models import guard, mail
from models.letters import CONTEXTS, MailKind, ProposalReceived
from models.mail import LINKED
from tests import factories

PROPOSAL: dict[str, Any] = {
    "project_id": 7,
    "project_title": "A shop for bicycles",
    "proposal_id": 3,
    "freelancer_name": "Frida Freelancer",
    "bid_minor": 120000,
    "currency": "USD",
    "delivery_days": 14,
}


def written(user_id: int, about: str = "proposal:3", **context: object) -> Callable[[], Awaitable[int]]:
    async def verb() -> int:
        return await mail.write(MailKind.PROPOSAL_RECEIVED, to=user_id, about=about, **(context or PROPOSAL))

    return verb


def verification(user_id: int, about: str = "account:1") -> Callable[[], Awaitable[int]]:
    async def verb() -> int:
        return await mail.write("email_verification", to=user_id, about=about)

    return verb


async def counts() -> tuple[int, int]:
    """Mails, and jobs that send one."""
    return (
        await guard.value("select count(*) from mails"),
        await guard.value("select count(*) from jobs where kind = 'mail.send_mail'"),
    )


async def test_a_mail_is_written_with_its_job_and_read_back_typed(database: str) -> None:
    client = await factories.a_client()

    mail_id = await guard.commit(written(client.id))

    assert await counts() == (1, 1)
    assert (
        await guard.value("select payload::text from jobs where kind = 'mail.send_mail'") == f'{{"mail_id": {mail_id}}}'
    )
    assert await guard.value("select key from mails") == f"proposal_received:proposal:3:{client.id}"
    outgoing = await guard.commit(mail.begin_sending, mail_id)
    assert outgoing is not None
    assert outgoing.kind is MailKind.PROPOSAL_RECEIVED
    assert (outgoing.address, outgoing.first_name, outgoing.role) == (client.email, "Clara", "client")
    assert outgoing.context == ProposalReceived(**PROPOSAL)


async def test_a_second_write_returns_the_first_and_enqueues_nothing(database: str) -> None:
    client, other = await factories.a_client(), await factories.a_client()

    first = await guard.commit(written(client.id))

    assert await guard.commit(written(client.id)) == first
    assert await counts() == (1, 1)
    assert await guard.commit(written(client.id, "proposal:4")) != first
    assert await guard.commit(written(other.id)) != first
    assert await counts() == (3, 3)


async def test_writing_beside_itself_writes_once(database: str) -> None:
    client = await factories.a_client()

    ids = await asyncio.gather(*(guard.commit(written(client.id)) for _ in range(12)))

    assert len(set(ids)) == 1
    assert await counts() == (1, 1)


async def test_what_is_rolled_back_was_never_written(database: str) -> None:
    client = await factories.a_client()

    async def regretted() -> None:
        await written(client.id)()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await guard.commit(regretted)
    assert await counts() == (0, 0)


@pytest.mark.parametrize(
    "context",
    [
        PROPOSAL | {"colour": "green"},
        {name: value for name, value in PROPOSAL.items() if name != "currency"},
        PROPOSAL | {"bid_minor": "120000"},
        PROPOSAL | {"bid_minor": 1200.5},
    ],
)
async def test_a_context_that_is_not_the_declared_one_is_our_mistake(database: str, context: dict[str, Any]) -> None:
    client = await factories.a_client()

    with pytest.raises(AssertionError, match="proposal_received"):
        await guard.commit(written(client.id, **context))
    assert await counts() == (0, 0)


async def test_nothing_is_written_outside_a_transaction(database: str) -> None:
    with pytest.raises(AssertionError):
        await written(1)()


async def test_a_sent_mail_is_not_begun_again_and_keeps_its_first_id(database: str) -> None:
    client = await factories.a_client()
    mail_id = await guard.commit(written(client.id))

    await guard.commit(mail.mark_sent, mail_id, "ses-1")
    await guard.commit(mail.mark_sent, mail_id, "ses-2")
    await guard.commit(mail.mark_refused, mail_id)

    assert await guard.commit(mail.begin_sending, mail_id) is None
    row = await guard.only("select status, provider_id, sent_at is not null as dated from mails")
    assert tuple(row) == ("sent", "ses-1", True)


async def test_a_refused_mail_may_be_tried_again(database: str) -> None:
    client = await factories.a_client()
    mail_id = await guard.commit(written(client.id))

    await guard.commit(mail.mark_refused, mail_id)

    assert await guard.value("select status from mails") == "refused"
    assert await guard.commit(mail.begin_sending, mail_id) is not None
    await guard.commit(mail.mark_sent, mail_id, "ses-1")
    assert await guard.value("select status from mails") == "sent"


async def test_an_older_row_may_say_more_than_its_kind_now_declares(database: str) -> None:
    client = await factories.a_client()
    mail_id = await guard.commit(written(client.id))
    await guard.rows("""update mails set context = context || '{"colour": "green"}'""")

    outgoing = await guard.commit(mail.begin_sending, mail_id)

    assert outgoing is not None
    assert outgoing.context == ProposalReceived(**PROPOSAL)


async def test_a_link_works_once_however_many_click(database: str) -> None:
    client = await factories.a_client()
    first = await guard.commit(verification(client.id))
    second = await guard.commit(verification(client.id, "account:2"))

    used = await asyncio.gather(*(guard.commit(mail.use_link, first) for _ in range(8)))

    assert sorted(used, key=str) == [client.id, *[None] * 7]
    assert await guard.commit(mail.use_link, second) == client.id


async def test_a_mail_without_a_link_has_none_to_use(database: str) -> None:
    client = await factories.a_client()
    mail_id = await guard.commit(written(client.id))

    assert await guard.commit(mail.use_link, mail_id) is None
    assert await guard.commit(mail.use_link, mail_id + 1) is None
    assert await guard.value("select link_used_at from mails") is None


def test_every_kind_declares_its_context() -> None:
    assert set(CONTEXTS) == set(MailKind)
    assert len(set(CONTEXTS.values())) == len(MailKind)
    assert set(LINKED) <= set(MailKind)
