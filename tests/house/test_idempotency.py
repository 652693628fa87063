"""Every POST of a signed-in caller takes an Idempotency-Key, or says that it does not."""

import inspect
import re
from collections.abc import Iterator

import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from api import app as composition
from api.idempotency import PATHS, provide_once, refuse_keys

RUN = re.compile(r"\bonce(?:\.job)?\(")


def handlers() -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Method, path and handler of everything that is served to signed-in callers."""
    for route in composition.create_app().routes:
        if isinstance(route, HTTPRoute) and route.path.startswith("/api/"):
            for handler in route.route_handlers:
                yield from ((method, route.path, handler) for method in handler.http_methods if _is_ours(handler))


def _is_ours(handler: HTTPRouteHandler) -> bool:
    return not handler.opt.get("public") and inspect.getmodule(handler.fn).__name__.startswith("api.")  # type: ignore[union-attr]


def _takes_key(handler: HTTPRouteHandler) -> bool:
    return "once" in handler.parsed_fn_signature.parameters


@pytest.fixture
def served(environment: None) -> list[tuple[str, str, HTTPRouteHandler]]:
    found = list(handlers())
    assert {method for method, _, _ in found} >= {"GET", "POST"}
    return found


def test_every_post_of_a_signed_in_caller_takes_a_key(served: list[tuple[str, str, HTTPRouteHandler]]) -> None:
    keyless = [path for method, path, one in served if method == "POST" and not _takes_key(one)]

    assert [path for path in keyless if not path.startswith(PATHS)] == []


def test_what_makes_secrets_and_other_methods_take_none(served: list[tuple[str, str, HTTPRouteHandler]]) -> None:
    taking = [(method, path) for method, path, one in served if _takes_key(one)]

    assert [(method, path) for method, path in taking if method != "POST" or path.startswith(PATHS)] == []


def test_whoever_takes_a_key_runs_one_verb_under_it(served: list[tuple[str, str, HTTPRouteHandler]]) -> None:
    """A second one would take the first one's row for its own."""
    runs = {one.fn.__name__: len(RUN.findall(inspect.getsource(one.fn))) for _, _, one in served if _takes_key(one)}

    assert {name: count for name, count in runs.items() if count != 1} == {}


def test_the_refusal_stands_before_every_route(environment: None) -> None:
    app = composition.create_app()

    assert refuse_keys in app.guards
    assert app.dependencies["once"].dependency is provide_once  # type: ignore[union-attr]
