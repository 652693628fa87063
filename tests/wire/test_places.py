"""A map tells where an address lies; what it does not know, nobody guesses."""

from pathlib import Path

import pytest

from tests.maps import BERLIN, SAO_PAULO, a_map
from wire.places import Found, MapUnreadable, Places

ENTRIES = {
    "203.0.113.0/24": BERLIN,
    "2001:db8:7::/48": SAO_PAULO,
    "198.51.100.0/24": {"country": {"iso_code": "FR"}},
    "192.0.2.0/24": {"city": {"names": {"en": "Nowhere"}}},
    "100.64.0.0/16": {"country": {"iso_code": "US"}, "city": {"names": {"de": "Neu-York"}}},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return a_map(tmp_path / "cities.mmdb", ENTRIES)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("203.0.113.7", Found("DE", "Berlin", 52.52, 13.405)),
        ("::ffff:203.0.113.7", Found("DE", "Berlin", 52.52, 13.405)),
        ("2001:db8:7::1", Found("BR", "São Paulo", -23.55, -46.633)),
        ("198.51.100.1", Found("FR", None, None, None)),
        ("100.64.0.1", Found("US", None, None, None)),
        ("192.0.2.1", None),
        ("127.0.0.1", None),
        ("", None),
        ("unknown", None),
    ],
)
def test_an_address_lies_where_the_map_says(file: Path, address: str, found: Found | None) -> None:
    places = Places(str(file))
    assert places.find(address) == found
    places.close()


def test_without_a_map_every_address_lies_nowhere() -> None:
    places = Places("")
    assert places.find("203.0.113.7") is None
    places.close()


def test_a_file_that_is_no_map_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a map")
    for path in (tmp_path / "text", tmp_path, tmp_path / "absent"):
        with pytest.raises(MapUnreadable):
            Places(str(path))


def test_a_damaged_page_keeps_nobody_out(file: Path) -> None:
    whole = file.read_bytes()
    tree_ends = whole.index(b"\xab\xcd\xefMaxMind.com") // 2
    file.write_bytes(b"\xff" * tree_ends + whole[tree_ends:])
    places = Places(str(file))
    assert places.find("203.0.113.7") is None
    places.close()
