"""The product's story, told by its own demo: every process of the Procfile, real servers, kills from outside."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import settings

ROOT = Path(__file__).parents[2]
LIMIT_S = 180


@pytest.mark.parametrize("ending", ["--crash", "--rivals"])
def test_every_figure_of_the_story_is_right(ending: str, tmp_path: Path) -> None:
    ours = {one.name for one in settings.SETTINGS}
    environment = {name: value for name, value in os.environ.items() if name not in ours}

    told = subprocess.run(
        [sys.executable, "-m", "sandbox.desk", "demo", ending],
        cwd=ROOT, env={**environment, "MEGILANCE_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip

    assert told.returncode == 0, told.stdout + told.stderr
    assert "every figure was right" in told.stdout
    assert "✗" not in told.stdout
