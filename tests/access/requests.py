"""A well-formed request with real ids for every route: what the table's statuses are answers to.

The same for every role, so that nothing but who asks decides. `Prefer: respond-async` goes with all of them.
"""

import json
import time
from typing import Any, Final

from tests.access import areas
from tests.access.asking import Asked, Asking, at, nothing, says
from tests.access.who import Who
from tests.access.world import PASSWORD, World
from tests.enrolled import code_at
from tests.stripe_sandbox import signature
from wire.tokens import Purpose, Tokens

OTHER_PASSWORD: Final = "AnotherPass456?"


def _login(world: World, _: Tokens) -> Asked:
    return Asked(body={"email": world.people[Who.STRANGER].email, "password": PASSWORD})


def _knows(**body: Any) -> Asking:
    """A route that asks for the password once more."""
    return says(password=PASSWORD, **body)


def _guarded(name: str, **body: Any) -> Asking:
    """The second half of a sign-in: the ticket of this name."""
    return lambda world, tokens: Asked(body={"mfa_token": tokens.issue_ticket(world.tickets[name]), **body})


def _refresh(world: World, tokens: Tokens) -> Asked:
    spare = world.spare_session
    return Asked(body={"refresh_token": tokens.issue_refresh(spare.session_id, spare.generation)})


def _reset_link(world: World, tokens: Tokens) -> str:
    return tokens.link_token(Purpose.PASSWORD_RESET, *world.reset)


def _verify(world: World, tokens: Tokens) -> Asked:
    return Asked(body={"token": tokens.link_token(Purpose.EMAIL_VERIFICATION, *world.verification)})


def _second_proof(world: World, tokens: Tokens) -> Asked:
    return _guarded("code", code=code_at(world.guarded.seed))(world, tokens)


def _passkey_sign_in(world: World, tokens: Tokens) -> Asked:
    return _guarded("passkey", credential=world.sign_in.signed())(world, tokens)


def _callback(_: World, __: Tokens) -> Asked:
    event = {"id": "evt_world", "type": "account.updated", "livemode": False, "data": {"object": {}}}
    said = signature(json.dumps(event).encode(), at=time.time())
    return Asked(body=event, headers={"Stripe-Signature": said})


PROJECT: Final = {
    "title": "A shop",
    "description": "Sell bicycles.",
    "category": "web",
    "budget_min": 100,
    "budget_max": 200,
    "currency": "USD",
}
OFFER: Final = {"cover_letter": "I have done it before.", "bid_amount": 150, "currency": "USD", "delivery_days": 7}
REGISTRATION: Final = {
    "email": "somebody.new@example.com",
    "password": PASSWORD,
    "first_name": "Nora",
    "last_name": "New",
    "user_type": "client",
}

REQUESTS: Final[dict[str, Asking]] = {
    "POST /api/auth/register": says(**REGISTRATION),
    "POST /api/auth/login": _login,
    "POST /api/auth/refresh": _refresh,
    "PATCH /api/auth/me": says(first_name="Other"),
    "POST /api/auth/verify-email": _verify,
    "POST /api/auth/forgot-password": lambda world, _: Asked(body={"email": world.people[Who.STRANGER].email}),
    "POST /api/auth/validate-reset-token": lambda world, tokens: Asked(body={"token": _reset_link(world, tokens)}),
    "POST /api/auth/reset-password": lambda world, tokens: Asked(
        body={"token": _reset_link(world, tokens), "new_password": OTHER_PASSWORD}
    ),
    "POST /api/auth/change-password": says(current_password=PASSWORD, new_password=OTHER_PASSWORD),
    "POST /api/auth/change-email": _knows(new_email="moved@example.com"),
    "POST /api/auth/2fa/verify": _second_proof,
    "POST /api/auth/2fa/send": _guarded("begun", method="email"),
    "POST /api/auth/2fa/confirm": lambda world, _: Asked(body={"code": code_at(world.enrolling_seed)}),
    "POST /api/auth/2fa/disable": lambda world, _: Asked(body={"password": PASSWORD, "code": world.factors.codes[0]}),
    "POST /api/security/mfa/setup": says(method="email", contact="third@example.net"),
    "POST /api/security/mfa/verify": lambda world, _: Asked(
        body={"method": "totp", "code": code_at(world.factors.seed)}
    ),
    "POST /api/security/mfa/send": says(method="email"),
    "DELETE /api/security/mfa/methods/{factor_id}": lambda world, _: Asked({"factor_id": str(world.factors.mailed)}),
    "POST /api/security/webauthn/register/finish": lambda world, _: Asked(
        body={"credential": world.new_passkey, "name": "Key"}
    ),
    "POST /api/security/webauthn/login/begin": _guarded("begun"),
    "POST /api/security/webauthn/login/finish": _passkey_sign_in,
    "POST /api/security/webauthn/verify/finish": lambda world, _: Asked(body={"credential": world.step_up.signed()}),
    "POST /api/security/assess-risk": lambda world, _: Asked(
        body={"user_id": world.owner, "ip_address": "203.0.113.7", "user_agent": "Firefox/130.0"}
    ),
    "DELETE /api/security/sessions/{session_id}": at(session_id="other_session"),
    "PATCH /api/users/me": says(headline="Bicycles", country="DE"),
    "GET /api/users/{user_id}": at(user_id="other_party"),
    "POST /api/users/me/deactivate": _knows(),
    "GET /api/users/me/exports/{export_id}": at(export_id="export"),
    "DELETE /api/users/me": _knows(),
    "PUT /api/users/me/notification-preferences": says(categories={"reviews": {"email": False}}),
    "POST /api/users/{user_id}/suspend": lambda world, _: Asked(
        {"user_id": str(world.bystander)}, body={"reason": "A test."}
    ),
    "POST /api/users/{user_id}/restore": at(user_id="shut_out"),
    "POST /api/users/{user_id}/revoke-sessions": at(user_id="bystander"),
    "GET /api/jobs/{job_id}": at(job_id="job"),
    "POST /api/projects": says(**PROJECT),
    "GET /api/projects/{project_id}": at(project_id="draft"),
    "POST /api/projects/{project_id}/publish": at(project_id="draft"),
    "POST /api/proposals": lambda world, _: Asked(body={"project_id": world.open_project, **OFFER}),
    "GET /api/proposals": lambda world, _: Asked(query={"project_id": world.open_project}),
    "GET /api/proposals/{proposal_id}": at(proposal_id="proposal"),
    "POST /api/proposals/{proposal_id}/accept": at(proposal_id="proposal"),
    "GET /api/contracts/{contract_id}": at(contract_id="contract"),
    "POST /api/contracts/{contract_id}/sign": at(contract_id="unsigned"),
    "POST /api/milestones": lambda world, _: Asked(
        body={"contract_id": world.contract, "title": "One more", "amount": 10}
    ),
    "GET /api/milestones": lambda world, _: Asked(query={"contract_id": world.contract}),
    "GET /api/milestones/{milestone_id}": at(milestone_id="pending"),
    "POST /api/milestones/{milestone_id}/fund": lambda world, _: Asked(
        {"milestone_id": world.pending}, body={"payment_method_id": "pm_card_visa"}
    ),
    "POST /api/milestones/{milestone_id}/submit": lambda world, _: Asked(
        {"milestone_id": world.funded}, body={"note": "Done."}
    ),
    "POST /api/milestones/{milestone_id}/approve": at(milestone_id="submitted"),
    "POST /api/notifications/{notification_id}/read": at(notification_id="notification"),
    "POST /api/stripe/webhooks": _callback,
    "GET /api/admin/jobs/{job_id}": at(job_id="job"),
    "POST /api/admin/jobs/retry": says(kind="mail.send_mail"),
    "POST /api/admin/jobs/{job_id}/retry": at(job_id="dead_job"),
    "POST /api/admin/jobs/{job_id}/cancel": at(job_id="queued_job"),
    "POST /api/admin/jobs/{job_id}/discard": at(job_id="hopeless_job"),
    "POST /api/admin/queues/{name}/pause": lambda _, __: Asked({"name": "bulk"}, body={"reason": "A test."}),
    "POST /api/admin/queues/{name}/resume": lambda _, __: Asked({"name": "bulk"}),
    **{route: asking for area in areas.ALL for route, asking in area.REQUESTS.items()},
}
"""A route that is not here needs nothing but its path."""


def request_for(route: str, world: World, tokens: Tokens) -> Asked:
    """The request that the table's line is about."""
    return REQUESTS.get(route, nothing)(world, tokens)
