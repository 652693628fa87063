"""Customers: who pays, as Stripe knows them."""

from sandbox.stripe import events
from sandbox.stripe.call import PAGING, Call, Route, route
from sandbox.stripe.payment_methods import attach_to
from sandbox.stripe.wire import Object, missing_resource, new_id

_TEXTS = ("description", "email", "name", "phone")
_HASHES = ("address", "invoice_settings", "shipping")
_EDITABLE = " ".join((*_TEXTS, *_HASHES, "metadata", "preferred_locales"))


def _read_fields(call: Call, customer: Object) -> None:
    for name in _TEXTS:
        if name in call.params:
            customer[name] = call.params.text(name)
    for name in _HASHES:
        if name in call.params:
            inner = call.params.inner(name)
            given = inner.values if inner is not None else None
            customer[name] = {**customer[name], **(given or {})} if name == "invoice_settings" else given
    if "preferred_locales" in call.params:
        customer["preferred_locales"] = call.params.items("preferred_locales")
    customer["metadata"] = call.params.metadata(customer["metadata"])


def create(call: Call) -> Object:
    """A new customer, with a payment method when one is named."""
    customer: Object = {
        "id": new_id("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": call.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": new_id("inv")[4:12].upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    _read_fields(call, customer)
    call.store.add(customer, call.owner)
    events.record(call, "customer.created", customer)
    if method_id := call.params.text("payment_method"):
        attach_to(call, customer, method_id, "payment_method")
    return customer


def update(call: Call) -> Object:
    """Change what the request names and leave the rest."""
    customer = call.named("customer")
    before = dict(customer)
    _read_fields(call, customer)
    changed = {name: value for name, value in before.items() if customer[name] != value}
    call.store.save(customer)
    if changed:
        events.record(call, "customer.updated", customer, previous=changed)
    return customer


def retrieve(call: Call) -> Object:
    """One customer."""
    return call.named("customer")


def list_customers(call: Call) -> Object:
    """Customers, newest first, by e-mail when asked."""
    email = call.params.text("email")
    return call.page("customer", "/v1/customers", {"email": email} if email else None)


def list_payment_methods(call: Call) -> Object:
    """The payment methods a customer keeps, newest first."""
    customer = call.named("customer", param="customer")
    kind = call.params.text("type")
    where = {"customer": customer["id"], **({"type": kind} if kind else {})}
    return call.page("payment_method", f"/v1/customers/{customer['id']}/payment_methods", where)


def retrieve_payment_method(call: Call) -> Object:
    """One payment method of a customer."""
    customer = call.named("customer", param="customer")
    method = call.named("payment_method", 1)
    if method["customer"] != customer["id"]:
        raise missing_resource("payment_method", method["id"], "payment_method", 404)
    return method


_PAGING = " ".join(PAGING)
ROUTES: tuple[Route, ...] = (
    route("POST", "/v1/customers", create, f"{_EDITABLE} payment_method"),
    route("GET", "/v1/customers", list_customers, f"email {_PAGING}"),
    route("GET", "/v1/customers/{id}", retrieve),
    route("POST", "/v1/customers/{id}", update, _EDITABLE),
    route("GET", "/v1/customers/{id}/payment_methods", list_payment_methods, f"type {_PAGING}"),
    route("GET", "/v1/customers/{id}/payment_methods/{id}", retrieve_payment_method),
)
