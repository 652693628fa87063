"""How often one may ask of which route: strangers by address, callers by who they are. One place for every route.

A route is `METHOD /path/{template}`. `opt={"limit": "5/3600"}` gives one its own limit, RATE_LIMITS another;
`opt=UNLIMITED` is for what must always answer. Each limited answer says in headers what is left.
"""

from collections.abc import Iterable, Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

import msgspec
from litestar import Request
from litestar.exceptions import TooManyRequestsException
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Scope

from api.requests import TAKEN, client_address
from settings import Limits, SettingsError
from wire.limits import Limit, Limiter, parse_limit
from wire.metrics import Web

UNLIMITED: Final = {"unlimited": True}
"""`opt=UNLIMITED`: providers' callbacks, probes, and pages that come with a dozen files."""
IPV6_BITS: Final = 64
"""What a household gets: whoever has one address of it has all of them."""


class Rule(msgspec.Struct, frozen=True):
    """What holds for a route; None: as often as one likes."""

    name: str
    anonymous: Limit | None
    user: Limit | None


class Limiting:
    """The limits of every route, as settings and routes say."""

    def __init__(self, limits: Limits, limiter: Limiter, counted: Web) -> None:
        self._limits = limits
        self._limiter = limiter
        self._counted = counted
        self._rules: dict[tuple[str, str], Rule] = {}

    def check(self, routes: Iterable[BaseRoute]) -> None:
        """See that every route's own limit can be read and every exception names a route. Raises SettingsError."""
        names = set()
        for route in routes:
            for handler in route.route_handlers if isinstance(route, HTTPRoute) else ():
                names |= {f"{method} {route.path_format}" for method in handler.http_methods}
                parse_limit(handler.opt.get("limit", "1/1"))
        if strange := sorted(set(self._limits.routes) - names):
            raise SettingsError(f"Wrong settings (see .env.example):\n  RATE_LIMITS names no route: {strange[0]}")

    async def admit_address(self, scope: Scope) -> None:
        """Count a request of somebody we do not know. Raises TooManyRequestsException."""
        rule = self._rule(scope)
        if rule.anonymous is not None:
            address = neighbourhood(client_address(Request(scope)))
            await self._take(scope, f"{rule.name}:ip:{address}", rule.anonymous, "address")

    async def admit_user(self, scope: Scope, user_id: int) -> None:
        """Count a request of somebody we know. Raises TooManyRequestsException."""
        rule = self._rule(scope)
        if rule.user is not None:
            await self._take(scope, f"{rule.name}:user:{user_id}", rule.user, "user")

    async def _take(self, scope: Scope, name: str, limit: Limit, by: str) -> None:
        taken = await self._limiter.take(name, limit)
        scope[TAKEN] = taken  # type: ignore[typeddict-unknown-key]
        if taken.retry_after_s:
            self._counted.limited.labels(by).inc()
            raise TooManyRequestsException(
                f"At most {limit.requests} at once here, and then one every {limit.period_s / limit.requests:g} s;"
                f" come back in {taken.retry_after_s} s."
            )

    def _rule(self, scope: Scope) -> Rule:
        key = scope["method"], scope["path_template"]  # type: ignore[typeddict-item]
        rule = self._rules.get(key)
        if rule is None:
            rule = self._rules[key] = self._made(f"{key[0]} {key[1]}", scope["route_handler"].opt)
        return rule

    def _made(self, name: str, opt: Mapping[str, Any]) -> Rule:
        if (said := self._limits.routes.get(name)) is not None:
            return Rule(name, said, said)
        if opt.get("unlimited"):
            return Rule(name, None, None)
        own = parse_limit(opt["limit"]) if "limit" in opt else None
        anonymous, user = self._limits.anonymous, self._limits.user
        # Lifted limits are lifted for all routes; what a setting says of one route holds all the same.
        return Rule(name, anonymous and (own or anonymous), user and (own or user))


def neighbourhood(address: str) -> str:
    """What is counted together: an IPv4 address, the /64 of an IPv6 one; all that have no address."""
    try:
        found = ip_address(address)
    except ValueError:
        return "unknown"
    if not isinstance(found, IPv6Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    beyond = found.max_prefixlen - IPV6_BITS
    return str(IPv6Address(int(found) >> beyond << beyond))
