"""The pages a person opens: what the sandbox holds, the bank's 3-D Secure question, and a connected account's form."""

import html
import re
import time
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from sandbox.stripe import accounts, confirmation
from sandbox.stripe.call import Call
from sandbox.stripe.incoming import Incoming, Outgoing, as_json
from sandbox.stripe.money import written
from sandbox.stripe.wire import Object, StripeError, without_secrets

ROWS_SHOWN = 50

_STYLE = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--go:#4f46e5;--stop:#b4233a}
*{box-sizing:border-box}body{font:15px/1.5 system-ui,sans-serif;margin:0 auto;max-width:64rem;padding:1.2rem}
h1{font-size:1.35rem;margin:.2rem 0 1rem}h2{font-size:1rem;margin:1.8rem 0 .4rem}
.card{border:1px solid var(--line);border-radius:12px;padding:1.4rem;max-width:27rem;margin:12vh auto 0}
.scroll{overflow-x:auto;border:1px solid var(--line);border-radius:10px}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .7rem;white-space:nowrap}
th{font-size:.78rem;font-weight:600;opacity:.65}tr+tr td{border-top:1px solid var(--soft)}
td.n{text-align:right;font-variant-numeric:tabular-nums}code{font-size:.85em}
.tag{border-radius:99px;background:var(--soft);padding:.1rem .6rem;font-size:.82rem}
.amount{font-size:1.9rem;font-weight:650;margin:.2rem 0 1rem}.soft{opacity:.7}
form{display:inline}button{font:inherit;border:0;border-radius:8px;padding:.6rem 1.3rem;margin-right:.5rem;
color:#fff;background:var(--go);cursor:pointer}button.stop{background:var(--stop)}
"""


def _page(title: str, content: str, status: int = 200) -> Outgoing:
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{content}</body></html>"
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
    headers = {"Content-Security-Policy": policy, "X-Content-Type-Options": "nosniff"}
    return Outgoing(status, text.encode(), "text/html; charset=utf-8", headers)


def _note(title: str, message: str, status: int = 200) -> Outgoing:
    content = f'<div class="card"><h1>{html.escape(title)}</h1><p>{html.escape(message)}</p></div>'
    return _page(title, content, status)


def serve(call: Call, incoming: Incoming) -> Outgoing | None:
    """The page that the path names, or None when it names none."""
    path = incoming.path
    if path in {"/", "/_sandbox", "/_sandbox/"} and incoming.method == "GET":
        return _overview(call)
    if asked := re.fullmatch(r"/_sandbox/3ds/(\w+)(?:/(approve|refuse))?", path):
        return _authentication(call, incoming, asked[1], asked[2])
    if asked := re.fullmatch(r"/_sandbox/onboarding/(\w+)", path):
        return _onboarding(call, incoming, asked[1])
    return None


def _table(heading: str, names: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return f'<h2>{heading}</h2><p class="soft">None yet.</p>'
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(f"<tr>{''.join(cells)}</tr>" for cells in rows)
    return f'<h2>{heading}</h2><div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _cell(text: object, kind: str = "") -> str:
    escaped = html.escape("-" if text is None else str(text))
    if kind == "code":
        return f"<td><code>{escaped}</code></td>"
    if kind == "tag":
        return f'<td><span class="tag">{escaped}</span></td>'
    return f'<td class="n">{escaped}</td>' if kind == "n" else f"<td>{escaped}</td>"


def _at(document: Object) -> str:
    return _cell(time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(document["created"])))


def _money_cell(document: Object, field: str = "amount") -> str:
    return _cell(written(document[field], document["currency"]), "n")


def _overview(call: Call) -> Outgoing:
    def newest(kind: str) -> list[Object]:
        return call.store.select(kind, None, limit=ROWS_SHOWN)

    intents = [
        [_at(one), _cell(one["id"], "code"), _money_cell(one), _cell(one["status"], "tag"),
         _money_cell(one, "amount_capturable"), _money_cell(one, "amount_received"), _cell(one["transfer_group"])]
        for one in newest("payment_intent")
    ]  # fmt: skip
    transfers = [
        [_at(one), _cell(one["id"], "code"), _money_cell(one), _cell(one["destination"], "code"),
         _money_cell(one, "amount_reversed"), _cell(one["transfer_group"])]
        for one in newest("transfer")
    ]  # fmt: skip
    people = [
        [_at(one), _cell(one["id"], "code"), _cell(one["email"]),
         _cell("pays out" if one["payouts_enabled"] else "not onboarded", "tag")]
        for one in newest("account")
    ]  # fmt: skip
    happened = [
        [_at(one), _cell(one["type"], "tag"), _cell(one["data"]["object"].get("id"), "code"), _cell(one["id"], "code")]
        for one in newest("event")
    ]
    content = (
        "<h1>Stripe sandbox</h1>"
        '<p class="soft">No money moves here. Times are UTC, by the clock of the sandbox; newest first.</p>'
        + _table("Payment intents", ["made", "id", "amount", "status", "held", "received", "group"], intents)
        + _table("Transfers", ["made", "id", "amount", "to", "reversed", "group"], transfers)
        + _table("Connected accounts", ["made", "id", "e-mail", "state"], people)
        + _table("Events", ["at", "type", "about", "id"], happened)
    )
    return _page("Stripe sandbox", content)


def _authentication(  # noqa: PLR0911 - each page a return
    call: Call, incoming: Incoming, intent_id: str, answer: str | None
) -> Outgoing | None:
    intent = call.store.find(intent_id, None, "payment_intent")
    if intent is None:
        return _note("Unknown payment", f"There is no payment intent {intent_id}.", 404)
    if answer is None and incoming.method == "GET":
        return _authentication_form(intent)
    if answer is None or incoming.method != "POST":
        return None
    call.owner = call.store.owner_of(intent_id)
    try:
        intent = confirmation.authenticate(call, intent, approved=answer == "approve")
    except StripeError as error:
        # A card can pass 3-D Secure and be declined all the same: that is a fact, kept, and the customer goes back.
        if not error.keeps_effects:
            if incoming.wants_page:
                return _note("Nothing to approve", str(error), error.status)
            return as_json(error.body(), error.status)
        intent = call.referred("payment_intent", intent_id)
    if not incoming.wants_page:
        return as_json(without_secrets(intent))
    if intent["_return_url"] is None:
        return _note("Thank you", f"The payment is now: {intent['status']}. You can close this page.")
    return _go_back(intent)


def _authentication_form(intent: Object) -> Outgoing:
    if intent["status"] != "requires_action":
        return _note("Nothing to approve", f"This payment does not wait for you: it is {intent['status']}.", 409)
    base = f"/_sandbox/3ds/{quote(intent['id'])}"
    content = (
        '<div class="card"><h1>Your bank asks: is this you?</h1>'
        f'<p class="soft">3-D Secure, played by the sandbox. {html.escape(intent["description"] or "")}</p>'
        f'<p class="amount">{html.escape(written(intent["amount"], intent["currency"]))}</p>'
        f'<form method="post" action="{base}/approve"><button>Approve</button></form>'
        f'<form method="post" action="{base}/refuse"><button class="stop">Refuse</button></form></div>'
    )
    return _page("3-D Secure", content)


def _go_back(intent: Object) -> Outgoing:
    succeeded = intent["status"] in {"succeeded", "requires_capture"}
    answer = {
        "payment_intent": intent["id"],
        "payment_intent_client_secret": intent["client_secret"],
        "redirect_status": "succeeded" if succeeded else "failed",
    }
    parts = urlsplit(intent["_return_url"])
    query = "&".join(part for part in (parts.query, urlencode(answer)) if part)
    return Outgoing(303, b"", headers={"Location": urlunsplit(parts._replace(query=query))})


def _onboarding(call: Call, incoming: Incoming, token: str) -> Outgoing | None:
    link = call.store.find(token, None, "account_link")
    if link is None:
        return _note("Unknown link", "There is no such onboarding link.", 404)
    if link["used"] or link["expires_at"] <= call.now:
        return Outgoing(303, b"", headers={"Location": link["refresh_url"]})
    account = call.referred("account", link["account"])
    if incoming.method == "POST":
        link["used"] = True
        call.store.save(link)
        accounts.complete_onboarding(call, account)
        return Outgoing(303, b"", headers={"Location": link["return_url"]})
    if incoming.method != "GET":
        return None
    content = (
        '<div class="card"><h1>Get paid</h1><p>Stripe would ask for your name, date of birth and bank account here. '
        "The sandbox takes your word.</p>"
        f'<p class="soft">{html.escape(account["email"] or "")} <code>{html.escape(account["id"])}</code></p>'
        '<form method="post"><button>Submit and finish</button></form></div>'
    )
    return _page("Onboarding", content)
