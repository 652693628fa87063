"""Freelancers, portfolios, favourites and reviews."""

from typing import Any, Final

from models import favorites, guard, portfolio
from models.accounts import Person
from tests.access.asking import Asked, Asking, at, thing_of
from tests.access.who import Who
from tests.reviewing import a_completed_contract, a_review, both_reviewed

#                                                anon unver client freel stran admin
WRITTEN: Final = """
GET    /api/freelancers                            401  200  200  200  200  200  everybody signed in
GET    /api/freelancers/{freelancer_id}            401  200  200  200  200  200  everybody signed in, as anybody finds them
GET    /api/portfolio                              401  200  200  200  200  200  everybody signed in
POST   /api/portfolio                              401  403  403  201  403  403  freelancers, their own
PATCH  /api/portfolio/{item_id}                    401  403  403  200  403  403  the freelancer whose work it is
DELETE /api/portfolio/{item_id}                    401  403  403  204  403  403  the freelancer whose work it is
POST   /api/favorites                              401  201  201  201  201  201  everybody signed in, for themselves
GET    /api/favorites                              401  200  200  200  200  200  everybody signed in, their own
DELETE /api/favorites/{favorite_id}                401  404  204  404  404  404  whose favourite it is
POST   /api/reviews                                401  404  201  201  404  403  the parties of a completed contract, once each
GET    /api/reviews                                401  200  200  200  200  200  everybody signed in: what is shown
GET    /api/reviews/{review_id}                    401  404  200  404  404  404  its author alone while it is hidden
POST   /api/reviews/{review_id}/respond            401  404  404  200  404  403  whom it is about, once it is shown
"""

REQUESTS: Final[dict[str, Asking]] = {
    "GET /api/freelancers/{freelancer_id}": at(freelancer_id="other_party"),
    "GET /api/portfolio": lambda world, _: Asked(query={"user_id": world.other_party}),
    "POST /api/portfolio": lambda _, __: Asked(body={"title": "A shop", "url": "https://shop.example.com"}),
    "PATCH /api/portfolio/{item_id}": lambda world, _: Asked(
        {"item_id": str(thing_of(world, "freelancers_edited_item"))}, body={"title": "Another shop"}
    ),
    "DELETE /api/portfolio/{item_id}": at(item_id="freelancers_removed_item"),
    "POST /api/favorites": lambda world, _: Asked(body={"freelancer_id": world.other_party}),
    "DELETE /api/favorites/{favorite_id}": at(favorite_id="freelancers_favorite"),
    "POST /api/reviews": lambda world, _: Asked(
        body={"contract_id": thing_of(world, "freelancers_completed"), "rating": 5, "comment": "A pleasure."}
    ),
    "GET /api/reviews": lambda world, _: Asked(query={"user_id": world.other_party}),
    "GET /api/reviews/{review_id}": at(review_id="freelancers_hidden_review"),
    "POST /api/reviews/{review_id}/respond": lambda world, _: Asked(
        {"review_id": str(thing_of(world, "freelancers_shown_review"))}, body={"response": "Thank you."}
    ),
}


async def make(known: dict[Who, Person], world: dict[str, Any]) -> dict[str, Any]:
    """Write this area's things into the world, of the people in the columns; their ids by name."""
    owner, freelancer = known[Who.CLIENT], known[Who.FREELANCER]
    shown, _ = await both_reviewed(await a_completed_contract(owner, freelancer))
    hidden = await a_review(await a_completed_contract(owner, freelancer), owner.id)
    favorite = await guard.commit(favorites.add_project, world["open_project"], user_id=owner.id, admin=False)
    edited, removed = [await guard.commit(portfolio.add, freelancer.id, title="A shop") for _ in range(2)]
    return {
        "freelancers_completed": (await a_completed_contract(owner, freelancer)).id,
        "freelancers_shown_review": shown.id,
        "freelancers_hidden_review": hidden.id,
        "freelancers_favorite": favorite.id,
        "freelancers_edited_item": edited.id,
        "freelancers_removed_item": removed.id,
    }
