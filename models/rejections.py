"""What becomes of the offers that nobody will decide about any more: they are rejected, and their freelancers told."""

from typing import Final

from models import guard, proposals
from models.locks import Noun, is_held, lock

UNDECIDED: Final = "select id from proposals where project = $1 and status in ('submitted', 'shortlisted') order by id"
STILL: Final = (
    proposals.SELECT + "where o.id = any($1::bigint[]) and o.status in ('submitted', 'shortlisted') order by o.id"
)


async def reject_undecided(project_id: int, *, because: str) -> None:
    """Reject every proposal that waits for a decision; `because` is a sentence for its freelancer.

    The project is locked, so nobody joins them meanwhile. Locks the proposals in their order: a caller with several
    projects locks those of all of them first.
    """
    assert is_held(Noun.PROJECT, project_id), "a project's offers are rejected under its lock"
    ids = [one["id"] for one in await guard.rows(UNDECIDED, project_id)]
    await lock(Noun.PROPOSAL, *ids)
    # Read again: somebody who was withdrawing one may have been waited for.
    for found in await guard.rows(STILL, ids):
        await proposals.turn_down(proposals.row_of(found), because)
