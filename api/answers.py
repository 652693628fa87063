"""How bodies are written and read: decimals are JSON numbers on both ways, and never floats between.

And what OPTIONS says.
"""

from decimal import Decimal, InvalidOperation
from typing import Any, Final, TypeVar

import msgspec
from litestar import Request, Response
from litestar.datastructures import MutableScopeHeaders
from litestar.datastructures.state import State
from litestar.exceptions import SerializationException
from litestar.serialization import default_serializer
from litestar.types import Empty, Message, Scope

T = TypeVar("T")

_encoder: Final = msgspec.json.Encoder(decimal_format="number", enc_hook=default_serializer)
_decoder: Final = msgspec.json.Decoder(float_hook=Decimal)
_JSON: Final = ("application/json", "application/problem+json")


class Answer(Response[T]):
    """A response whose JSON is msgspec's own: decimals as numbers, times as RFC 3339 with Z."""

    def render(self, content: Any, media_type: str, enc_hook: Any = default_serializer) -> bytes:
        """The body's bytes."""
        if media_type in _JSON and not isinstance(content, bytes):
            return _encoder.encode(content)
        return super().render(content, media_type, enc_hook)


class Question(Request[Any, Any, State]):
    """A request whose numbers with a point are decimals from the first byte: a float would round money."""

    async def json(self) -> Any:
        """The body, decoded once. Raises SerializationException."""
        if self._json is Empty:
            try:
                self._json = self._connection_state.json = _decoder.decode(await self.body() or b"null")
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InvalidOperation) as wrong:
                raise SerializationException(str(wrong)) from wrong
        return self._json


async def tell_methods(message: Message, scope: Scope) -> None:
    """Name all methods of a path in an answer to OPTIONS: the framework names those of the handler it met first."""
    if message["type"] != "http.response.start" or scope.get("method") != "OPTIONS":
        return
    for route in scope["litestar_app"].routes:
        if route.path_format == scope.get("path_template"):
            MutableScopeHeaders.from_message(message)["Allow"] = ", ".join(sorted(route.methods))
