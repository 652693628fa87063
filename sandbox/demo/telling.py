"""How the story is told: steps, facts that are checked as they are printed, and the table at the end."""

import time
from decimal import Decimal
from typing import Any


class Telling:
    """Prints each step and counts what was not as it should be."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.steps = 0
        self.wrong = 0

    def step(self, title: str) -> None:
        """Begin a step."""
        self.steps += 1
        print(f"\n{self.steps:>2}. {title}", flush=True)

    def say(self, text: str) -> None:
        """Tell something that needs no check."""
        print(f"      {text}", flush=True)

    def fact(self, what: str, found: Any, wanted: Any) -> None:
        """Tell something, and whether it is as it should be."""
        if found == wanted:
            print(f"    ✓ {what}: {_short(found)}", flush=True)
        else:
            self.wrong += 1
            print(f"    ✗ {what}: {_short(found)}, but it should be {_short(wanted)}", flush=True)

    def table(self, rows: list[tuple[str, str, int]], names: dict[str, str]) -> None:
        """What each account of the ledger holds, in major units (every currency of the story has two decimals)."""
        for account, asset, minor in rows:
            amount = f"{Decimal(minor).scaleb(-2):>14,.2f} {asset}"
            print(f"      {account:<28}{amount}   {names.get(account, '')}".rstrip(), flush=True)

    def end(self) -> int:
        """The last line, and the exit code."""
        took = time.monotonic() - self.began
        verdict = "every figure was right" if self.wrong == 0 else f"{self.wrong} figures were WRONG"
        print(f"\n{self.steps} steps in {took:.1f} s: {verdict}.", flush=True)
        return 0 if self.wrong == 0 else 1


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 90 else text[:87] + "…"
