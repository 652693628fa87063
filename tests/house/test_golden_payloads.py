"""Every payload that was ever enqueued is still read: one of each kind and version, kept as it lay in the database."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from models.jobs import ALIASES, KINDS, UPGRADES, decode

GOLDEN = Path(__file__).parents[1] / "tasks" / "golden_payloads.json"


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A payload as it was written, and the fields that a performer finds in it today."""

    kind: str
    version: int
    payload: dict[str, Any]
    reads: dict[str, Any]


KEPT = msgspec.json.decode(GOLDEN.read_bytes(), type=list[Golden])


def test_every_version_of_every_kind_has_one_golden_payload() -> None:
    wanted = [(kind, version) for kind, job in KINDS.items() for version in range(1, job.version + 1)]

    assert sorted((one.kind, one.version) for one in KEPT) == sorted(wanted)


@pytest.mark.parametrize("one", KEPT, ids=lambda one: f"{one.kind}@{one.version}")
def test_a_golden_payload_is_read_and_means_what_it_meant(one: Golden) -> None:
    job = decode(KINDS[one.kind], one.version, msgspec.json.encode(one.payload).decode())

    assert type(job) is KINDS[one.kind]
    assert msgspec.to_builtins(job) == one.reads


def test_upgrades_and_former_names_lead_to_kinds_that_exist() -> None:
    assert {(kind, version) for kind, version in UPGRADES if version >= KINDS[kind].version} == set()
    assert set(ALIASES.values()) <= set(KINDS)
    assert set(ALIASES) & set(KINDS) == set()
