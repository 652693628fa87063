"""What a connection through a pooler takes for granted: what a statement returns is what it returned before."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
RETYPED = re.compile(r"alter\s+(column\s+)?\S+\s+(set\s+data\s+)?type\s", re.IGNORECASE)
CLASSES = re.compile(r"(?<!old_)column_class=(\w+),\s*old_column_class=(\w+)")
EVERYTHING = re.compile(r"select\s+\*\s+from|returning\s+\*", re.IGNORECASE)


def test_no_migration_changes_the_type_of_a_column() -> None:
    migrations = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "models" / "migrations").glob("*.py")}

    assert migrations
    assert [name for name, text in migrations.items() if RETYPED.search(text)] == []
    assert [name for name, text in migrations.items() if any(a != b for a, b in CLASSES.findall(text))] == []


def test_every_statement_names_its_columns() -> None:
    sources = [path for package in ("api", "models", "realtime", "tasks") for path in (ROOT / package).rglob("*.py")]

    assert [path.name for path in sources if EVERYTHING.search(path.read_text(encoding="utf-8"))] == []


def test_nobody_listens_or_locks_for_a_session_on_a_lent_connection() -> None:
    """What outlives a transaction belongs to connections of one's own: the relay's lock, and nothing else."""
    kept = re.compile(r"pg_(try_)?advisory_lock\(|add_listener\(|\(\s*[\"'](listen |set (?!local|transaction))")
    holders = {
        path.relative_to(ROOT).as_posix()
        for package in ("api", "models", "realtime", "tasks")
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts and kept.search(path.read_text(encoding="utf-8"))
    }

    assert holders == {"tasks/relay.py"}
