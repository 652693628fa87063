"""Conversations, messages and blocks."""

from typing import Any, Final

from models import conversations, guard, messages
from models.accounts import Person
from models.messages import Written
from tests import factories
from tests.access.asking import Asked, Asking, at
from tests.access.who import Who

#                                                anon unver client freel stran admin
WRITTEN: Final = """
POST   /api/conversations                          401  403  200  200  200  200  everybody verified, with whom they are not blocked
GET    /api/conversations                          401  200  200  200  200  200  everybody signed in, their own
GET    /api/conversations/{conversation_id}        401  404  200  200  404  404  its two people, no admin either
POST   /api/conversations/{conversation_id}/read   401  404  200  200  404  404  its two people, for themselves
POST   /api/messages                               401  403  201  201  404  404  the chat's two people, verified
GET    /api/messages                               401  404  200  200  404  404  the chat's two people, no admin either
GET    /api/messages/search                        401  200  200  200  200  200  everybody signed in, in their own chats
PATCH  /api/messages/{message_id}                  401  403  200  403  404  404  who wrote it, verified; not who received it
DELETE /api/messages/{message_id}                  401  404  204  403  404  404  who wrote it; not who received it
POST   /api/users/{user_id}/block                  401  204  204  204  204  204  everybody signed in, for themselves
DELETE /api/users/{user_id}/block                  401  204  204  204  204  204  everybody signed in, their own block
GET    /api/users/me/blocks                        401  200  200  200  200  200  everybody signed in, their own
"""

REQUESTS: Final[dict[str, Asking]] = {
    "POST /api/conversations": lambda world, _: Asked(body={"user_id": world.more["talk_friend"]}),
    "GET /api/conversations/{conversation_id}": at(conversation_id="talk_chat"),
    "POST /api/conversations/{conversation_id}/read": lambda world, _: Asked(
        {"conversation_id": str(world.more["talk_chat"])}, body={"seq": 1}
    ),
    "POST /api/messages": lambda world, _: Asked(
        body={"conversation_id": world.more["talk_chat"], "content": "One more thing"}
    ),
    "GET /api/messages": lambda world, _: Asked(query={"conversation_id": world.more["talk_chat"]}),
    "GET /api/messages/search": lambda _, __: Asked(query={"q": "secret"}),
    "PATCH /api/messages/{message_id}": lambda world, _: Asked(
        {"message_id": str(world.more["talk_slip"])}, body={"content": "A secret"}
    ),
    "DELETE /api/messages/{message_id}": at(message_id="talk_regret"),
    "POST /api/users/{user_id}/block": at(user_id="talk_pest"),
    "DELETE /api/users/{user_id}/block": at(user_id="talk_pest"),
}


async def make(known: dict[Who, Person], world: dict[str, Any]) -> dict[str, Any]:
    """A chat of the client and the freelancer with messages of the client's, a friend and a pest of everybody's."""
    client, freelancer = known[Who.CLIENT], known[Who.FREELANCER]
    chat = await guard.commit(conversations.open, freelancer.id, user_id=client.id)
    slip, regret = [
        await guard.commit(messages.send, Written(content=content), sender_id=client.id, conversation_id=chat.id)
        for content in ("A secert", "A secret")
    ]
    return {
        "talk_chat": chat.id,
        "talk_slip": slip.id,
        "talk_regret": regret.id,
        "talk_friend": (await factories.a_freelancer()).id,
        "talk_pest": (await factories.a_freelancer()).id,
    }
