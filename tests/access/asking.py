"""What a well-formed request to a route is made of. A thing's name is a field of the world, or one that an area added."""

import json
from collections.abc import Callable
from typing import Any

import msgspec


class Asked(msgspec.Struct, frozen=True):
    """What fills a route's template, its query, its JSON body, its headers."""

    path: dict[str, Any] = {}
    query: dict[str, Any] = {}
    body: Any = None
    headers: dict[str, str] = {}

    @property
    def content(self) -> bytes | None:
        """The body's bytes."""
        return None if self.body is None else json.dumps(self.body).encode()


Asking = Callable[[Any, Any], Asked]


def nothing(_: Any, __: Any) -> Asked:
    """A route whose path says it all."""
    return Asked()


def at(**names: str) -> Asking:
    """A route about these things of the world."""
    return lambda world, _: Asked({name: str(thing_of(world, thing)) for name, thing in names.items()})


def says(**body: Any) -> Asking:
    """A route with this body."""
    return lambda _, __: Asked(body=body)


def thing_of(world: Any, name: str) -> Any:
    """A thing of the world by its name."""
    return world.more[name] if name in world.more else getattr(world, name)
