"""`python -m tasks.prove [SUBJECT …]`: the ledger's proof as JSON, and the journals about each subject.

For a person or a program; exit code 1 when the proof does not hold. A subject is written `milestone:7`.
"""

import asyncio
import sys
from typing import Any

import msgspec

from models import guard
from models.ledger import proof


async def prove(subjects: list[str]) -> dict[str, Any]:
    """Run every check on one snapshot, and say what each account holds in its smallest unit."""
    await guard.open_pool(max_size=2)
    try:
        found = await proof.prove()
        held = await proof.holdings()
        histories = {subject: await proof.history(subject) for subject in subjects}
    finally:
        await guard.close_pool()
    return {
        "journals": found.journals,
        "postings": found.postings,
        "differences": msgspec.to_builtins(found.differences),
        "histories": histories,
        "holdings": [{"account": account, "asset": asset, "amount": amount} for account, asset, amount in held],
    }


if __name__ == "__main__":
    outcome = asyncio.run(prove(sys.argv[1:]))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(outcome)).decode() + "\n")
    sys.exit(1 if outcome["differences"] else 0)
