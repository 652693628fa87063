"""A driver for each machine."""

from typing import Final

from tests.histories.drivers.contracts import Contracts
from tests.histories.drivers.counter_offers import CounterOffers
from tests.histories.drivers.disputes import Disputes
from tests.histories.drivers.invitations import Invitations
from tests.histories.drivers.milestones import Milestones
from tests.histories.drivers.projects import Projects
from tests.histories.drivers.proposals import Proposals
from tests.histories.drivers.refund_requests import RefundRequests
from tests.histories.drivers.reviews import Reviews
from tests.histories.drivers.tickets import Tickets
from tests.histories.drivers.time_entries import TimeEntries
from tests.histories.drivers.uploads import Uploads
from tests.histories.drivers.weeks import Weeks
from tests.histories.driving import Driver

ALL: Final[tuple[type[Driver], ...]] = (
    Projects,
    Invitations,
    Proposals,
    CounterOffers,
    Contracts,
    Milestones,
    RefundRequests,
    Disputes,
    TimeEntries,
    Weeks,
    Reviews,
    Tickets,
    Uploads,
)
"""In the order of the machines."""
