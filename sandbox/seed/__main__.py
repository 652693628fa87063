"""`python -m sandbox.seed --size small|large [--seed N]`: what ./megilance seed runs, in the desk's environment."""

import argparse
import asyncio
import os
import sys
import time
from datetime import UTC, datetime

from sandbox.seed.market import UNTIL, SeedRefused, load
from sandbox.seed.people import PASSWORD, email
from sandbox.seed.plan import FIRST_CLIENT, FIRST_FREELANCER, SIZES


def _moment(written: str) -> datetime:
    """A date, or a date and time, in UTC; argparse tells a ValueError."""
    return datetime.fromisoformat(written).replace(tzinfo=UTC)


def main() -> None:
    """Load, and say what there is and who can sign in."""
    parser = argparse.ArgumentParser(prog="./megilance seed", description="Fill an empty desk with a marketplace.")
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--seed", type=int, default=1, help="another number: other people, other words")
    parser.add_argument("--until", type=_moment, default=UNTIL, help="when the data end (default: %(default)s)")
    parser.add_argument("--database-url", default=os.environ.get("DATABASE_DIRECT_URL"))
    asked = parser.parse_args()
    if os.environ.get("ENVIRONMENT") == "production":
        sys.exit("ENVIRONMENT is `production`: made-up people are for a desk.")
    if not asked.database_url:
        sys.exit("Say where with --database-url, or run ./megilance seed beside a desk.")
    began = time.monotonic()
    try:
        counts = asyncio.run(load(asked.database_url, SIZES[asked.size], seed=asked.seed, until=asked.until))
    except SeedRefused as refused:
        sys.exit(str(refused))
    for table, count in counts.items():
        print(f"{table:24}{count:>12,}")
    print(f"in {time.monotonic() - began:.0f} s")
    print(f"Sign in as {email(FIRST_CLIENT)} (a client) or {email(FIRST_FREELANCER)} (a freelancer): {PASSWORD}")


if __name__ == "__main__":
    main()
