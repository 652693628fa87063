"""Contracts that are completed, and what their parties say of each other."""

from typing import Any

from models import contracts, guard, reviews
from models.accounts import Person
from models.contracts import ContractRow
from models.reviews import ReviewRow
from tests import factories


async def a_completed_contract(client: Person | None = None, freelancer: Person | None = None) -> ContractRow:
    """A contract whose work was paid for, completed just now, whose parties may review each other."""
    contract = await factories.a_contract(client, freelancer)
    await guard.rows("update milestones set status = 'released' where contract = $1", contract.id)
    await guard.rows("update projects set status = 'completed' where id = $1", contract.project_id)
    await guard.rows(
        "update contracts set status = 'completed', completed_at = business_now() where id = $1", contract.id
    )
    completed = await contracts.read(contract.id, user_id=contract.client_id, admin=False)
    await guard.commit(reviews.open_window, completed)
    return completed


async def a_review(
    contract: ContractRow, reviewer_id: int, *, rating: int = 5, comment: str = "A pleasure."
) -> ReviewRow:
    """What one party says of the other."""
    return await guard.commit(reviews.write, contract.id, reviewer_id=reviewer_id, rating=rating, comment=comment)


async def both_reviewed(contract: ContractRow, *, of_freelancer: int = 5, of_client: int = 4) -> tuple[ReviewRow, Any]:
    """The client's review, then the freelancer's: both are shown."""
    first = await a_review(contract, contract.client_id, rating=of_freelancer)
    second = await a_review(contract, contract.freelancer_id, rating=of_client)
    return first, second
