"""docs/states.md, made from the machines: `python -m tests.histories.page`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from models.states import Edge, Machine
from tests.histories.machines import ALL

PAGE: Final = Path(__file__).parents[2] / "docs" / "states.md"

_HEAD: Final = """# What may become of what

Written by `python -m tests.histories.page` from the tables in models/, each beside its noun. A change that is not listed here does not exist: asking for it is a
409 that says what the state has to be. **by** is somebody's part in the thing, not a role of the platform; *system* is a deadline, a provider's callback or a change
of something above it. **timer** is the deadline that the change sets; notifications, mails and events are written in the change's own transaction.
Random histories of every machine hold the code to these tables: `./megilance histories`.
"""
_COLUMNS: Final = ("from", "to", "verb", "by", "guard", "timer", "mails", "notifications", "events")


def _diagram(machine: Machine[Any]) -> str:
    ways: dict[tuple[str, str], list[str]] = {}
    for edge in machine.edges:
        ways.setdefault((edge.source.value, edge.target.value), []).append(edge.verb.replace("_", " "))
    last = {edge.target.value for edge in machine.edges} - {edge.source.value for edge in machine.edges}
    lines = ["stateDiagram-v2", f"    [*] --> {machine.start.value}"]
    lines += [f"    {source} --> {target}: {', '.join(verbs)}" for (source, target), verbs in ways.items()]
    lines += [f"    {state} --> [*]" for state in sorted(last)]
    return "\n".join(lines)


def _row(edge: Edge[Any]) -> str:
    cells = (
        edge.source.value,
        edge.target.value,
        f"`{edge.verb}`",
        ", ".join(edge.by),
        edge.guard,
        _code(edge.timer.split() if edge.timer else ()),
        _code(edge.mails),
        _code(edge.tells),
        _code(edge.events),
    )
    return f"| {' | '.join(cells)} |"


def _code(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _section(machine: Machine[Any]) -> str:
    rows = [f"| {' | '.join(_COLUMNS)} |", f"|{'---|' * len(_COLUMNS)}", *(_row(edge) for edge in machine.edges)]
    title = machine.noun[0].upper() + machine.noun[1:]
    return f"## {title}\n\n```mermaid\n{_diagram(machine)}\n```\n\n" + "\n".join(rows) + "\n"


def written() -> str:
    """The page's text."""
    return _HEAD + "\n" + "\n".join(_section(machine) for machine in ALL)


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
