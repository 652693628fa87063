"""Releases: one row for each movement of a milestone's money to its freelancer."""

from enum import StrEnum

from piccolo.columns import BigInt, BigSerial, Text, Timestamptz
from piccolo.columns.defaults.timestamptz import TimestamptzNow
from piccolo.table import Table

from models.base import restricted
from models.milestones import Milestone
from models.payments import Payment


class ReleaseStatus(StrEnum):
    """Where a release stands."""

    BEGUN = "begun"
    COMPLETED = "completed"
    ABANDONED = "abandoned"


class Release(Table, tablename="releases"):
    """A release with its amounts as frozen when it was asked for: net + fee = gross, exactly."""

    id = BigSerial(primary_key=True)
    milestone = restricted(Milestone)
    payment = restricted(Payment)
    gross_minor = BigInt(default=None)
    fee_minor = BigInt(default=None)
    net_minor = BigInt(default=None)
    currency = Text()
    status = Text(default=ReleaseStatus.BEGUN.value)
    transfer_id = Text(null=True, default=None, unique=True)
    created_at = Timestamptz(default=TimestamptzNow())
    completed_at = Timestamptz(null=True, default=None)
