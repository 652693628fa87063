"""The Procfile: which processes the service consists of, and how many of each a desk runs."""

import re
from pathlib import Path

LINE = re.compile(r"^(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>.+)$")
RELEASE = "release"


class ProcfileError(Exception):
    """The Procfile, or what was asked of it, makes no sense; the message says where."""


def parse_procfile(path: Path) -> dict[str, str]:
    """The commands by process name, in the file's order. They are for a shell, with $PORT to be set."""
    commands: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        match = LINE.match(line)
        if match is None or match["name"] in commands:
            raise ProcfileError(f"{path}, line {number}: a line is `name: command`, each name once.")
        commands[match["name"]] = match["command"]
    return commands


def parse_counts(text: str, known: set[str]) -> dict[str, int]:
    """How many of each process were asked for, from `web=2,worker=2`; one where nothing is said."""
    counts = dict.fromkeys(known, 1)
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if name not in known or not number.isdigit():
            raise ProcfileError(f"`{part}`: say NAME=COUNT, NAME being one of {', '.join(sorted(known))}.")
        counts[name] = int(number)
    return counts
