"""A short run of schemathesis: every check, each role, a valid request per operation and a few made-up ones."""

from pathlib import Path

import pytest

from tests.schema.service import run_all, running_service, succeeded, table


def test_the_service_is_what_its_document_says(tmp_path: Path, subtests: pytest.Subtests):
    tmp_path.chmod(0o711)
    with running_service(tmp_path) as service:
        outcomes = run_all(service, tmp_path, "--phases", "examples,fuzzing", "--max-examples", "2", "--no-shrink")
    for who, one in outcomes.items():
        with subtests.test(str(who)):
            assert one.code == 0, one.said
    found = succeeded({who: one.counts for who, one in outcomes.items()})
    assert [route for route, by in found.items() if not any(by.values())] == [], table(found)
