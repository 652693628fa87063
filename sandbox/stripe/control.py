"""The switches under `/_sandbox/`: faults, the clock, webhook misbehaviour, and what tests and demos count."""

import re
from collections.abc import Callable
from dataclasses import asdict

from sandbox.stripe import accounts, payment_intents, webhooks
from sandbox.stripe.call import Call
from sandbox.stripe.faults import Faults, Holding
from sandbox.stripe.incoming import Incoming, Outgoing, as_json
from sandbox.stripe.state import Store
from sandbox.stripe.wire import Object

CALLS_SHOWN = 1_000
CLOCK_STEP_MAX_S = 400 * 86_400
"""A bit over a year at a time is enough for every deadline there is."""

Switch = Callable[[Call, Incoming], object]


class Desk:
    """Answers the control endpoints."""

    def __init__(self, store: Store, faults: Faults, holding: Holding) -> None:
        self._store = store
        self._faults = faults
        self._holding = holding
        self._switches: dict[tuple[str, str], Switch] = {
            ("GET", "faults"): lambda _call, _incoming: self._faults.all(),
            ("POST", "faults"): lambda _call, incoming: self._faults.add(incoming.json()),
            ("DELETE", "faults"): lambda _call, _incoming: self._faults.clear(),
            ("GET", "holding"): lambda _call, _incoming: self._holding.all(),
            ("DELETE", "holding"): lambda _call, _incoming: {"released": self._holding.release()},
            ("GET", "clock"): self._read_clock,
            ("POST", "clock"): self._move_clock,
            ("GET", "webhooks"): self._read_webhooks,
            ("POST", "webhooks"): self._turn_webhooks,
            ("DELETE", "webhooks"): self._reset_webhooks,
            ("GET", "calls"): self._list_calls,
            ("GET", "totals"): self._count_totals,
            ("GET", "health"): lambda _call, _incoming: {"status": "ok"},
        }

    def serve(self, call: Call, incoming: Incoming) -> Outgoing:
        """The answer of the switch that the path names."""
        if account := re.fullmatch(r"/_sandbox/accounts/(\w+)/(complete|restrict)", incoming.path):
            found = self._store.find(account[1], None, "account")
            if found is None or incoming.method != "POST":
                return as_json({"error": f"no such account: {account[1]}"}, 404)
            verb = accounts.complete_onboarding if account[2] == "complete" else accounts.restrict
            return as_json(verb(call, found))
        switch = self._switches.get((incoming.method, incoming.path.removeprefix("/_sandbox/")))
        if switch is None:
            return as_json({"error": f"no such switch: {incoming.method} {incoming.path}"}, 404)
        try:
            return as_json(switch(call, incoming))
        except (ValueError, TypeError) as error:
            return as_json({"error": str(error)}, 400)

    def _read_clock(self, call: Call, _incoming: Incoming) -> Object:
        return {"now": self._store.now(), "offset_s": self._store.setting("clock_offset_s", 0), "was": call.now}

    def _move_clock(self, call: Call, incoming: Incoming) -> Object:
        """Move the sandbox's time forward; what falls due on the way happens now."""
        step_s = incoming.json().get("advance_s")
        if not isinstance(step_s, int) or not 0 <= step_s <= CLOCK_STEP_MAX_S:
            message = f"advance_s is 0 to {CLOCK_STEP_MAX_S} whole seconds: the clock never goes back"
            raise ValueError(message)
        self._store.set("clock_offset_s", self._store.setting("clock_offset_s", 0) + step_s)
        call.now = self._store.now()
        return {**self._read_clock(call, incoming), "lapsed_holds": payment_intents.lapse_holds(call)}

    def _read_webhooks(self, _call: Call, _incoming: Incoming) -> Object:
        counts = self._store.rows("SELECT state, count(*) AS n FROM delivery GROUP BY state")
        waiting = self._store.rows(
            """SELECT delivery.event, json_extract(object.body, '$.type') AS type, attempts, due_at, last_answer
               FROM delivery JOIN object ON object.id = delivery.event
               WHERE state = 'pending' ORDER BY delivery.seq LIMIT 100"""
        )
        turned = asdict(webhooks.switches(self._store))
        return {"switches": turned, "deliveries": {row["state"]: row["n"] for row in counts}, "waiting": waiting}

    def _turn_webhooks(self, call: Call, incoming: Incoming) -> Object:
        webhooks.turn(self._store, incoming.json())
        return self._read_webhooks(call, incoming)

    def _reset_webhooks(self, call: Call, incoming: Incoming) -> Object:
        self._store.set("webhooks", {})
        return self._read_webhooks(call, incoming)

    def _list_calls(self, _call: Call, incoming: Incoming) -> list[Object]:
        """The calls received, oldest first; `path` may end in `*`."""
        path = incoming.asked("path")
        pattern = "%" if path is None else path.replace("%", "").replace("_", r"\_").replace("*", "%")
        rows = self._store.rows(
            """SELECT * FROM (SELECT * FROM received WHERE path LIKE ? ESCAPE '\\' ORDER BY seq DESC LIMIT ?)
               ORDER BY seq""",
            pattern,
            CALLS_SHOWN,
        )
        return [{**row, "replayed": bool(row["replayed"])} for row in rows]

    def _count_totals(self, _call: Call, _incoming: Incoming) -> Object:
        """What really happened to money, counted from the balance's own entries and not from answers."""
        captures = self._store.rows(
            """SELECT json_extract(charge.body, '$.payment_intent') AS payment_intent, count(*) AS captures,
                      sum(json_extract(entry.body, '$.amount')) AS captured
               FROM object AS entry JOIN object AS charge ON charge.id = json_extract(entry.body, '$.source')
               WHERE entry.kind = 'balance_transaction' AND json_extract(entry.body, '$.type') = 'charge' GROUP BY 1"""
        )
        transfers = self._store.rows(
            """SELECT coalesce(json_extract(body, '$.transfer_group'), '') AS transfer_group, count(*) AS transfers,
                      sum(json_extract(body, '$.amount')) AS transferred,
                      sum(json_extract(body, '$.amount_reversed')) AS reversed
               FROM object WHERE kind = 'transfer' GROUP BY 1"""
        )
        refunds = self._store.rows(
            """SELECT json_extract(body, '$.payment_intent') AS payment_intent, count(*) AS refunds,
                      sum(json_extract(body, '$.amount')) AS refunded
               FROM object WHERE kind = 'refund' AND json_extract(body, '$.balance_transaction') IS NOT NULL
               GROUP BY 1"""
        )
        return {
            "captures": sum(row["captures"] for row in captures),
            "transfers": sum(row["transfers"] for row in transfers),
            "refunds": sum(row["refunds"] for row in refunds),
            "payment_intents": {row.pop("payment_intent"): row for row in captures},
            "transfer_groups": {row.pop("transfer_group"): row for row in transfers},
            "refunded": {row.pop("payment_intent"): row for row in refunds},
        }
