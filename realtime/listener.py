"""One signed-in socket: whose it is, until when, and how far it has heard each audience."""

from dataclasses import dataclass, field
from uuid import UUID

from models.events import Audience, user


@dataclass(slots=True, eq=False)
class Listener:
    """A socket after its sign-in. `cursors` holds the last number it was sent, for each audience it follows."""

    sid: str
    engine_sid: str
    user_id: int
    session_id: UUID
    expires_unix_s: int
    wants_meta: bool
    events_after: int | None
    head: int
    warned_of_expiry: bool = False
    cursors: dict[Audience, int] = field(default_factory=dict)

    @property
    def own(self) -> Audience:
        """The person's own audience, followed by every socket."""
        return user(self.user_id)
