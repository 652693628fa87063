"""docs/access.md, made from the table: `python -m tests.access.page`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tests.access.who_may import WHO_MAY, Line, Who

PAGE: Final = Path(__file__).parents[2] / "docs" / "access.md"

_HEAD: Final = """# Who may do what

Written from the contract, and by `python -m tests.access.page` from the table in tests/access/who_may.py: each number is the status of a well-formed
request with real ids. **anonymous** nobody signed in · **unverified** a client whose address is not verified · **client** the one the things
belong to, who has just proved a second factor · **freelancer** the other party · **stranger** a client who has nothing to do with them · **admin** with a proved session.
A test sends every one of these requests and sees that no row moves when it is refused. A route that has no line here fails it.
401: say who you are. 403: you may see it, or its kind, and not do this. 404: not there, as far as you are concerned. 409: you have nothing
to do it with. 422: it proves nothing of yours. 202: a job was accepted, or a mail is on its way.
"""


def _table(lines: Iterable[Line]) -> str:
    rows = [f"| route | {' | '.join(Who)} | who |", f"|---|{'---:|' * len(Who)}---|"]
    rows += [f"| `{one.route}` | {' | '.join(str(one.statuses[who]) for who in Who)} | {one.rule} |" for one in lines]
    return "\n".join(rows) + "\n"


def written() -> str:
    """The page's text."""
    return f"{_HEAD}\n{_table(WHO_MAY)}"


if __name__ == "__main__":
    PAGE.write_text(written(), encoding="utf-8")
