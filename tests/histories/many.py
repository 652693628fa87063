"""Many histories of one machine in the present database, and what they say together."""

from collections.abc import Iterable
from random import Random

from tests.histories.driving import Cast, Driver
from tests.histories.walking import Tally, Walk


async def walk(driver: type[Driver], numbers: Iterable[int], *, seed: int, tally: Tally) -> None:
    """Walk the histories of these numbers; each is the same whenever the same ones went before it."""
    cast = await Cast.gather()
    for number in numbers:
        chance = Random(f"{seed}:{driver.machine.noun}:{number}")
        try:
            await Walk(driver(cast, chance), chance, tally).go()
        except BaseException as wrong:
            wrong.add_note(f"history {number} of seed {seed}")
            raise


def untaken(driver: type[Driver], tally: Tally) -> list[tuple[str, str, str]]:
    """Edges that nobody took, but for those that are owed."""
    return [key for key, times in tally.edges(driver.machine).items() if not times and not why_not(driver, key)]


def why_not(driver: type[Driver], edge: tuple[str, str, str]) -> str:
    """Why an edge (from, verb, to) cannot be taken yet, or nothing."""
    source, verb, _ = edge
    return driver.owed.get(verb) or driver.owed.get(f"{source} {verb}", "")


def untried(driver: type[Driver], tally: Tally) -> list[tuple[str, str, str]]:
    """Absent (state, verb, who), of those there is a door for, that were never tried."""
    states = sorted({one.value for edge in driver.machine.edges for one in (edge.source, edge.target)})
    took = {(source, verb, who) for source, verb, _, who in tally.taken}
    every = ((state, verb, str(who)) for state in states for verb, parts in driver.doors.items() for who in parts)
    return [one for one in every if not tally.refused[one] and one not in took]


def report(driver: type[Driver], tally: Tally) -> str:
    """What was walked, in lines."""
    lines = [f"{driver.machine.noun}: {tally.histories} histories, {tally.steps} steps"]
    for (source, verb, target), times in tally.edges(driver.machine).items():
        owed = why_not(driver, (source, verb, target))
        lines.append(f"  {times:7}  {source} → {target} by {verb}{f' (owed: {owed})' if owed else ''}")
    stayed = sum(times for (source, _, target, _), times in tally.taken.items() if source == target)
    lines.append(f"  {stayed:7}  successes that change no state")
    lines.append(
        f"  {tally.refused.total():7}  refusals, of {len(tally.refused)} different (state, verb, part); "
        f"never tried: {len(untried(driver, tally))}"
    )
    return "\n".join(lines)
