"""Every machine there is."""

from typing import Any, Final

from models import (
    contracts,
    counter_offers,
    disputes,
    invitations,
    milestones,
    projects,
    proposals,
    refund_requests,
    reviews,
    support,
    time_entries,
    time_weeks,
    uploads,
)
from models.states import Machine

ALL: Final[tuple[Machine[Any], ...]] = (
    projects.MACHINE,
    invitations.MACHINE,
    proposals.MACHINE,
    counter_offers.MACHINE,
    contracts.MACHINE,
    milestones.MACHINE,
    refund_requests.MACHINE,
    disputes.MACHINE,
    time_entries.MACHINE,
    time_weeks.MACHINE,
    reviews.MACHINE,
    support.MACHINE,
    uploads.MACHINE,
)
"""In the order in which a contract meets them."""

BY_NOUN: Final = {machine.noun: machine for machine in ALL}
