"""The house rules that a program can check: lengths, names, one performer a job, reachable states, no schema drift."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from models import events
from models.jobs import KINDS, POLICIES
from models.letters import MailKind
from models.notifications import NotificationType
from models.states import Machine
from models.timers import TimerKind
from tests.histories.machines import ALL as MACHINES

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "models", "realtime", "sandbox", "tasks", "wire")
MODULE_LINES, FUNCTION_LINES, HANDLER_LINES = 400, 62, 15
VAGUE = {"utils", "helpers", "helper", "common", "misc", "service", "services", "manager", "base_service"}


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from (path for path in (ROOT / package).rglob("*.py") if "marketplace_" not in path.name)


def functions() -> Iterator[tuple[Path, ast.AsyncFunctionDef | ast.FunctionDef]]:
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef):
                yield path, node


def length(node: ast.AsyncFunctionDef | ast.FunctionDef) -> int:
    """Lines of code, without the docstring."""
    first = node.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    began = (first.end_lineno or 0) + 1 if documented else node.lineno
    return (node.end_lineno or 0) - began + 1


def test_modules_are_short() -> None:
    long = {
        str(path.relative_to(ROOT)): n for path in sources() if (n := len(path.read_text().splitlines())) > MODULE_LINES
    }

    assert long == {}


def test_functions_are_short() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{node.name}" for path, node in functions() if length(node) > FUNCTION_LINES
    ] == []


def test_handlers_are_thin() -> None:
    verbs = {"get", "post", "patch", "put", "delete"}
    thick = [
        f"{path.name}:{node.name} ({length(node)})"
        for path, node in functions()
        if path.parent.name in {"api", "admin"}
        and any(isinstance(one, ast.Call) and getattr(one.func, "id", "") in verbs for one in node.decorator_list)
        and length(node) > HANDLER_LINES
    ]

    assert thick == []


def test_files_are_named_for_the_business() -> None:
    assert [str(path) for path in sources() if path.stem in VAGUE] == []


def test_only_settings_reads_the_environment() -> None:
    readers = [
        str(path)
        for path in sources()
        if path.parts[len(ROOT.parts)] != "sandbox" and re.search(r"os\.(environ|getenv)", path.read_text())
    ]

    assert readers == []


def test_no_file_names_this_machine_or_a_registry() -> None:
    host = "py" + "pi.org"
    lists = list(ROOT.glob("requirements*.txt"))

    assert lists
    assert [path.name for path in lists if "://" in path.read_text() or host in path.read_text()] == []


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.noun)
def test_every_state_is_reachable_and_every_change_is_listed_once(machine: Machine) -> None:
    reached = {machine.start}
    for _ in type(machine.start):
        reached |= {edge.target for edge in machine.edges if edge.source in reached}

    assert reached == set(type(machine.start))
    assert len({(edge.source, edge.target, edge.verb) for edge in machine.edges}) == len(machine.edges)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.noun)
def test_what_a_machine_writes_has_a_name(machine: Machine) -> None:
    told = {event.name for event in vars(events).values() if isinstance(event, type) and hasattr(event, "name")}
    for edge in machine.edges:
        assert set(edge.tells) <= set(NotificationType)
        assert set(edge.mails) <= set(MailKind)
        assert set(edge.events) <= told
        assert not edge.timer or edge.timer in set(TimerKind)


def test_no_machine_is_forgotten() -> None:
    written = {path.stem for path in (ROOT / "models").glob("*.py") if "MACHINE: Final" in path.read_text()}

    assert len(written) == len(MACHINES) == len({machine.noun for machine in MACHINES})


def test_every_job_has_one_performer_and_every_queue_a_policy() -> None:
    from tasks import worker  # noqa: F401
    from tasks.job import PERFORMERS

    # Tests of the queue bring performers of their own.
    assert {kind for kind in PERFORMERS if not kind.startswith("probe.")} == set(KINDS)
    assert {job.queue for job in KINDS.values()} <= set(POLICIES)
