"""The probes' worker program in a hurry: what takes long in earnest is short here, and the log goes to a file.

HURRIED is JSON: constants by their full names, and time limits by `limit:<queue>`. LOG is the file.
"""

import importlib
import os
import sys

import msgspec

from models.jobs import POLICIES, Queue
from tasks.launch import launch
from tests.tasks import probes  # noqa: F401  the performers

DEFAULTS = {"tasks.broker.claim.STUCK_S": 1.0, "tasks.broker.watchdog.LOOP_STILL_S": 1.5}


def hurry(constants: dict[str, float]) -> None:
    """Set them. A name that does not exist is an error, so that no test waits for nothing."""
    for name, value in constants.items():
        if name.startswith("limit:"):
            queue = Queue(name.removeprefix("limit:"))
            POLICIES[queue] = msgspec.structs.replace(POLICIES[queue], time_limit_s=value)
            continue
        module, _, constant = name.rpartition(".")
        owner = importlib.import_module(module)
        assert hasattr(owner, constant), name
        setattr(owner, constant, value)


if __name__ == "__main__":
    if "LOG" in os.environ:
        os.dup2(os.open(os.environ["LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
    hurry(DEFAULTS | msgspec.json.decode(os.environ.get("HURRIED", "{}"), type=dict[str, float]))
    sys.exit(launch(sys.argv[1:]))
