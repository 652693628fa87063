"""Transfers: the platform's money to a connected account, and back by a reversal, never more than there is."""

from sandbox.stripe import balance, events
from sandbox.stripe.call import PAGING, Call, Route, route
from sandbox.stripe.money import read_currency, written
from sandbox.stripe.state import PLATFORM
from sandbox.stripe.wire import Object, as_list, missing_resource, new_id, refused


def _destination(call: Call) -> Object:
    account_id = call.params.required_text("destination")
    account = call.store.find(account_id, PLATFORM, "account")
    if account is None:
        raise missing_resource("account", account_id, "destination")
    if account["capabilities"].get("transfers") != "active":
        raise refused(
            "Your destination account needs to have at least one of the following capabilities enabled: transfers, "
            "crypto_transfers, legacy_payments",
            "insufficient_capabilities_for_transfer",
            "destination",
        )
    return account


def _check_source(call: Call, charge: Object, amount_minor: int, currency: str) -> None:
    """A transfer from a charge may go ahead of settlement, but all of a charge's transfers stay within its amount."""
    if not charge["captured"]:
        raise refused(
            f"The charge {charge['id']} is not captured: it cannot be the source of a transfer.",
            param="source_transaction",
        )
    if charge["currency"] != currency:
        raise refused(
            f"The currency of source_transaction's balance transaction ({charge['currency']}) must be the same as the "
            f"transfer currency ({currency})",
            param="currency",
        )
    earlier = call.store.select("transfer", call.owner, {"source_transaction": charge["id"]})
    used_minor = sum(transfer["amount"] - transfer["amount_reversed"] for transfer in earlier)
    left_minor = charge["amount_captured"] - used_minor
    if amount_minor > left_minor:
        raise refused(
            f"The transfers of source_transaction {charge['id']} cannot exceed its amount: "
            f"{written(left_minor, currency)} are left, {written(amount_minor, currency)} were asked for.",
            "balance_insufficient",
            "amount",
        )


def _check_balance(call: Call, owner: str, amount_minor: int, currency: str, *, pending_too: bool = False) -> None:
    available, pending = balance.sums(call, owner).get(currency, (0, 0))
    there_minor = available + pending if pending_too else available
    if amount_minor > there_minor:
        raise refused(
            "You have insufficient available funds in your Stripe account. Try adding funds directly to your "
            "available balance by creating Charges using the 4000000000000077 test card. "
            f"(Available: {written(there_minor, currency)}; asked for: {written(amount_minor, currency)}.)",
            "balance_insufficient",
            "amount",
        )


def create(call: Call) -> Object:
    """Move money to a connected account: out of the available balance, or out of one charge."""
    call.params.required_text("amount")
    amount_minor = call.params.positive("amount")
    assert amount_minor is not None
    currency = read_currency(call.params)
    call.params.required_text("destination")
    charge = call.given("charge", "source_transaction")
    account = _destination(call)
    if charge is None:
        _check_balance(call, PLATFORM, amount_minor, currency)
        available_on = call.now
    else:
        _check_source(call, charge, amount_minor, currency)
        available_on = call.referred("balance_transaction", charge["balance_transaction"])["available_on"]
    transfer: Object = {
        "id": new_id("tr"),
        "object": "transfer",
        "amount": amount_minor,
        "amount_reversed": 0,
        "balance_transaction": None,
        "created": call.now,
        "currency": currency,
        "description": call.params.text("description"),
        "destination": account["id"],
        "destination_payment": new_id("py"),
        "livemode": False,
        "metadata": call.params.metadata(),
        "reversals": {},
        "reversed": False,
        "source_transaction": charge and charge["id"],
        "source_type": "card",
        "transfer_group": call.params.text("transfer_group") or (charge and charge["transfer_group"]),
    }
    transfer["reversals"] = as_list([], f"/v1/transfers/{transfer['id']}/reversals")
    entry = balance.post(
        call, "transfer", -amount_minor, currency, transfer["id"], available_on=available_on, owner=PLATFORM
    )
    balance.post(
        call,
        "payment",
        amount_minor,
        currency,
        transfer["destination_payment"],
        available_on=available_on,
        owner=account["id"],
        category="charge",
    )
    transfer["balance_transaction"] = entry["id"]
    call.store.add(transfer, call.owner)
    events.record(call, "transfer.created", transfer)
    return transfer


def retrieve(call: Call) -> Object:
    """One transfer."""
    return call.named("transfer")


def update(call: Call) -> Object:
    """Change a transfer's words."""
    transfer = call.named("transfer")
    if "description" in call.params:
        transfer["description"] = call.params.text("description")
    transfer["metadata"] = call.params.metadata(transfer["metadata"])
    call.store.save(transfer)
    events.record(call, "transfer.updated", transfer)
    return transfer


def list_transfers(call: Call) -> Object:
    """Transfers, newest first, by destination or group when asked."""
    names = ("destination", "transfer_group")
    where = {name: value for name in names if (value := call.params.text(name)) is not None}
    return call.page("transfer", "/v1/transfers", where)


def reverse(call: Call) -> Object:
    """Take a transfer back, whole or in part, as far as the connected account's balance goes."""
    transfer = call.named("transfer")
    left_minor = transfer["amount"] - transfer["amount_reversed"]
    wanted_minor = call.params.positive("amount")
    currency = transfer["currency"]
    if left_minor == 0:
        raise refused(f"Transfer {transfer['id']} is already fully reversed.", param="id")
    amount_minor = left_minor if wanted_minor is None else wanted_minor
    if amount_minor > left_minor:
        raise refused(
            f"Reversal amount ({written(amount_minor, currency)}) is greater than unreversed amount on transfer "
            f"({written(left_minor, currency)})",
            param="amount",
        )
    _check_balance(call, transfer["destination"], amount_minor, currency, pending_too=True)
    reversal: Object = {
        "id": new_id("trr"),
        "object": "transfer_reversal",
        "amount": amount_minor,
        "balance_transaction": None,
        "created": call.now,
        "currency": currency,
        "destination_payment_refund": new_id("pyr"),
        "metadata": call.params.metadata(),
        "source_refund": None,
        "transfer": transfer["id"],
    }
    entry = balance.post(
        call, "transfer_refund", amount_minor, currency, reversal["id"], category="transfer_reversal", owner=PLATFORM
    )
    balance.post(
        call,
        "payment_refund",
        -amount_minor,
        currency,
        reversal["destination_payment_refund"],
        owner=transfer["destination"],
        category="refund",
    )
    reversal["balance_transaction"] = entry["id"]
    call.store.add(reversal, call.owner)
    transfer["amount_reversed"] += amount_minor
    transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
    transfer["reversals"]["data"].insert(0, reversal)
    call.store.save(transfer)
    events.record(call, "transfer.reversed", transfer)
    return reversal


def retrieve_reversal(call: Call) -> Object:
    """One reversal of a transfer."""
    transfer, reversal = call.named("transfer"), call.named("transfer_reversal", 1)
    if reversal["transfer"] != transfer["id"]:
        raise missing_resource("transfer_reversal", reversal["id"], status=404)
    return reversal


def list_reversals(call: Call) -> Object:
    """The reversals of a transfer, newest first."""
    transfer = call.named("transfer")
    return call.page("transfer_reversal", transfer["reversals"]["url"], {"transfer": transfer["id"]})


_PAGING = " ".join(PAGING)
_CREATE = "amount currency destination description metadata source_transaction transfer_group"
ROUTES: tuple[Route, ...] = (
    route("POST", "/v1/transfers", create, _CREATE),
    route("GET", "/v1/transfers", list_transfers, f"destination transfer_group {_PAGING}"),
    route("GET", "/v1/transfers/{id}", retrieve),
    route("POST", "/v1/transfers/{id}", update, "description metadata"),
    route("POST", "/v1/transfers/{id}/reversals", reverse, "amount metadata description"),
    route("GET", "/v1/transfers/{id}/reversals", list_reversals, _PAGING),
    route("GET", "/v1/transfers/{id}/reversals/{id}", retrieve_reversal),
)
