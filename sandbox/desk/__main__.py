"""`python -m sandbox.desk COMMAND`: what ./megilance becomes once everything is installed."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from sandbox.desk import commands
from sandbox.desk.procfile import RELEASE, ProcfileError, parse_counts, parse_procfile
from sandbox.desk.record import only_desk
from sandbox.desk.supervisor import Order, refuse_taken_port, run_desk
from sandbox.desk.surroundings import ROOT, desk_home
from sandbox.ports import LOOPBACK

PORT = 8000
HIGHEST_PORT = 65535


def _port(written: str) -> int:
    """A port, or argparse's one sentence about it."""
    if not written.isdecimal() or int(written) > HIGHEST_PORT:
        raise argparse.ArgumentTypeError(f"{written!r} is no port: 0 to {HIGHEST_PORT}")
    return int(written)


def _up(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="./megilance up", description="Start everything on this machine.")
    parser.add_argument("--port", type=_port, default=os.environ.get("PORT") or str(PORT), help="0: any free one")
    parser.add_argument("--host", default=LOOPBACK, help="0.0.0.0 lets other machines in")
    parser.add_argument("--processes", default="", metavar="web=2,worker=2", help="how many of each process")
    parser.add_argument("--procfile", type=Path, default=ROOT / "Procfile", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    try:
        parse_counts(asked.processes, set(parse_procfile(asked.procfile)) - {RELEASE})
    except (ProcfileError, OSError) as error:
        sys.exit(str(error))
    home = desk_home()
    with only_desk(home):
        if asked.port:
            refuse_taken_port(asked.host, asked.port)
        order = Order(ROOT, home, asked.procfile, asked.host, asked.port, asked.processes)
        return asyncio.run(run_desk(order))


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "up": _up,
    "test": commands.test,
    "check": commands.check,
    "crash-test": commands.crash_test,
    "histories": commands.histories,
    "migrate": commands.migrate,
    "demo": commands.demo,
    "admin": commands.admin,
    "seed": commands.seed,
    "clock": commands.clock,
}


if __name__ == "__main__":
    sys.exit(COMMANDS[sys.argv[1]](sys.argv[2:]))
