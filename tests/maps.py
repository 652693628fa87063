"""Small maps of the internet, as MMDB files: the form in which DB-IP and MaxMind give theirs away."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmdb_writer import MMDBWriter
from netaddr import IPSet

BERLIN = {
    "country": {"iso_code": "DE"},
    "city": {"names": {"en": "Berlin"}},
    "location": {"latitude": 52.52, "longitude": 13.405},
}
SAO_PAULO = {
    "country": {"iso_code": "BR"},
    "city": {"names": {"en": "São Paulo"}},
    "location": {"latitude": -23.55, "longitude": -46.633},
}


def a_map(path: Path, places: Mapping[str, Mapping[str, Any]]) -> Path:
    """A file that knows these networks, of either kind."""
    writer = MMDBWriter(6, "Test-City", languages=["en"], description="made by a test", ipv4_compatible=True)
    for network, entry in places.items():
        writer.insert_network(IPSet([network]), entry)
    writer.to_db_file(str(path))
    return path
