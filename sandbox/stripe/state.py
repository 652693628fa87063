"""What the sandbox remembers: one SQLite file, one writer, and nothing answered before it is committed."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sandbox.stripe.wire import Object

PLATFORM = ""
"""The owner of what belongs to the platform itself; otherwise the owner is a connected account's id."""
CALLS_KEPT = 20_000
"""Rows of the call log; a demo makes hundreds."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, owner TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS object_by_kind ON object (kind, owner, seq);
CREATE INDEX IF NOT EXISTS object_by_status ON object (kind, json_extract(body, '$.status'));
CREATE INDEX IF NOT EXISTS object_by_intent ON object (kind, json_extract(body, '$.payment_intent'));
CREATE TABLE IF NOT EXISTS answer (
    owner TEXT NOT NULL, key TEXT NOT NULL, path TEXT NOT NULL, fingerprint TEXT NOT NULL, status INTEGER NOT NULL,
    body TEXT NOT NULL, request_id TEXT NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (owner, key)
);
CREATE TABLE IF NOT EXISTS received (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL,
    idempotency_key TEXT, account TEXT, status INTEGER, replayed INTEGER NOT NULL, fault TEXT, request_id TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS delivery (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, event TEXT NOT NULL, due_at REAL NOT NULL, begun_at REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'pending', last_answer TEXT
);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (state, due_at);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class Store:
    """The sandbox's objects and its own records.

    Every method runs to its end without yielding to the event loop, so requests are serialised by construction.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        # The loop's thread is the only one that uses the connection, but not always the one that opens it.
        self._db = sqlite3.connect(directory / "stripe.sqlite3", isolation_level=None, check_same_thread=False)
        self._db.row_factory = sqlite3.Row
        # With a write-ahead log a commit survives the death of the process, which is what a demo inflicts; only a
        # power cut could lose the last ones, and even that leaves the file consistent.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def savepoint(self) -> None:
        """Mark the place to which `rollback_to_savepoint` returns."""
        self._db.execute("SAVEPOINT work")

    def rollback_to_savepoint(self) -> None:
        """Undo what was written since the savepoint, and nothing before it."""
        self._db.execute("ROLLBACK TO work")

    def add(self, document: Object, owner: str) -> Object:
        """Keep a new object."""
        self._db.execute(
            "INSERT INTO object (id, kind, owner, body) VALUES (?, ?, ?, ?)",
            (document["id"], document["object"], owner, json.dumps(document)),
        )
        return document

    def save(self, document: Object) -> Object:
        """Keep an object's new state."""
        done = self._db.execute("UPDATE object SET body = ? WHERE id = ?", (json.dumps(document), document["id"]))
        assert done.rowcount == 1, document["id"]
        return document

    def find(self, object_id: str, owner: str | None, kind: str | None = None) -> Object | None:
        """The object of that id, or None when the owner has none; any owner's when `owner` is None."""
        row = self._db.execute(
            "SELECT body FROM object WHERE id = ? AND (? IS NULL OR owner = ?) AND (? IS NULL OR kind = ?)",
            (object_id, owner, owner, kind, kind),
        ).fetchone()
        return None if row is None else dict(json.loads(row["body"]))

    def owner_of(self, object_id: str) -> str:
        """Whose object it is."""
        return str(self._db.execute("SELECT owner FROM object WHERE id = ?", (object_id,)).fetchone()["owner"])

    def select(
        self,
        kind: str,
        owner: str | None,
        where: Object | None = None,
        *,
        limit: int = -1,
        after: str | None = None,
        before: str | None = None,
    ) -> list[Object]:
        """The objects of a kind, newest first.

        `where` maps a field, or a field and a comparison (`"created >="`), to a value; `after` and `before` are ids.
        """
        clauses, values = ["kind = ?"], [kind]
        if owner is not None:
            clauses.append("owner = ?")
            values.append(owner)
        for name, value in (where or {}).items():
            field, _, comparison = name.partition(" ")
            clauses.append(f"json_extract(body, '$.{field}') {comparison or '='} ?")
            values.append(value)
        if after is not None:
            clauses.append("seq < (SELECT seq FROM object WHERE id = ?)")
            values.append(after)
        if before is not None:
            clauses.append("seq > (SELECT seq FROM object WHERE id = ?)")
            values.append(before)
        order = "ASC" if before is not None else "DESC"
        # Only field names written in this package enter the text of the statement; values are bound.
        rows = self.rows(
            f"SELECT body FROM object WHERE {' AND '.join(clauses)} ORDER BY seq {order} LIMIT ?",
            *values,
            limit,
        )
        found: list[Object] = [json.loads(row["body"]) for row in rows]
        return found[::-1] if before is not None else found

    def rows(self, statement: str, *values: Any) -> list[Object]:
        """The rows of one statement, as dicts."""
        return [dict(row) for row in self._db.execute(statement, values).fetchall()]

    def run(self, statement: str, *values: Any) -> int:
        """Carry out one statement; the number of rows it touched."""
        return self._db.execute(statement, values).rowcount

    def setting(self, name: str, default: Any) -> Any:
        """A switch's value; it survives a restart like everything else."""
        rows = self.rows("SELECT value FROM setting WHERE name = ?", name)
        return json.loads(rows[0]["value"]) if rows else default

    def set(self, name: str, value: Any) -> None:
        """Turn a switch."""
        self.run("INSERT OR REPLACE INTO setting (name, value) VALUES (?, ?)", name, json.dumps(value))

    def now(self) -> int:
        """The sandbox's time: the real one and what the clock was moved by, in seconds since 1970."""
        return int(time.time()) + int(self.setting("clock_offset_s", 0))

    def log_call(self, call: Object) -> None:
        """Remember one request; the oldest rows beyond the limit are forgotten."""
        names = ("at", "method", "path", "idempotency_key", "account", "status", "replayed", "fault", "request_id")
        self.run(
            f"INSERT INTO received ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            *(call[name] for name in names),
        )
        self.run("DELETE FROM received WHERE seq <= (SELECT max(seq) FROM received) - ?", CALLS_KEPT)
