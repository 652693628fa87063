"""Mails as rows: written with the change that causes them, sent by a job, once.

Refuses a context that is not the one its kind declares, so that a template never meets a hole. Holds no secret: the
token of a mailed link is derived when the mail is rendered.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

import msgspec
from piccolo.columns import JSONB, BigSerial, LazyTableReference, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, outbox
from models.base import Record, restricted
from models.jobs import SendMail


class MailKind(StrEnum):
    """What a mail is about; its templates have this name."""

    WELCOME_EMAIL = "welcome_email"
    EMAIL_VERIFICATION = "email_verification"
    PROJECT_CREATED = "project_created"
    PROPOSAL_RECEIVED = "proposal_received"
    PROPOSAL_ACCEPTED = "proposal_accepted"
    CONTRACT_CREATED = "contract_created"
    MILESTONE_COMPLETED = "milestone_completed"
    PAYMENT_RECEIVED = "payment_received"
    PAYMENT_SENT = "payment_sent"


class Context(Record, frozen=True):
    """What a mail says besides its recipient's own name, role and address, which are read when it is sent.

    Names and titles are what people typed, at any length: the templates escape and shorten. Amounts are in the
    smallest unit of `currency`.
    """


class WelcomeEmail(Context, frozen=True):
    """To a new account; the recipient's role chooses the words."""


class EmailVerification(Context, frozen=True):
    """To an unverified account. `about` carries a counter or a moment, so that a new one can be asked for."""


class ProjectCreated(Context, frozen=True):
    """To the client when the project is published, to all or to those invited."""

    project_id: int
    project_title: str
    budget_type: Literal["fixed", "hourly"]
    budget_min_minor: int
    budget_max_minor: int
    currency: str


class ProposalReceived(Context, frozen=True):
    """To the client, for each proposal to a project."""

    project_id: int
    project_title: str
    proposal_id: int
    freelancer_name: str
    bid_minor: int
    currency: str
    delivery_days: int


class ProposalAccepted(Context, frozen=True):
    """To the freelancer who was chosen."""

    project_title: str
    contract_id: int
    client_name: str
    amount_minor: int
    currency: str


class ContractCreated(Context, frozen=True):
    """To each party; `other_name` is the other one."""

    project_title: str
    contract_id: int
    other_name: str
    amount_minor: int
    currency: str


class MilestoneCompleted(Context, frozen=True):
    """To the client when the work is delivered and waits for approval; to the freelancer when it is paid for."""

    project_title: str
    contract_id: int
    milestone_id: int
    milestone_title: str
    other_name: str
    amount_minor: int
    currency: str


class PaymentReceived(Context, frozen=True):
    """To the freelancer when a release has completed. Gross is fee plus net."""

    project_title: str
    contract_id: int
    milestone_id: int
    milestone_title: str
    client_name: str
    gross_minor: int
    fee_minor: int
    net_minor: int
    currency: str


class PaymentSent(Context, frozen=True):
    """To the client when a release has completed: the money left protection for the freelancer."""

    project_title: str
    contract_id: int
    milestone_id: int
    milestone_title: str
    freelancer_name: str
    amount_minor: int
    currency: str


CONTEXTS: Final[dict[MailKind, type[Context]]] = {
    MailKind.WELCOME_EMAIL: WelcomeEmail,
    MailKind.EMAIL_VERIFICATION: EmailVerification,
    MailKind.PROJECT_CREATED: ProjectCreated,
    MailKind.PROPOSAL_RECEIVED: ProposalReceived,
    MailKind.PROPOSAL_ACCEPTED: ProposalAccepted,
    MailKind.CONTRACT_CREATED: ContractCreated,
    MailKind.MILESTONE_COMPLETED: MilestoneCompleted,
    MailKind.PAYMENT_RECEIVED: PaymentReceived,
    MailKind.PAYMENT_SENT: PaymentSent,
}
"""The context that each kind declares; a house test holds the templates to it."""

LINKED: Final = (MailKind.EMAIL_VERIFICATION,)
"""Kinds whose mail carries a single-use link."""


class Mail(Table, tablename="mails"):
    """A mail to one person. `key` makes it unique per kind, entity and recipient; `context` fills its template."""

    id = BigSerial(primary_key=True)
    key = Text(unique=True)
    kind = Text()
    # By name, because accounts write mails: importing them here would close a circle.
    user = restricted(LazyTableReference("User", module_path="models.accounts"))
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


WRITE: Final = """
insert into mails (key, kind, "user", context, status, created_at)
values ($1, $2, $3, $4::text::jsonb, 'queued', now())
on conflict (key) do nothing returning id
"""

BEGIN_SENDING: Final = """
select m.id as mail_id, m.kind, u.id as user_id, u.email as address, u.first_name, u.last_name, u.role,
       m.context::text as context, m.created_at, m.status
  from mails m join users u on u.id = m."user"
 where m.id = $1
"""


async def write(kind: MailKind | str, *, to: int, about: str, **context: object) -> int:
    """Write a mail to a user and enqueue its sending, in the open transaction; return the mail's id.

    `about` names what it is about ("proposal:7"): there is one mail per kind, about and recipient, and a second call
    returns the first one's id and enqueues nothing. `context` is what CONTEXTS declares for the kind, no more and no
    less; AssertionError otherwise, because only our own code calls.
    """
    guard.in_transaction()
    assert about, "a mail is about something"
    kind = MailKind(kind)
    key = f"{kind.value}:{about}:{to}"
    mail_id = await guard.value(WRITE, key, kind.value, to, _encoded(kind, context))
    if mail_id is None:
        return int(await guard.value("select id from mails where key = $1", key))
    await outbox.enqueue(SendMail(mail_id=mail_id), once=f"mail:{mail_id}")
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
    """The mail as it is to be sent, or None when it has been. A refused one may be tried again by an admin."""
    guard.in_transaction()
    fields = dict(await guard.only(BEGIN_SENDING, mail_id))
    if fields.pop("status") == "sent":
        return None
    kind = MailKind(fields.pop("kind"))
    # Unknown keys of an older row are passed over: what a kind says may shrink while its mails wait.
    context = msgspec.json.decode(fields.pop("context"), type=CONTEXTS[kind])
    return Outgoing(kind=kind, context=context, **fields)


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
