"""Who may not write to one, over HTTP."""

from datetime import datetime
from typing import Final

import msgspec
from litestar import Router, delete, get, post

from api.auth import Asking, signed_in
from api.fields import PathId
from api.idempotency import Once, no_id, nothing
from api.pages import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from models import blocks
from models.blocks import BlockRow
from models.guard import commit

LISTING: Final = "blocks"


class BlockOut(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom the caller has blocked."""

    user_id: int
    user_name: str
    created_at: datetime


def show(block: BlockRow) -> BlockOut:
    """The block as it is answered."""
    return BlockOut(user_id=block.user_id, user_name=block.user_name, created_at=block.created_at)


@post("/{user_id:int}/block", status_code=204)
async def block_user(user_id: PathId, caller: Asking, once: Once) -> None:
    """Let nothing be written between the two of you from now on. Nobody is told; a second time changes nothing."""
    await once(blocks.make, user_id, blocker_id=caller.id, made=no_id, again=nothing)


@delete("/{user_id:int}/block")
async def unblock_user(user_id: PathId, caller: Asking) -> None:
    """Take one's block back; where there is none, nothing changes."""
    await commit(blocks.lift, user_id, blocker_id=caller.id)


@get("/me/blocks")
async def list_blocks(caller: Asking, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[BlockOut]:
    """Whom the caller has blocked, the newest first."""
    before = decode_cursor(LISTING, cursor, int)
    found = await blocks.list_own(caller.id, before=before, limit=limit + 1)
    made = page(LISTING, found, limit, lambda one: one.id)
    return Page([show(one) for one in made.items], made.next_cursor)


router = Router(
    "/api/users",
    route_handlers=[block_user, unblock_user, list_blocks],
    tags=["conversations"],
    guards=[signed_in],
)
