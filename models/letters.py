"""Every kind of mail, and what each of them says: its context is declared here, so that no template meets a hole."""

from datetime import date, datetime
from enum import StrEnum
from typing import Final, Literal

from models.base import Record
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
    COUNTER_OFFER_RECEIVED = "counter_offer_received"
    INVITATION_RECEIVED = "invitation_received"
    CONTRACT_CANCELLED = "contract_cancelled"
    CHANGES_REQUESTED = "changes_requested"
    APPROVAL_REMINDER = "approval_reminder"
    REFUND_REQUESTED = "refund_requested"
    REFUND_ANSWERED = "refund_answered"
    WEEK_SUBMITTED = "week_submitted"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_RESOLVED = "dispute_resolved"
    REVIEW_RECEIVED = "review_received"
    MESSAGE_RECEIVED = "message_received"
    TICKET_REPLIED = "ticket_replied"
    SAVED_SEARCH_ALERT = "saved_search_alert"


class Context(Record, frozen=True):
    """What a mail says besides its recipient's own name, role and address, which are read when it is sent.

    Names and titles are what people typed, at any length: the templates escape and shorten. Amounts are in the
    smallest unit of `currency`.
    """


class OfMilestone(Context, frozen=True):
    """Whatever is about one milestone."""

    project_title: str
    contract_id: int
    milestone_id: int
    milestone_title: str


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
    budget_type: Literal["fixed", "hourly"] = "fixed"


class ProposalAccepted(Context, frozen=True):
    """To the freelancer who was chosen."""

    project_title: str
    contract_id: int
    client_name: str
    amount_minor: int
    currency: str
    budget_type: Literal["fixed", "hourly"] = "fixed"


class ContractCreated(Context, frozen=True):
    """To each party; `other_name` is the other one."""

    project_title: str
    contract_id: int
    other_name: str
    amount_minor: int
    currency: str
    budget_type: Literal["fixed", "hourly"] = "fixed"


class MilestoneCompleted(OfMilestone, frozen=True):
    """To the client when the work is delivered and waits for approval; to the freelancer when it is paid for."""

    other_name: str
    amount_minor: int
    currency: str


class PaymentReceived(OfMilestone, frozen=True):
    """To the freelancer when a release has completed. Gross is fee plus net."""

    client_name: str
    gross_minor: int
    fee_minor: int
    net_minor: int
    currency: str


class PaymentSent(OfMilestone, frozen=True):
    """To the client when a release has completed: the money left protection for the freelancer."""

    freelancer_name: str
    amount_minor: int
    currency: str


class CounterOfferReceived(Context, frozen=True):
    """To whoever is to answer other terms."""

    project_title: str
    project_id: int
    proposal_id: int
    other_name: str
    bid_minor: int
    currency: str
    delivery_days: int
    budget_type: Literal["fixed", "hourly"] = "fixed"


class InvitationReceived(Context, frozen=True):
    """To a freelancer whom a client asks to propose."""

    project_id: int
    project_title: str
    client_name: str


class ContractCancelled(Context, frozen=True):
    """To the party who did not cancel."""

    project_title: str
    contract_id: int
    other_name: str
    reason: str


class ChangesRequested(OfMilestone, frozen=True):
    """To the freelancer, with what the client wants otherwise."""

    client_name: str
    note: str


class ApprovalReminder(OfMilestone, frozen=True):
    """To the client before silence approves; `days_left` until it does."""

    freelancer_name: str
    amount_minor: int
    currency: str
    days_left: int


class RefundRequested(OfMilestone, frozen=True):
    """To the freelancer, who has seven days to answer."""

    client_name: str
    amount_minor: int
    currency: str
    reason: str


class RefundAnswered(OfMilestone, frozen=True):
    """To the client."""

    freelancer_name: str
    amount_minor: int
    currency: str
    answer: Literal["accepted", "declined", "lapsed"]


class WeekSubmitted(Context, frozen=True):
    """To the client, who has five working days to look at the hours."""

    project_title: str
    contract_id: int
    freelancer_name: str
    monday: date
    minutes: int
    amount_minor: int
    currency: str


class DisputeOpened(OfMilestone, frozen=True):
    """To the other party, who has five working days to answer."""

    dispute_id: int
    other_name: str
    amount_minor: int
    currency: str


class DisputeResolved(OfMilestone, frozen=True):
    """To both parties; `is_final` when nobody can appeal any more."""

    dispute_id: int
    freelancer_minor: int
    client_minor: int
    currency: str
    is_final: bool


class ReviewReceived(Context, frozen=True):
    """To whom a review is about, once it is shown."""

    project_title: str
    contract_id: int
    review_id: int
    reviewer_name: str
    rating: int


class MessageReceived(Context, frozen=True):
    """To somebody who has not read a chat for a while; one mail for all of it."""

    conversation_id: int
    sender_name: str
    unread: int


class TicketReplied(Context, frozen=True):
    """To the ticket's owner."""

    ticket_id: int
    ticket_subject: str


class SavedSearchAlert(Context, frozen=True):
    """To whoever keeps a search that a new project fits; with a link that ends them."""

    search_id: int
    search_name: str
    project_id: int
    project_title: str
    budget_type: Literal["fixed", "hourly"]
    budget_min_minor: int
    budget_max_minor: int
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
    MailKind.COUNTER_OFFER_RECEIVED: CounterOfferReceived,
    MailKind.INVITATION_RECEIVED: InvitationReceived,
    MailKind.CONTRACT_CANCELLED: ContractCancelled,
    MailKind.CHANGES_REQUESTED: ChangesRequested,
    MailKind.APPROVAL_REMINDER: ApprovalReminder,
    MailKind.REFUND_REQUESTED: RefundRequested,
    MailKind.REFUND_ANSWERED: RefundAnswered,
    MailKind.WEEK_SUBMITTED: WeekSubmitted,
    MailKind.DISPUTE_OPENED: DisputeOpened,
    MailKind.DISPUTE_RESOLVED: DisputeResolved,
    MailKind.REVIEW_RECEIVED: ReviewReceived,
    MailKind.MESSAGE_RECEIVED: MessageReceived,
    MailKind.TICKET_REPLIED: TicketReplied,
    MailKind.SAVED_SEARCH_ALERT: SavedSearchAlert,
}
"""The context that each kind declares; a house test holds the templates to it."""

CATEGORIES: Final[dict[MailKind, Category]] = {
    **dict.fromkeys(MailKind, Category.SECURITY),
    **dict.fromkeys((MailKind.PROJECT_CREATED, MailKind.INVITATION_RECEIVED), Category.PROJECTS),
    **dict.fromkeys((MailKind.PROPOSAL_RECEIVED, MailKind.PROPOSAL_ACCEPTED, MailKind.COUNTER_OFFER_RECEIVED),
        Category.PROPOSALS),
    **dict.fromkeys((MailKind.CONTRACT_CREATED, MailKind.MILESTONE_COMPLETED, MailKind.CONTRACT_CANCELLED,
        MailKind.CHANGES_REQUESTED, MailKind.APPROVAL_REMINDER, MailKind.WEEK_SUBMITTED), Category.CONTRACTS),
    **dict.fromkeys((MailKind.PAYMENT_RECEIVED, MailKind.PAYMENT_SENT, MailKind.REFUND_REQUESTED,
        MailKind.REFUND_ANSWERED), Category.PAYMENTS),
    **dict.fromkeys((MailKind.DISPUTE_OPENED, MailKind.DISPUTE_RESOLVED), Category.DISPUTES),
    MailKind.REVIEW_RECEIVED: Category.REVIEWS,
    MailKind.MESSAGE_RECEIVED: Category.MESSAGES,
    MailKind.TICKET_REPLIED: Category.SUPPORT,
    MailKind.SAVED_SEARCH_ALERT: Category.SEARCHES,
}  # fmt: skip
"""What each kind is news of; whatever is about the account itself is security, which nobody can refuse."""
