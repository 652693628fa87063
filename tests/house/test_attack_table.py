"""docs/security.md names, for each attack, a test that exists."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROW = re.compile(
    r"^\| (?P<attack>[^|]+) \| `(?P<file>tests/[\w/]+\.py)::(?P<test>test_\w+)` \| (?P<answer>[^|]+) \|$", re.MULTILINE
)
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ROWS = list(ROW.finditer(PAGE))


def functions_in(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_line_is_read():
    # The rest are the head, and the names of the sections.
    written = [
        line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith(("| attack", "| **"))
    ]
    assert len(written) == len(ROWS) > 60
    assert len({row["attack"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["attack"])
def test_the_test_of_an_attack_exists(row: re.Match[str]):
    assert row["test"] in functions_in(ROOT / row["file"])
