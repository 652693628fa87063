"""Wishes: yes unless said otherwise, kept by category and channel, and never for silence on security."""

import asyncio

import pytest

from models import guard, mail, notifications, preferences
from models.errors import Invalid
from models.letters import MailKind
from models.notifications import NotificationType
from models.preferences import Category, Change, Wish
from tests import factories

EVERYTHING = dict.fromkeys(Category, Wish())


async def test_what_is_not_said_is_yes(database: str) -> None:
    person = await factories.a_client()

    assert await preferences.read(person.id) == EVERYTHING
    assert await preferences.wants_mail(person.id, Category.PAYMENTS)


async def test_a_change_touches_only_what_it_names(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()

    await guard.commit(preferences.change, person.id, {Category.PROJECTS: Change(email=False)})
    await guard.commit(preferences.change, person.id, {Category.PROJECTS: Change(in_app=False)})
    kept = await guard.commit(preferences.change, person.id, {Category.REVIEWS: Change(email=False, in_app=True)})

    assert kept == EVERYTHING | {
        Category.PROJECTS: Wish(email=False, in_app=False),
        Category.REVIEWS: Wish(email=False),
    }
    assert not await preferences.wants_mail(person.id, Category.PROJECTS)
    assert await preferences.read(other.id) == EVERYTHING
    again = await guard.commit(preferences.change, person.id, {Category.PROJECTS: Change(email=True)})
    assert again[Category.PROJECTS] == Wish(in_app=False)


@pytest.mark.parametrize("change", [Change(email=False), Change(in_app=False)])
async def test_security_cannot_be_silenced_and_nothing_beside_it_changes(database: str, change: Change) -> None:
    person = await factories.a_client()

    with pytest.raises(Invalid, match="cannot be switched off"):
        await guard.commit(
            preferences.change, person.id, {Category.PROJECTS: Change(email=False), Category.SECURITY: change}
        )

    assert await preferences.read(person.id) == EVERYTHING
    same = await guard.commit(preferences.change, person.id, {Category.SECURITY: Change(email=True, in_app=True)})
    assert same == EVERYTHING
    await guard.rows('update notification_preferences set email = false where "user" = $1', person.id)
    assert await preferences.wants_mail(person.id, Category.SECURITY), "not even a row says otherwise"


async def test_changes_beside_each_other_all_count(database: str) -> None:
    person = await factories.a_client()
    silent = Change(email=False, in_app=False)
    orders = [list(Category)[1:], list(Category)[:0:-1]] * 4

    await asyncio.gather(
        *(guard.commit(preferences.change, person.id, dict.fromkeys(order, silent)) for order in orders)
    )

    kept = await preferences.read(person.id)
    assert [one for one, wish in kept.items() if wish == Wish()] == [Category.SECURITY]


async def test_a_refused_category_makes_no_notification_and_no_event(database: str) -> None:
    person = await factories.a_client()
    await guard.commit(preferences.change, person.id, {Category.CONTRACTS: Change(in_app=False)})

    for kind in (NotificationType.CONTRACT_SIGNED, NotificationType.PAYMENT_RECEIVED):
        await guard.commit(notifications.tell, person.id, type=kind, title="A title", message="A message", data={})

    told = await guard.rows("select type from notifications")
    assert [one["type"] for one in told] == ["payment_received"]
    assert await guard.value("select count(*) from events") == 1


async def a_mail(user_id: int, kind: MailKind, **context: object) -> int:
    return await guard.commit(mail.write, kind, to=user_id, about="a test", **context)


PROJECT = {
    "project_id": 1,
    "project_title": "A shop",
    "budget_type": "fixed",
    "budget_min_minor": 1,
    "budget_max_minor": 2,
    "currency": "USD",
}


async def becomes(mail_id: int) -> tuple[bool, str]:
    """Whether the mail is to be sent, and its status after it was asked."""
    wanted = await guard.commit(mail.begin_sending, mail_id) is not None
    return wanted, await guard.value("select status from mails where id = $1", mail_id)


async def test_a_refused_category_makes_a_mail_unwanted(database: str) -> None:
    person, other = await factories.a_client(), await factories.a_client()
    await guard.commit(preferences.change, person.id, {Category.PROJECTS: Change(email=False)})
    mails = [await a_mail(one.id, MailKind.PROJECT_CREATED, **PROJECT) for one in (person, other)]

    assert await becomes(mails[0]) == (False, "unwanted")
    assert await becomes(mails[1]) == (True, "queued")


async def test_somebody_who_is_away_hears_of_their_safety_only_and_who_is_gone_of_nothing(database: str) -> None:
    person = await factories.a_client()
    news = await a_mail(person.id, MailKind.PROJECT_CREATED, **PROJECT)
    goodbye = await a_mail(person.id, MailKind.ACCOUNT_DEACTIVATED)
    reset = await a_mail(person.id, MailKind.PASSWORD_RESET_REQUEST)
    await guard.rows("update users set deactivated_at = now()")

    assert [await becomes(one) for one in (news, goodbye, reset)] == [
        (False, "unwanted"),
        (True, "queued"),
        (True, "queued"),
    ]
    await guard.rows("update users set erased_at = now()")
    assert await becomes(goodbye) == (False, "unwanted")


@pytest.mark.parametrize(
    ("kind", "good_for_s"),
    [
        (MailKind.EMAIL_VERIFICATION, 86_400),
        (MailKind.EMAIL_CHANGE, 86_400),
        (MailKind.PASSWORD_RESET_REQUEST, 3_600),
    ],
)
async def test_a_link_that_is_good_no_more_is_not_sent(database: str, kind: MailKind, good_for_s: int) -> None:
    person = await factories.a_client()
    mail_id = await a_mail(person.id, kind)
    aged = "update mails set created_at = now() - make_interval(secs => $1)"

    await guard.rows(aged, good_for_s - 5)
    assert await becomes(mail_id) == (True, "queued")
    await guard.rows(aged, good_for_s + 5)
    assert await becomes(mail_id) == (False, "unwanted")


async def a_code(user_id: int) -> int:
    code_id: int = await guard.value(
        """insert into security_codes ("user", method, purpose, contact, created_at)
           values ($1, 'email', 'sign_in', 'x@example.org', now() - interval '9 minutes') returning id""",
        user_id,
    )
    return code_id


async def test_a_code_is_mailed_with_the_time_of_its_own_row(database: str) -> None:
    person = await factories.a_client()
    code_id = await a_code(person.id)
    mail_id = await a_mail(person.id, MailKind.SECURITY_CODE, code_id=code_id, purpose="sign_in")

    outgoing = await guard.commit(mail.begin_sending, mail_id)

    assert outgoing is not None
    assert outgoing.code_sent_at == await guard.value("select created_at from security_codes")


@pytest.mark.parametrize(
    "spoilt",
    [
        "update security_codes set created_at = now() - interval '11 minutes'",
        "update security_codes set used_at = now()",
        "delete from security_codes",
    ],
)
async def test_a_code_that_is_old_used_or_gone_is_not_mailed(database: str, spoilt: str) -> None:
    person = await factories.a_client()
    mail_id = await a_mail(person.id, MailKind.SECURITY_CODE, code_id=await a_code(person.id), purpose="sign_in")

    await guard.rows(spoilt)

    assert await becomes(mail_id) == (False, "unwanted")
