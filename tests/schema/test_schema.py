"""A short run of schemathesis: every check, a valid request per operation as each role, and a few made-up ones as one."""

from pathlib import Path

import pytest

from tests.access.who_may import Who
from tests.schema.service import run_all, run_as, running_service, succeeded, table


def test_the_service_is_what_its_document_says(tmp_path: Path, subtests: pytest.Subtests):
    tmp_path.chmod(0o711)
    with running_service(tmp_path) as service:
        outcomes = run_all(service, tmp_path, "--phases", "examples")
        # Whom most operations are for. As everybody, and with many more: `./megilance test --schema`.
        made_up = run_as(Who.CLIENT, service, tmp_path, "--phases", "fuzzing", "--max-examples", "2", "--no-shrink")
    for who, one in {**outcomes, "made up": made_up}.items():
        with subtests.test(str(who)):
            assert one.code == 0, one.said
    found = succeeded({who: one.counts for who, one in outcomes.items()})
    assert [route for route, by in found.items() if not any(by.values())] == [], table(found)
