"""Balance transactions and the balances they sum to: money becomes available only when Stripe would pay it out."""

from sandbox.stripe.call import PAGING, Call, Route, route
from sandbox.stripe.wire import Object, new_id

SETTLEMENT_S = 2 * 86_400
"""A card payment becomes available after two days, Stripe's usual delay in the USA."""


def post(
    call: Call,
    kind: str,
    amount_minor: int,
    currency: str,
    source: str,
    *,
    fee_minor: int = 0,
    available_on: int | None = None,
    owner: str | None = None,
    category: str | None = None,
) -> Object:
    """Move a balance: a positive amount comes in, a negative one goes out; the fee is taken from it."""
    details = [
        {"amount": fee_minor, "application": None, "currency": currency, "type": "stripe_fee",
         "description": "Stripe processing fees"}
    ]  # fmt: skip
    entry: Object = {
        "id": new_id("txn"),
        "object": "balance_transaction",
        "amount": amount_minor,
        "available_on": call.now if available_on is None else available_on,
        "balance_type": "payments",
        "created": call.now,
        "currency": currency,
        "description": None,
        "exchange_rate": None,
        "fee": fee_minor,
        "fee_details": details if fee_minor else [],
        "net": amount_minor - fee_minor,
        "reporting_category": category or kind,
        "source": source,
        "status": "pending",
        "type": kind,
    }
    return call.store.add(entry, call.owner if owner is None else owner)


def with_present_status(document: Object, now: int) -> Object:
    """A balance transaction says `available` once its day has come; anything else is left as it is."""
    if document.get("object") == "balance_transaction":
        status = "available" if document["available_on"] <= now else "pending"
        return {**document, "status": status}
    return document


def sums(call: Call, owner: str) -> dict[str, tuple[int, int]]:
    """For each currency what is available and what is pending, in minor units."""
    rows = call.store.rows(
        """SELECT json_extract(body, '$.currency') AS currency,
                  sum(CASE WHEN json_extract(body, '$.available_on') <= ?1 THEN json_extract(body, '$.net') ELSE 0 END)
                      AS available,
                  sum(CASE WHEN json_extract(body, '$.available_on') > ?1 THEN json_extract(body, '$.net') ELSE 0 END)
                      AS pending
           FROM object WHERE kind = 'balance_transaction' AND owner = ?2 GROUP BY 1""",
        call.now,
        owner,
    )
    return {row["currency"]: (row["available"], row["pending"]) for row in rows}


def retrieve_balance(call: Call) -> Object:
    """The caller's balance, or that of the connected account it names."""
    totals = sums(call, call.owner) or {"usd": (0, 0)}

    def part(index: int) -> list[Object]:
        return [
            {"amount": pair[index], "currency": currency, "source_types": {"card": pair[index]}}
            for currency, pair in sorted(totals.items())
        ]

    return {"object": "balance", "available": part(0), "livemode": False, "pending": part(1)}


def retrieve_entry(call: Call) -> Object:
    """One balance transaction."""
    return call.named("balance_transaction")


def list_entries(call: Call) -> Object:
    """Balance transactions, newest first."""
    names = ("type", "source", "currency")
    where = {name: value for name in names if (value := call.params.text(name)) is not None}
    return call.page("balance_transaction", "/v1/balance_transactions", where)


ROUTES: tuple[Route, ...] = (
    route("GET", "/v1/balance", retrieve_balance),
    route("GET", "/v1/balance_transactions", list_entries, " ".join({"type", "source", "currency", *PAGING})),
    route("GET", "/v1/balance_transactions/{id}", retrieve_entry),
)
