"""Whence a request comes: networks, devices, and what a browser says of itself."""

import pytest

from models.visitors import NOBODY, Visitor, device_of, network_of, said_of


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("::ffff:203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::/48"),
        ("", ""),
        ("unknown", ""),
        ("203.0.113.7:443", ""),
    ],
)
def test_an_address_belongs_to_what_its_provider_gives_out_together(address: str, network: str) -> None:
    assert network_of(address) == Visitor(user_agent="", ip_address=address).network == network


def test_a_browsers_update_is_the_same_device_and_another_browser_is_not() -> None:
    old, new = "Mozilla/5.0 Firefox/141.0", "mozilla/5.0 Firefox/142.0.1"

    assert device_of(old) == device_of(new) == Visitor(user_agent=old, ip_address="").device
    assert device_of(old) != device_of("Mozilla/5.0 Chrome/141.0")


def test_what_a_browser_says_is_kept_short_and_storable() -> None:
    assert said_of("a\0b" * 1000) == ("ab" * 1000)[:400]
    assert NOBODY.network == ""
