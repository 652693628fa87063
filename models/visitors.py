"""Whence a request comes: what a browser says of itself, its address, and where that lies when a map says so."""

import re
from hashlib import sha256
from ipaddress import IPv6Address, ip_address
from typing import Final

from models.base import Record

MAX_USER_AGENT_CHARS: Final = 400
IPV4_NETWORK_BITS: Final = 24
IPV6_NETWORK_BITS: Final = 48
"""What providers give out together: an address changes within it, its holder seldom leaves it."""


class Place(Record, frozen=True):
    """Where an address lies. `country` is ISO 3166-1 alpha-2; the coordinates are degrees, None where unknown."""

    country: str
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None


class Visitor(Record, frozen=True):
    """Who knocks. `place` is None without a map, or where the map is silent: nobody guesses."""

    user_agent: str
    ip_address: str
    place: Place | None = None

    @property
    def network(self) -> str:
        """The network of the address."""
        return network_of(self.ip_address)

    @property
    def device(self) -> str:
        """What tells one browser from another, over its updates."""
        return device_of(self.user_agent)


NOBODY: Final = Visitor(user_agent="", ip_address="")
"""A sign-in that no request made."""


def network_of(address: str) -> str:
    """The /24 of an IPv4 or the /48 of an IPv6 address, as text; empty for what is no address."""
    try:
        found = ip_address(address)
    except ValueError:
        return ""
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    bits = IPV6_NETWORK_BITS if isinstance(found, IPv6Address) else IPV4_NETWORK_BITS
    width = found.max_prefixlen
    first = type(found)(int(found) >> (width - bits) << (width - bits))
    return f"{first}/{bits}"


def device_of(user_agent: str) -> str:
    """A short name of a browser that its updates do not change: its words without their version numbers, hashed."""
    return sha256(re.sub(r"[\d.]+", "", user_agent).lower().encode()).hexdigest()[:16]


def said_of(user_agent: str) -> str:
    """What a browser says of itself, as it may be kept: a text column takes no null byte."""
    return user_agent.replace("\0", "")[:MAX_USER_AGENT_CHARS]
