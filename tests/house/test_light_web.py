"""The web processes stay light: what reaches the outside world, and what computes, is never loaded by them."""

import os
import subprocess
import sys

import pytest

HEAVY = (
    "stripe", "boto3", "botocore", "web3", "sklearn", "numpy", "dramatiq", "twilio", "tasks", "sandbox", "fpdf", "fontTools",
    "puremagic",
)  # fmt: skip


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("api.app", (*HEAVY, "aiohttp", "requests")),
        # python-engineio brings those two along, for the client that is in it.
        ("realtime.app", (*HEAVY, "jinja2")),
    ],
)
def test_a_web_process_loads_nothing_heavy(module: str, heavy: tuple[str, ...], environment: None):
    program = f"import sys, {module}; print(*(set(sys.modules) & set({heavy!r})))"
    run = subprocess.run(
        [sys.executable, "-c", program], env=dict(os.environ), capture_output=True, text=True, check=False, timeout=60
    )
    assert (run.returncode, run.stdout.strip()) == (0, ""), run.stderr
