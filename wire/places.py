"""Where an address lies, asked of a file on this machine: any MMDB with cities (MaxMind's format). No file: nowhere.

Free ones are DB-IP's "IP to City Lite" and MaxMind's "GeoLite2 City", each to be had from its maker as a monthly file;
the first asks for a line of credit, the second for an account. The file is opened once: a newer one counts after a
restart. Put it in place by renaming, never by writing over the open one.

Nothing here guesses: an address that the file does not know, or knows without a country, lies nowhere.
"""

from contextlib import suppress
from ipaddress import IPv6Address, ip_address
from typing import Any

import maxminddb
import msgspec


class MapUnreadable(Exception):
    """The file is missing, may not be read, or is no MMDB."""


class Found(msgspec.Struct, frozen=True):
    """An entry of the file. `country` is ISO 3166-1 alpha-2; coordinates are degrees."""

    country: str
    city: str | None
    latitude: float | None
    longitude: float | None


class Places:
    """A map that is open for as long as its process lives. Raises MapUnreadable."""

    def __init__(self, path: str) -> None:
        try:
            self._reader = maxminddb.open_database(path) if path else None
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as wrong:
            raise MapUnreadable(f"{path} cannot be read as an MMDB file") from wrong

    def find(self, address: str) -> Found | None:
        """Where this address lies, or None."""
        entry: Any = None
        if self._reader is not None:
            # What is no address lies nowhere; nor does what stands on a damaged page, which may keep nobody out.
            with suppress(ValueError, maxminddb.InvalidDatabaseError):
                entry = self._reader.get(_plain(address))
        country = ((entry or {}).get("country") or {}).get("iso_code")
        if not country:
            return None
        city = ((entry.get("city") or {}).get("names") or {}).get("en")
        location = entry.get("location") or {}
        return Found(country, city, location.get("latitude"), location.get("longitude"))

    def close(self) -> None:
        """Close the file."""
        if self._reader is not None:
            self._reader.close()


def _plain(address: str) -> str:
    """An IPv4 address that came dressed as IPv6 is looked up as what it is: not every file knows the dress."""
    found = ip_address(address)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)
