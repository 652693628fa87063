"""One call of the API as a business module sees it, and the table of routes those modules fill."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from sandbox.stripe.state import PLATFORM, Store
from sandbox.stripe.wire import Object, Params, as_list, invalid, missing_resource

PAGE_DEFAULT = 10
PAGE_MAX = 100
PAGING = frozenset({"limit", "starting_after", "ending_before", "created"})
"""The parameters of every list."""
COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


@dataclass
class Call:
    """A request being carried out: who calls, with what, when, and on which state."""

    store: Store
    now: int
    params: Params = field(default_factory=lambda: Params({}))
    owner: str = PLATFORM
    """PLATFORM, or the connected account that a `Stripe-Account` header names."""
    ids: tuple[str, ...] = ()
    """The ids in the path, in order."""
    request_id: str | None = None
    idempotency_key: str | None = None
    base_url: str = ""
    api_version: str = ""

    def named(self, kind: str, position: int = 0, param: str = "id") -> Object:
        """The object the path names. Raises `resource_missing` (404)."""
        return self._find(kind, self.ids[position], param, 404)

    def given(self, kind: str, param: str) -> Object | None:
        """The object a parameter names, or None when the parameter is absent. Raises `resource_missing` (400)."""
        object_id = self.params.text(param)
        return None if object_id is None else self._find(kind, object_id, param, 400)

    def referred(self, kind: str, object_id: str) -> Object:
        """The object that another object of ours refers to; it exists."""
        found = self.store.find(object_id, None, kind)
        assert found is not None, object_id
        return found

    def _find(self, kind: str, object_id: str, param: str, status: int) -> Object:
        found = self.store.find(object_id, self.owner, kind)
        if found is None:
            raise missing_resource(kind, object_id, param, status)
        return found

    def page(self, kind: str, url: str, where: Object | None = None) -> Object:
        """A page of the caller's objects of a kind, newest first, as the request's `limit` and cursors ask."""
        limit = self.params.integer("limit")
        if limit is None:
            limit = PAGE_DEFAULT
        if not 1 <= limit <= PAGE_MAX:
            raise invalid(f"Invalid limit: must be between 1 and {PAGE_MAX}.", "limit", "parameter_invalid_integer")
        after, before = self.given(kind, "starting_after"), self.given(kind, "ending_before")
        if after is not None and before is not None:
            raise invalid("You cannot parameterize both starting_after and ending_before.", "starting_after")
        found = self.store.select(
            kind,
            self.owner,
            {**(where or {}), **self._created_bounds()},
            limit=limit + 1,
            after=None if after is None else after["id"],
            before=None if before is None else before["id"],
        )
        # The object beyond the page is at its far end: the oldest going forward, the newest going back.
        shown = found[-limit:] if before is not None else found[:limit]
        return as_list(shown, url, more=len(found) > limit)

    def _created_bounds(self) -> Object:
        given = self.params.values.get("created")
        if not isinstance(given, dict):
            created = self.params.integer("created")
            return {} if created is None else {"created": created}
        bounds = self.params.inner("created")
        assert bounds is not None
        bounds.refuse_unknown(frozenset(COMPARISONS))
        return {f"created {COMPARISONS[name]}": bounds.required_integer(name) for name in bounds.values}


Handler = Callable[[Call], Object]


@dataclass(frozen=True)
class Route:
    """A method and path of the API, the parameters it takes, and the verb that carries it out."""

    method: str
    pattern: re.Pattern[str]
    carry_out: Handler
    params: frozenset[str]


def route(method: str, path: str, carry_out: Handler, params: str = "") -> Route:
    """A row of a route table: `{id}` in the path stands for an id; `params` are names parted by spaces."""
    pattern = re.compile(re.sub(r"\{\w+\}", r"([^/]+)", path))
    known = frozenset(params.split()) | {"expand"}
    return Route(method, pattern, carry_out, known)
