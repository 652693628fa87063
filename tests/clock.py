"""The business clock, moved as only a sandbox may."""

from datetime import timedelta

from models import guard

MOVE = """
insert into business_clock (ahead) values ($1)
on conflict (only_one) do update set ahead = business_clock.ahead + excluded.ahead
"""


async def ahead(**much: float) -> None:
    """Let so much business time pass, as days=14."""
    await guard.rows(MOVE, timedelta(**much))
