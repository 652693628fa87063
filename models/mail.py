"""Mails as rows: written with the change that causes them, sent by a job, once.

In somebody's quiet hours a mail waits for their end, unless it is about the account's own safety.

Refuses a context that is not the one its kind declares, so that a template never meets a hole. Holds no secret: the
token of a mailed link is derived when the mail is rendered.
"""

from datetime import UTC, datetime
from typing import Final

import msgspec
from piccolo.columns import JSONB, BigSerial, LazyTableReference, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, outbox, preferences
from models.base import Record, restricted
from models.jobs import SendMail
from models.letters import CATEGORIES, CONTEXTS, Context, MailKind
from models.preferences import Category
from models.quiet_hours import QuietHours, over_at

GOOD_FOR_S: Final[dict[MailKind, int]] = {
    MailKind.EMAIL_VERIFICATION: 24 * 3600,
    MailKind.EMAIL_CHANGE: 24 * 3600,
    MailKind.PASSWORD_RESET_REQUEST: 3600,
    MailKind.SECURITY_CODE: 600,
}
"""How long what a mail carries is good: a mail that comes later would only mislead, and is not sent."""

LINKED: Final = (MailKind.EMAIL_VERIFICATION, MailKind.EMAIL_CHANGE, MailKind.PASSWORD_RESET_REQUEST)
"""Kinds whose mail carries a single-use link."""


class Mail(Table, tablename="mails"):
    """A mail to one person. `key` makes it unique per kind, entity and recipient; `context` fills its template.

    `address` is where it goes when that is not the account's own address: a new one that is to be proved, or an old
    one that is to be told.
    """

    id = BigSerial(primary_key=True)
    key = Text(unique=True)
    kind = Text()
    # By name, because accounts write mails: importing them here would close a circle.
    user = restricted(LazyTableReference("User", module_path="models.accounts"))
    address = Text(null=True, default=None, secret=True)
    context = JSONB(default="{}")
    status = Text(default="queued")
    provider_id = Text(null=True, default=None)
    created_at = Timestamptz(default=TimestamptzNow())
    sent_at = Timestamptz(null=True, default=None)
    link_used_at = Timestamptz(null=True, default=None)


class Outgoing(Record, frozen=True):
    """A mail that is to be sent, with its recipient as the account is now. `role` is a models.accounts.Role."""

    mail_id: int
    kind: MailKind
    user_id: int
    address: str
    first_name: str
    last_name: str
    role: str
    context: Context
    created_at: datetime
    code_sent_at: datetime | None = None
    """Of a security code, when its row was made: the code is derived from it."""


WRITE: Final = """
with made as (insert into mails (key, kind, "user", context, address, status, created_at)
              values ($1, $2, $3, $4::text::jsonb, $5, 'queued', now())
              on conflict (key) do nothing returning id, "user")
select m.id, u.quiet_from_minute, u.quiet_to_minute, u.time_zone from made m join users u on u.id = m."user"
"""

BEGIN_SENDING: Final = """
select m.id as mail_id, m.kind, u.id as user_id, coalesce(m.address, u.email) as address, u.first_name,
       u.last_name, u.role, m.context::text as context, m.created_at, m.status, k.created_at as code_sent_at,
       case m.kind
            when 'security_code' then k.id is not null and k.used_at is null
            -- It may have waited for the end of a night: what was read meanwhile is no news.
            when 'message_received' then exists (
                select from conversation_members s join conversations c on c.id = s.conversation
                 where c.id = (m.context->>'conversation_id')::bigint and s."user" = m."user"
                   and s.read_seq < c.last_seq)
            else true end as needed,
       u.deactivated_at is not null as away, u.erased_at is not null as gone
  from mails m join users u on u.id = m."user"
       left join security_codes k on m.kind = 'security_code' and k.id = (m.context->>'code_id')::bigint
 where m.id = $1
"""

UNWANTED: Final = "update mails set status = 'unwanted' where id = $1 and status <> 'sent'"


async def write(kind: MailKind | str, *, to: int, about: str, address: str | None = None, **context: object) -> int:
    """Write a mail to a user and enqueue its sending, in the open transaction; return the mail's id.

    `about` names what it is about ("proposal:7"): there is one mail per kind, about and recipient, and a second call
    returns the first one's id and enqueues nothing. `address` is where it goes when that is not
    the account's. `context` is what CONTEXTS declares for the kind, no more and no
    less; AssertionError otherwise, because only our own code calls.
    """
    guard.in_transaction()
    assert about, "a mail is about something"
    kind = MailKind(kind)
    key = f"{kind.value}:{about}:{to}"
    made = await guard.row(WRITE, key, kind.value, to, _encoded(kind, context), address)
    if made is None:
        return int(await guard.value("select id from mails where key = $1", key))
    mail_id, from_minute, to_minute, zone = made
    run_at = None
    if from_minute is not None and CATEGORIES[kind] is not Category.SECURITY:
        # By the real clock, which the queue runs on and people sleep by: a moved business clock moves no night.
        hours = QuietHours(from_minute=from_minute, to_minute=to_minute)
        run_at = over_at(datetime.now(UTC), hours, zone)
    await outbox.enqueue(SendMail(mail_id=mail_id), once=f"mail:{mail_id}", run_at=run_at)
    return int(mail_id)


def _encoded(kind: MailKind, context: dict[str, object]) -> str:
    declared = CONTEXTS[kind]
    unknown = context.keys() - set(declared.__struct_fields__)
    assert not unknown, f"{kind.value} declares no {', '.join(sorted(unknown))}"
    try:
        return msgspec.json.encode(msgspec.convert(context, declared)).decode()
    except msgspec.ValidationError as wrong:
        raise AssertionError(f"{kind.value}: {wrong}") from wrong


async def begin_sending(mail_id: int) -> Outgoing | None:
    """The mail as it is to be sent, or None when it has been, or nobody wants it. An admin may retry a refused one.

    Unwanted is what the recipient refused by category, what is about a deactivated account's business, anything to an
    erased one, and what came too late: a code or a link that is good no more.
    """
    guard.in_transaction()
    fields = dict(await guard.only(BEGIN_SENDING, mail_id))
    status, needed, away, gone = (fields.pop(name) for name in ("status", "needed", "away", "gone"))
    if status == "sent":
        return None
    kind = MailKind(fields.pop("kind"))
    silent = gone or not needed or (away and CATEGORIES[kind] is not Category.SECURITY)
    late = kind in GOOD_FOR_S and _age_s(fields["code_sent_at"] or fields["created_at"]) > GOOD_FOR_S[kind]
    if silent or late or not await preferences.wants_mail(fields["user_id"], CATEGORIES[kind]):
        await guard.rows(UNWANTED, mail_id)
        return None
    # Unknown keys of an older row are passed over: what a kind says may shrink while its mails wait.
    context = msgspec.json.decode(fields.pop("context"), type=CONTEXTS[kind])
    return Outgoing(kind=kind, context=context, **fields)


def _age_s(since: datetime) -> float:
    return (datetime.now(UTC) - since).total_seconds()


async def mark_sent(mail_id: int, provider_id: str) -> None:
    """Record that the provider has taken the mail. A second call changes nothing."""
    guard.in_transaction()
    await guard.rows(
        "update mails set status = 'sent', provider_id = $2, sent_at = now() where id = $1 and status <> 'sent'",
        mail_id,
        provider_id,
    )


async def mark_refused(mail_id: int) -> None:
    """Record that the provider will not take the mail; why stands in its job. A mail that was sent stays sent."""
    guard.in_transaction()
    await guard.rows("update mails set status = 'refused' where id = $1 and status = 'queued'", mail_id)


async def use_link(mail_id: int) -> int | None:
    """Use up the mail's single-use link and return whose it was: None when it was used before or carries none."""
    guard.in_transaction()
    found = await guard.value(
        """update mails set link_used_at = now()
            where id = $1 and kind = any($2) and link_used_at is null returning "user" """,
        mail_id,
        [kind.value for kind in LINKED],
    )
    return None if found is None else int(found)
