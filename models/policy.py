"""What the settings tell the domain, as one frozen argument: the domain never reads settings."""

from models.base import Record


class Policy(Record, frozen=True):
    """Fees and clocks that are policy."""

    fee_bp: int
    funding_expires_s: int = 15 * 60
    hold_days: int = 5
    """A hold is escrow for so many days: the card networks' 7, or 5 for a merchant-initiated Visa."""
