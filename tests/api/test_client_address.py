"""Whose address a request comes from: X-Forwarded-For is believed as far as trusted proxies wrote it, and no further."""

from types import SimpleNamespace
from typing import Any

import pytest
from litestar import Request
from litestar.testing import RequestFactory

from api.requests import client_address

PROXIES = ("127.0.0.1", "10.0.0.0/8", "fd00::/16")


def asked(peer: str | None, *forwarded: str, trusted: tuple[str, ...] = PROXIES) -> str:
    """What is taken for the caller's address, of a request from this peer with these header lines."""
    request: Request[Any, Any, Any] = RequestFactory().get("/")
    request.scope["client"] = None if peer is None else (peer, 4711)
    request.scope["headers"] = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    request.scope["litestar_app"] = SimpleNamespace(  # type: ignore[typeddict-item]
        state=SimpleNamespace(settings=SimpleNamespace(web=SimpleNamespace(trusted_proxies=trusted)))
    )
    return client_address(request)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        # Nobody in between.
        ("203.0.113.7", [], "203.0.113.7"),
        ("2001:db8::7", [], "2001:db8::7"),
        (None, [], ""),
        # A stranger's own claim is not read.
        ("203.0.113.7", ["198.51.100.1"], "203.0.113.7"),
        # The right-most hop that no trusted proxy is.
        ("127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["6.6.6.6, 203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["6.6.6.6, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        ("127.0.0.1", ["10.9.9.9, 203.0.113.7, 10.1.2.3"], "203.0.113.7"),
        ("127.0.0.1", ["6.6.6.6", "203.0.113.7 ,10.1.2.3"], "203.0.113.7"),
        # Trusted all the way: the left-most.
        ("127.0.0.1", ["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        ("127.0.0.1", [], "127.0.0.1"),
        # What is no address stops the walk at whoever passed it on.
        ("127.0.0.1", ["203.0.113.7, unknown"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.7, unknown, 10.1.2.3"], "10.1.2.3"),
        ("127.0.0.1", ["203.0.113.7:443"], "127.0.0.1"),
        ("127.0.0.1", ["[2001:db8::7]"], "127.0.0.1"),
        ("127.0.0.1", ["_hidden"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.7, 999.1.1.1"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.07"], "127.0.0.1"),
        ("127.0.0.1", [" , ,"], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.7,"], "203.0.113.7"),
        # IPv6, and IPv4 in its dress: one host has one name.
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("fd00::1", ["2001:DB8:0:0::7, FD00:0::2"], "2001:db8::7"),
        ("fe80::1", ["2001:db8::7"], "fe80::1"),
        ("::ffff:127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["::ffff:cb00:7107, ::ffff:10.1.2.3"], "203.0.113.7"),
        # As a test client or a Unix socket calls itself.
        ("testclient", ["203.0.113.7"], "testclient"),
    ],
)
def test_the_right_most_hop_that_is_no_proxy_of_ours(peer: str | None, forwarded: list[str], address: str) -> None:
    assert asked(peer, *forwarded) == address


def test_without_trusted_proxies_nothing_is_believed() -> None:
    assert asked("127.0.0.1", "203.0.113.7", trusted=()) == "127.0.0.1"
