"""A few histories of every machine in each run of the suite; `./megilance histories` walks thousands."""

import pytest

from tests.histories import machines
from tests.histories.drivers import ALL
from tests.histories.driving import Driver
from tests.histories.many import untaken, walk
from tests.histories.walking import Tally

HISTORIES = 25


@pytest.mark.parametrize("driver", ALL, ids=lambda driver: driver.machine.noun)
async def test_histories_keep_to_the_table(database: str, driver: type[Driver]) -> None:
    tally = Tally()

    await walk(driver, range(HISTORIES), seed=1, tally=tally)

    assert tally.histories == HISTORIES
    assert untaken(driver, tally) == []
    assert tally.refused.total() > HISTORIES


def test_every_machine_is_walked() -> None:
    assert tuple(driver.machine for driver in ALL) == machines.ALL


@pytest.mark.parametrize("driver", ALL, ids=lambda driver: driver.machine.noun)
def test_a_driver_has_a_door_for_each_verb(driver: type[Driver]) -> None:
    verbs = {edge.verb for edge in driver.machine.edges}

    assert set(driver.doors) <= verbs
    assert verbs - set(driver.doors) <= set(driver.owed)
    assert {*driver.also, *driver.staying, *driver.bare} <= verbs
