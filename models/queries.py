"""Queries by name: what the API asks of large tables, so that a test can hold each of them to its plan.

`query("projects.newest", "select …")` is the text itself and remembers its name. tests/models/test_query_plans.py runs
EXPLAIN on every one of them over a filled database, and refuses a name without a case.
"""

from typing import Final

NAMED: Final[dict[str, str]] = {}
"""Every named query that has been imported: name to SQL."""


def query(name: str, sql: str) -> str:
    """The SQL, known by this name from here on. A name is used once."""
    assert name not in NAMED or sql == NAMED[name], f"two queries are called {name}"
    NAMED[name] = sql
    return sql
