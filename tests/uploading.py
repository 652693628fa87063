"""Files as their rows are once a job has looked at them; nothing lies in storage."""

from itertools import count
from typing import Final

from models import guard
from models.accounts import Person

_numbers = count(1)

_UPLOAD: Final = """
insert into uploads ("user", purpose, filename, content_type, size_bytes, object_key, status, ready_at)
values ($1, $2, $3, 'image/png', 1000, $4, $5, case when $5 = 'ready' then now() end) returning id
"""


async def an_upload(
    owner: Person, *, purpose: str = "portfolio", status: str = "ready", filename: str = "picture.png"
) -> int:
    """A file of somebody's; its id."""
    made: int = await guard.value(_UPLOAD, owner.id, purpose, filename, f"tests/{owner.id}/{next(_numbers)}", status)
    return made
