"""Money as integers of the smallest unit, and the one table of how many decimals a currency has.

Refuses floats, amounts finer than the currency, and arithmetic across currencies.
"""

from decimal import Decimal
from typing import Final, Self

import msgspec

from models.errors import AmountTooPrecise, CurrencyUnsupported

EXPONENTS: Final[dict[str, int]] = {
    "USD": 2, "EUR": 2, "GBP": 2, "CHF": 2, "CAD": 2, "AUD": 2, "NZD": 2, "SEK": 2, "NOK": 2, "DKK": 2, "PLN": 2,
    "CZK": 2, "RON": 2, "BGN": 2, "INR": 2, "SGD": 2, "HKD": 2, "BRL": 2, "MXN": 2, "ZAR": 2, "TRY": 2, "ILS": 2,
    "AED": 2, "SAR": 2, "THB": 2, "MYR": 2, "PHP": 2, "IDR": 2, "PKR": 2, "BDT": 2, "NGN": 2, "KES": 2, "EGP": 2,
    "HUF": 2, "TWD": 2, "ISK": 2, "UGX": 2,
    "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "JPY": 0, "KMF": 0, "KRW": 0, "MGA": 0, "PYG": 0, "RWF": 0, "VND": 0,
    "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
    "BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3,
}  # fmt: skip
"""Decimals of each currency as Stripe counts them (its zero- and three-decimal lists differ from ISO 4217's)."""

STEP_MINOR: Final[dict[str, int]] = {"ISK": 100, "UGX": 100, "BHD": 10, "JOD": 10, "KWD": 10, "OMR": 10, "TND": 10}
"""Amounts that Stripe takes only in multiples: whole kronur and shillings, three-decimal currencies ending in 0."""

MAX_MINOR: Final = 99_999_999
"""Stripe's largest charge: eight digits of the smallest unit."""

MAX_DIGITS: Final = 18
"""Digits an amount may have: below the precision of Decimal arithmetic, so that nothing is rounded unseen."""

BASIS_POINTS: Final = 10_000


class Money(msgspec.Struct, frozen=True):
    """An amount in the smallest unit of an upper-case ISO 4217 currency."""

    minor: int
    currency: str

    @classmethod
    def from_major(cls, amount: Decimal, currency: str) -> Self:
        """Decimal major units to Money, exactly.

        Raises CurrencyUnsupported for a currency not in the table, AmountTooPrecise for a fraction of its smallest
        unit or of the multiple that the card network takes.
        """
        code = currency.upper()
        if code not in EXPONENTS:
            raise CurrencyUnsupported(f"{currency!r} is not a currency we take.")
        if not amount.is_finite() or len(amount.as_tuple().digits) > MAX_DIGITS or abs(amount.adjusted()) > MAX_DIGITS:
            raise AmountTooPrecise(f"An amount has at most {MAX_DIGITS} digits.")
        scaled = amount.scaleb(EXPONENTS[code])
        if scaled != scaled.to_integral_value():
            raise AmountTooPrecise(f"{amount} {code} has more than {EXPONENTS[code]} decimals.")
        minor = int(scaled)
        if minor % STEP_MINOR.get(code, 1):
            raise AmountTooPrecise(f"{amount} {code} is not a multiple of {STEP_MINOR[code]} smallest units.")
        return cls(minor, code)

    @property
    def major(self) -> Decimal:
        """The amount in major units, with exactly the currency's decimals."""
        return Decimal(self.minor).scaleb(-EXPONENTS[self.currency])

    def __str__(self) -> str:
        return f"{self.major:,} {self.currency}"


def share_of(whole: Money, share_bp: int) -> Money:
    """A part of an amount: basis points, rounded half to even, once, here.

    Rounded to the multiple that the card network takes in this currency, so that the part and the rest both are one.
    """
    step = STEP_MINOR.get(whole.currency, 1)
    unit = BASIS_POINTS * step
    quotient, remainder = divmod(whole.minor * share_bp, unit)
    up = 2 * remainder > unit or (2 * remainder == unit and quotient % 2 == 1)
    return Money((quotient + up) * step, whole.currency)


def fee_of(gross: Money, fee_bp: int) -> Money:
    """The platform's fee on an amount, in basis points."""
    return share_of(gross, fee_bp)
