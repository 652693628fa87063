"""The desk's clock of deadlines: `./megilance clock show | +14d | +3h`. It goes forward only.

People's deadlines and the stand-in for Stripe move together: what lapses there in 7 days has lapsed when 14 days have
passed here. Everything else (the queue, tokens, mails' dates) keeps the real time. A deadline that has passed fires
within seconds: the service's clock looks every five.
"""

import asyncio
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Final

import asyncpg
import httpx

from sandbox.desk.record import Record, read_record
from sandbox.desk.surroundings import desk_home

STEP: Final = re.compile(r"\+(\d{1,4})([dhm])")
UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}
LONGEST: Final = timedelta(days=400)
"""As far as Stripe's stand-in moves at once."""

READ: Final = "select coalesce((select ahead from business_clock), interval '0')"
MOVE: Final = """
insert into business_clock (ahead) values ($1)
on conflict (only_one) do update set ahead = business_clock.ahead + excluded.ahead returning ahead
"""


def parse_step(written: str) -> timedelta:
    """`+14d`, `+3h` or `+90m`. Raises ValueError with a sentence."""
    found = STEP.fullmatch(written)
    step = timedelta(**{UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < step <= LONGEST:
        raise ValueError(f"{written!r} is no step: +14d, +3h or +90m, and at most +{LONGEST.days}d at once.")
    return step


async def read(database_url: str) -> timedelta:
    """How far the desk's deadlines are ahead."""
    connection = await asyncpg.connect(database_url)
    try:
        ahead: timedelta = await connection.fetchval(READ)
    finally:
        await connection.close()
    return ahead


async def move(record: Record, step: timedelta) -> timedelta:
    """Let so much time pass on a desk; returns how far ahead it is now.

    Stripe's stand-in first, so that what is due here finds there what would be there by then.
    """
    if "stripe" in record["urls"]:
        async with httpx.AsyncClient(timeout=30) as stripe:
            moved = {"advance_s": int(step.total_seconds())}
            answer = await stripe.post(f"{record['urls']['stripe']}/_sandbox/clock", json=moved)
            answer.raise_for_status()
    connection = await asyncpg.connect(record["environment"]["DATABASE_DIRECT_URL"])
    try:
        ahead: timedelta = await connection.fetchval(MOVE, step)
    finally:
        await connection.close()
    return ahead


def main() -> None:
    """Show or move the clock of the desk that runs."""
    if len(sys.argv) != 2:
        sys.exit("usage: ./megilance clock show | +14d | +3h | +90m")
    record = read_record(desk_home())
    if record is None:
        sys.exit("No desk is running: ./megilance up")
    if record["environment"].get("ENVIRONMENT") == "production":
        sys.exit("This is production, whose deadlines keep the real time.")
    if sys.argv[1] == "show":
        ahead = asyncio.run(read(record["environment"]["DATABASE_DIRECT_URL"]))
    else:
        try:
            step = parse_step(sys.argv[1])
        except ValueError as error:
            sys.exit(str(error))
        ahead = asyncio.run(move(record, step))
    print(f"For deadlines it is {datetime.now(UTC) + ahead:%Y-%m-%d %H:%M} UTC, {ahead} ahead.")


if __name__ == "__main__":
    main()
