"""Connected accounts: who is paid, and the onboarding that makes an account able to receive."""

from sandbox.stripe import events
from sandbox.stripe.call import PAGING, Call, Route, route
from sandbox.stripe.state import PLATFORM
from sandbox.stripe.wire import Object, Params, as_list, invalid, missing_resource, new_id, refused

LINK_S = 300
"""An account link opens for a few minutes only, as Stripe's does."""
LINK_KINDS = ("account_onboarding", "account_update")
CAPABILITIES = frozenset({"card_payments", "transfers"})

_OUTSTANDING = ["business_profile.url", "external_account", "individual.dob.day", "individual.first_name",
                "individual.last_name", "tos_acceptance.date"]  # fmt: skip


def _requirements(outstanding: list[str], disabled_reason: str | None) -> Object:
    return {
        "alternatives": [],
        "current_deadline": None,
        "currently_due": outstanding,
        "disabled_reason": disabled_reason,
        "errors": [],
        "eventually_due": outstanding,
        "past_due": outstanding,
        "pending_verification": [],
    }


def _controller(kind: str, given: Params | None) -> Object:
    """Who answers for what: spelled out by the request, or what the account's type stands for."""
    owned = kind == "standard"
    controller: Object = {
        "fees": {"payer": "account" if owned else "application_express" if kind == "express" else "application"},
        "is_controller": True,
        "losses": {"payments": "stripe" if owned else "application"},
        "requirement_collection": "application" if kind == "custom" else "stripe",
        "stripe_dashboard": {"type": {"standard": "full", "express": "express"}.get(kind, "none")},
        "type": "application",
    }
    if given is not None:
        given.refuse_unknown(frozenset({"fees", "losses", "requirement_collection", "stripe_dashboard"}))
        controller |= given.values
    return controller


def _requested(params: Params) -> Object:
    """The capabilities asked for, not yet active. Without any, the two that Stripe asks for by itself."""
    capabilities = params.inner("capabilities")
    if capabilities is None:
        return dict.fromkeys(sorted(CAPABILITIES), "inactive")
    unknown = sorted(set(capabilities.values) - CAPABILITIES)
    if unknown:
        raise invalid(f"The sandbox does not know the capability '{unknown[0]}'.", capabilities.label(unknown[0]))
    asked = {}
    for name in capabilities.values:
        inner = capabilities.inner(name)
        if inner is not None and inner.flag("requested"):
            asked[name] = "inactive"
    return asked


def create(call: Call) -> Object:
    """A connected account that has yet to be onboarded."""
    params = call.params
    kind = params.one_of("type", "express", "standard", "custom")
    controller = params.inner("controller")
    if kind is not None and controller is not None:
        raise invalid("You may only specify one of these parameters: type, controller.", "type")
    country = params.text("country") or "US"
    account: Object = {
        "id": new_id("acct")[:21],
        "object": "account",
        "business_profile": None,
        "business_type": params.text("business_type"),
        "capabilities": _requested(params),
        "charges_enabled": False,
        "controller": _controller(kind or "none", controller),
        "country": country,
        "created": call.now,
        "default_currency": params.text("default_currency") or {"US": "usd", "GB": "gbp"}.get(country, "eur"),
        "details_submitted": False,
        "email": params.text("email"),
        "external_accounts": {},
        "future_requirements": _requirements([], None),
        "metadata": params.metadata(),
        "payouts_enabled": False,
        "requirements": _requirements(_OUTSTANDING, "requirements.past_due"),
        "settings": {"payouts": {"schedule": {"delay_days": 2, "interval": "daily"}}},
        "tos_acceptance": {"date": None, "ip": None, "user_agent": None},
        "type": kind or "none",
    }
    account["external_accounts"] = as_list([], f"/v1/accounts/{account['id']}/external_accounts")
    _read_hashes(params, account)
    return call.store.add(account, PLATFORM)


def _read_hashes(params: Params, account: Object) -> None:
    for name in ("business_profile", "settings"):
        inner = params.inner(name)
        if inner is not None:
            account[name] = {**(account[name] or {}), **inner.values}


def named_account(call: Call, account_id: str) -> Object:
    """The connected account of that id. Raises `account_invalid` (403), as Stripe does for somebody else's account."""
    account = call.store.find(account_id, PLATFORM, "account")
    if account is None:
        raise refused_account(account_id)
    return account


def refused_account(account_id: str) -> Exception:
    """The 403 for an account this platform does not have."""
    failure = refused(
        f"The provided key does not have access to account '{account_id}' (or that account does not exist). "
        "Application access may have been revoked.",
        "account_invalid",
    )
    failure.status, failure.executed = 403, False
    return failure


def retrieve(call: Call) -> Object:
    """One connected account."""
    return named_account(call, call.ids[0])


def update(call: Call) -> Object:
    """Change what the request names."""
    account = named_account(call, call.ids[0])
    for name in ("email", "business_type", "default_currency"):
        if name in call.params:
            account[name] = call.params.text(name)
    _read_hashes(call.params, account)
    if "capabilities" in call.params:
        state = "active" if account["details_submitted"] else "inactive"
        account["capabilities"] |= dict.fromkeys(_requested(call.params), state)
    account["metadata"] = call.params.metadata(account["metadata"])
    return _save_changed(call, account)


def _save_changed(call: Call, account: Object) -> Object:
    call.store.save(account)
    events.record(call, "account.updated", account, owner=account["id"])
    return account


def list_accounts(call: Call) -> Object:
    """The platform's connected accounts, newest first."""
    return call.page("account", "/v1/accounts")


def create_link(call: Call) -> Object:
    """A link to the onboarding pages, for one use within minutes."""
    account_id = call.params.required_text("account")
    call.params.required_text("type")
    kind = call.params.one_of("type", *LINK_KINDS)
    refresh_url, return_url = call.params.required_text("refresh_url"), call.params.required_text("return_url")
    account = call.store.find(account_id, PLATFORM, "account")
    if account is None:
        raise missing_resource("account", account_id, "account")
    expires_at = call.now + LINK_S
    token = new_id("link")
    kept: Object = {
        "id": token,
        "object": "account_link",
        "account": account_id,
        "created": call.now,
        "expires_at": expires_at,
        "kind": kind,
        "refresh_url": refresh_url,
        "return_url": return_url,
        "used": False,
    }
    call.store.add(kept, PLATFORM)
    return {
        "object": "account_link",
        "created": call.now,
        "expires_at": expires_at,
        "url": f"{call.base_url}/_sandbox/onboarding/{token}",
    }


def complete_onboarding(call: Call, account: Object) -> Object:
    """All is submitted and verified: the account can be paid, and pays out. Makes Stripe's events."""
    if account["details_submitted"]:
        return account
    account |= {
        "details_submitted": True,
        "charges_enabled": "card_payments" in account["capabilities"],
        "payouts_enabled": True,
        "capabilities": dict.fromkeys(account["capabilities"], "active"),
        "requirements": _requirements([], None),
        "tos_acceptance": {"date": call.now, "ip": "127.0.0.1", "user_agent": None},
    }
    account["external_accounts"]["data"] = [
        {
            "id": new_id("ba"),
            "object": "bank_account",
            "account": account["id"],
            "bank_name": "STRIPE TEST BANK",
            "country": account["country"],
            "currency": account["default_currency"],
            "default_for_currency": True,
            "last4": "6789",
            "status": "new",
        }
    ]
    return _save_changed(call, account)


def restrict(call: Call, account: Object) -> Object:
    """Stripe asks for more papers: nothing can be transferred or paid out until onboarding is completed again."""
    account |= {
        "details_submitted": False,
        "charges_enabled": False,
        "payouts_enabled": False,
        "capabilities": dict.fromkeys(account["capabilities"], "inactive"),
        "requirements": _requirements(["individual.verification.document"], "requirements.past_due"),
    }
    return _save_changed(call, account)


_FIELDS = "email business_type business_profile capabilities default_currency metadata settings"
ROUTES: tuple[Route, ...] = (
    route("POST", "/v1/accounts", create, f"type controller country {_FIELDS}"),
    route("GET", "/v1/accounts", list_accounts, " ".join(PAGING)),
    route("GET", "/v1/accounts/{id}", retrieve),
    route("POST", "/v1/accounts/{id}", update, _FIELDS),
    route("POST", "/v1/account_links", create_link, "account type refresh_url return_url collection_options"),
)
