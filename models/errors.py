"""Every way in which the domain says no, and what a provider can do to us.

    DomainError                 a rule said no; `code` is for programs, the message carries the numbers
    ├── Invalid                 what was asked makes no sense, whoever asks
    ├── Unauthenticated         we do not know who asks
    ├── NotAllowed              we know, and this one may not
    ├── NotFound                not there, or not visible to the caller: the two look alike
    ├── WrongState              right caller, wrong moment
    ├── PaymentDeclined         the caller's bank said no
    └── Throttled               too often in too short a time; says when to come back
    GatewayError
    ├── Unreachable             no answer, or "later": worth repeating with the same key
    └── Refused                 an answer, and it is no: never repeated
    LeaseLost                   somebody else works this job now; whatever was done is rolled back

No HTTP here: `api/problems.py` alone knows statuses. docs/errors.md lists every code.
"""

from typing import ClassVar


class DomainError(Exception):
    """A rule said no."""

    code: ClassVar[str] = "domain_error"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class Invalid(DomainError):
    """What was asked makes no sense, whoever asks."""

    code = "invalid"


class Unauthenticated(DomainError):
    """We do not know who asks."""

    code = "unauthenticated"


class NotAllowed(DomainError):
    """We know who asks, and this one may not."""

    code = "not_allowed"


class NotFound(DomainError):
    """Not there, or not visible to the caller."""

    code = "not_found"


class WrongState(DomainError):
    """Right caller, wrong moment."""

    code = "wrong_state"


class PaymentDeclined(DomainError):
    """The caller's bank said no."""

    code = "card_declined"

    def __init__(self, detail: str, *, decline_code: str | None = None) -> None:
        super().__init__(detail)
        self.decline_code = decline_code


class Throttled(DomainError):
    """Too many attempts in too short a time; Retry-After says when the next one is looked at."""

    code = "throttled"

    def __init__(self, detail: str, *, retry_after_s: float) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


# Invalid


class CurrencyUnsupported(Invalid):
    """The currency is not one we take."""

    code = "currency_unsupported"


class AmountTooPrecise(Invalid):
    """The amount is finer than the currency's smallest unit."""

    code = "amount_too_precise"


class AmountOutOfBounds(Invalid):
    """The amount is not positive, or more than a card can be charged."""

    code = "amount_out_of_bounds"


class MilestonesMismatch(Invalid):
    """The milestones of a proposal do not add up to its bid."""

    code = "milestones_mismatch"


class PasswordTooWeak(Invalid):
    """The password lacks a class of characters or is on every attacker's list."""

    code = "password_too_weak"


class LinkInvalid(Invalid):
    """A mailed link that is forged, expired or used."""

    code = "link_invalid"


class PasswordWrong(Invalid):
    """The present password, asked for once more, is not the one that was given."""

    code = "password_wrong"


class CodeWrong(Invalid):
    """A code of a signed-in caller that is wrong, used before or too old; we do not say which."""

    code = "code_wrong"


class ChannelUnavailable(Invalid):
    """This service has no account with a provider that could carry it: no text message can be sent."""

    code = "channel_unavailable"


class IdempotencyKeyReused(Invalid):
    """This Idempotency-Key came before with another request."""

    code = "idempotency_key_reused"


class IdempotencyUnsupported(Invalid):
    """The call makes secrets, which are stored nowhere, so it cannot be repeated by an Idempotency-Key."""

    code = "idempotency_unsupported"


class PaymentMethodMissing(Invalid):
    """A card payment names no payment method."""

    code = "payment_method_missing"


class UploadRefused(Invalid):
    """A file that its purpose does not take: too large, of a type we do not show, or named dangerously."""

    code = "upload_refused"


class UploadNotReady(Invalid):
    """A file that is named here is not the caller's, is for something else, or was not found good (yet)."""

    code = "upload_not_ready"


class CallbackRefused(Invalid):
    """A provider callback that is unsigned, too old, of the other mode or no event."""

    code = "callback_refused"


# Unauthenticated


class CredentialsWrong(Unauthenticated):
    """Address or password wrong; we do not say which."""

    code = "credentials_wrong"


class SecondFactorWrong(Unauthenticated):
    """The second proof of a sign-in is wrong, used before or too old; we do not say which."""

    code = "second_factor_wrong"


class TokenInvalid(Unauthenticated):
    """A token that is missing, forged, expired, of the wrong type or of a session that has ended."""

    code = "token_invalid"


# NotAllowed


class EmailUnverified(NotAllowed):
    """The account has not followed its verification link yet."""

    code = "email_unverified"


class StepUpRequired(NotAllowed):
    """The second factor must be proved anew: POST /api/security/mfa/verify, at most five minutes before this."""

    code = "step_up_required"


class SecondFactorRequired(NotAllowed):
    """Admins work with a second factor only; this session was opened without one."""

    code = "second_factor_required"


class WriterBlocked(NotAllowed):
    """One of the two does not want to be written to by the other."""

    code = "writer_blocked"


class AccountSuspended(NotAllowed):
    """An admin has suspended this account."""

    code = "account_suspended"


class RoleNotAllowed(NotAllowed):
    """Another role's business."""

    code = "role_not_allowed"


# WrongState


class EmailTaken(WrongState):
    """Another account has this address."""

    code = "email_taken"


class FactorExists(WrongState):
    """There is a factor of this kind already, or none that this could be done to."""

    code = "factor_exists"


class AccountInUse(WrongState):
    """The account has work or money under way, so it can neither be deactivated nor erased yet."""

    code = "account_in_use"


class IdempotencyInProgress(WrongState):
    """The first request with this Idempotency-Key has not been answered yet."""

    code = "idempotency_in_progress"


class ProposalExists(WrongState):
    """One proposal per freelancer and project."""

    code = "proposal_exists"


class OwnProject(NotAllowed):
    """Nobody hires themselves."""

    code = "own_project"


class PayoutsNotReady(WrongState):
    """The freelancer has no account yet that money can be sent to."""

    code = "payouts_not_ready"


class HoursOverlap(WrongState):
    """A freelancer works at one thing at a time: these hours are written down already."""

    code = "hours_overlap"


class WeeklyCapExceeded(WrongState):
    """More hours than the contract takes in a week."""

    code = "weekly_cap_exceeded"


class ReviewExists(WrongState):
    """Each party reviews a contract once."""

    code = "review_exists"


class InvitationExists(WrongState):
    """This freelancer was invited to this project already."""

    code = "invitation_exists"


class StorageUnavailable(WrongState):
    """This service has no storage for files: nothing can be uploaded."""

    code = "storage_unavailable"


class EscrowUnderfunded(WrongState):
    """Escrow holds less than the movement needs."""

    code = "escrow_underfunded"


class GatewayError(Exception):
    """A provider did not do what we asked."""


class Unreachable(GatewayError):
    """No answer, or "later". The effect may have happened: repeat with the same key."""

    def __init__(self, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Refused(GatewayError):
    """The provider said no, and will say so again."""

    def __init__(self, detail: str, *, code: str, decline_code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.decline_code = decline_code


class LeaseLost(Exception):
    """The job is no longer this worker's: it was given back, finished or cancelled meanwhile."""
