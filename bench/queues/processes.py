"""What /proc says of sessions of processes: who is in them, the CPU they used, the memory they hold."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields after the name: state, parent, group, session, …; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def members(sessions: Iterable[int]) -> list[int]:
    """The processes of these sessions, zombies not."""
    wanted = {str(one) for one in sessions}
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat and stat[3] in wanted and stat[0] != "Z":
                found.append(int(entry.name))
    return sorted(found)


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of user and system time these processes have used, their reaped children included."""
    total = 0
    for pid in pids:
        stat = _stat(pid)
        if stat:
            total += sum(int(one) for one in stat[11:15])
    return total * TICK_S


def pss_mib(pids: Iterable[int]) -> float:
    """Proportional set size: a page shared by n processes counts as an nth in each, so once in their sum."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def is_helper(pid: int) -> bool:
    """Whether it is Python's own resource tracker, which works on nothing."""
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True
