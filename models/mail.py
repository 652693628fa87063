"""Mails as rows: written with the change that causes them, sent by a job, once.

Refuses a context that is not the one its kind declares, so that a template never meets a hole. Holds no secret: the
token of a mailed link is derived when the mail is rendered.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Literal

import msgspec
from piccolo.columns import JSONB, BigSerial, LazyTableReference, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models import guard, outbox, preferences
from models.base import Record, restricted
from models.jobs import SendMail
from models.preferences import Category


class MailKind(StrEnum):
    """What a mail is about; its templates have this name."""

    WELCOME_EMAIL = "welcome_email"
    EMAIL_VERIFICATION = "email_verification"
    PASSWORD_RESET_REQUEST = "password_reset_request"  # noqa: S105  a name
    PASSWORD_RESET_SUCCESS = "password_reset_success"  # noqa: S105  likewise
    TWO_FA_ENABLED = "2fa_enabled"
    TWO_FA_DISABLED = "2fa_disabled"
    ACCOUNT_DEACTIVATED = "account_deactivated"
    NEW_SIGN_IN = "new_sign_in"
    SECURITY_CODE = "security_code"
    EMAIL_CHANGE = "email_change"
    EMAIL_CHANGED = "email_changed"
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


class PasswordResetRequest(Context, frozen=True):
    """To whoever says they forgot; the link is good for an hour. `about` carries a moment."""


class PasswordResetSuccess(Context, frozen=True):
    """To the account's address after a reset or a change; `how` chooses the words."""

    how: Literal["reset", "changed"]


class TwoFaEnabled(Context, frozen=True):
    """When a factor began to protect the account."""

    method: Literal["totp", "sms", "email", "webauthn"]


class TwoFaDisabled(Context, frozen=True):
    """When a factor was taken away; `factors_left` says what still protects the account."""

    method: Literal["totp", "sms", "email", "webauthn"]
    factors_left: int


class AccountDeactivated(Context, frozen=True):
    """Goodbye, and how to come back."""


class NewSignIn(Context, frozen=True):
    """A sign-in from a device, network or country that this account has not been used from."""

    at: datetime
    ip_address: str
    device: str
    place: str
    """City and country, or empty where no map knows it."""


class SecurityCode(Context, frozen=True):
    """The code itself is derived from `code_id` when the mail is rendered."""

    code_id: int
    purpose: Literal["sign_in", "enrol", "step_up"]


class EmailChange(Context, frozen=True):
    """To the new address, which becomes the account's when its link is used."""


class EmailChanged(Context, frozen=True):
    """To the old address: it is no longer the account's, and what to do if that was somebody else."""

    new_address_hint: str


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
    MailKind.PASSWORD_RESET_REQUEST: PasswordResetRequest,
    MailKind.PASSWORD_RESET_SUCCESS: PasswordResetSuccess,
    MailKind.TWO_FA_ENABLED: TwoFaEnabled,
    MailKind.TWO_FA_DISABLED: TwoFaDisabled,
    MailKind.ACCOUNT_DEACTIVATED: AccountDeactivated,
    MailKind.NEW_SIGN_IN: NewSignIn,
    MailKind.SECURITY_CODE: SecurityCode,
    MailKind.EMAIL_CHANGE: EmailChange,
    MailKind.EMAIL_CHANGED: EmailChanged,
    MailKind.PROJECT_CREATED: ProjectCreated,
    MailKind.PROPOSAL_RECEIVED: ProposalReceived,
    MailKind.PROPOSAL_ACCEPTED: ProposalAccepted,
    MailKind.CONTRACT_CREATED: ContractCreated,
    MailKind.MILESTONE_COMPLETED: MilestoneCompleted,
    MailKind.PAYMENT_RECEIVED: PaymentReceived,
    MailKind.PAYMENT_SENT: PaymentSent,
}
"""The context that each kind declares; a house test holds the templates to it."""

CATEGORIES: Final[dict[MailKind, Category]] = {
    **dict.fromkeys(MailKind, Category.SECURITY),
    MailKind.PROJECT_CREATED: Category.PROJECTS,
    MailKind.PROPOSAL_RECEIVED: Category.PROPOSALS,
    MailKind.PROPOSAL_ACCEPTED: Category.PROPOSALS,
    MailKind.CONTRACT_CREATED: Category.CONTRACTS,
    MailKind.MILESTONE_COMPLETED: Category.CONTRACTS,
    MailKind.PAYMENT_RECEIVED: Category.PAYMENTS,
    MailKind.PAYMENT_SENT: Category.PAYMENTS,
}
"""What each kind is news of; whatever is about the account itself is security, which nobody can refuse."""

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
insert into mails (key, kind, "user", context, address, status, created_at)
values ($1, $2, $3, $4::text::jsonb, $5, 'queued', now())
on conflict (key) do nothing returning id
"""

BEGIN_SENDING: Final = """
select m.id as mail_id, m.kind, u.id as user_id, coalesce(m.address, u.email) as address, u.first_name,
       u.last_name, u.role, m.context::text as context, m.created_at, m.status, k.created_at as code_sent_at,
       m.kind <> 'security_code' or (k.id is not null and k.used_at is null) as needed,
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
    mail_id = await guard.value(WRITE, key, kind.value, to, _encoded(kind, context), address)
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
