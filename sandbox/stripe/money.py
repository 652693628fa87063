"""What Stripe knows of currencies and fees: which it takes, the bounds of an amount, how an amount is written."""

from sandbox.stripe.wire import Params, invalid

FEE_PER_MILLE = 29
FEE_FIXED_MINOR = 30
"""2.9 % and 30 minor units a charge: Stripe's list price for a card in the USA."""
AMOUNT_MAX_MINOR = 99_999_999
"""Eight digits, Stripe's bound for most currencies."""
AMOUNT_MIN_MINOR = 50
"""50 cents; Stripe's minimum differs by currency, most are within a factor of two of this."""

_ZERO_DECIMAL = "bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf"
_THREE_DECIMAL = "bhd jod kwd omr tnd"
_TWO_DECIMAL = """
aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad cdf chf cny cop crc
cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl hrk htg huf idr ils inr isk jmd kes kgs
khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen
pgk php pkr pln qar ron rsd rub sar sbd scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah ugx
usd uyu uzs wst xcd xcg yer zar zmw
"""
ZERO_DECIMAL = frozenset(_ZERO_DECIMAL.split())
THREE_DECIMAL = frozenset(_THREE_DECIMAL.split())
CURRENCIES = ZERO_DECIMAL | THREE_DECIMAL | frozenset(_TWO_DECIMAL.split())


def read_currency(params: Params) -> str:
    """The request's currency in lower case. Raises StripeError for one Stripe does not take."""
    given = params.required_text("currency")
    currency = given.lower()
    if currency not in CURRENCIES:
        raise invalid(f"Invalid currency: {given}. Stripe does not support this currency.", "currency")
    return currency


def read_amount(params: Params, currency: str) -> int:
    """The request's amount in minor units, within Stripe's bounds."""
    amount_minor = params.required_integer("amount")
    least_minor = AMOUNT_MIN_MINOR * 10 if currency in THREE_DECIMAL else AMOUNT_MIN_MINOR
    if amount_minor < 0:
        raise invalid("This value must be greater than or equal to 0.", "amount", "parameter_invalid_integer")
    if amount_minor < least_minor:
        raise invalid(
            f"Amount must be at least {written(least_minor, currency)}. The amount needs to be larger.",
            "amount",
            "amount_too_small",
        )
    if amount_minor > AMOUNT_MAX_MINOR:
        raise invalid(
            f"Amount must be no more than {written(AMOUNT_MAX_MINOR, currency)}", "amount", "amount_too_large"
        )
    if currency in THREE_DECIMAL and amount_minor % 10:
        raise invalid(f"Invalid amount: {currency} amounts must end in 0.", "amount")
    return amount_minor


def fee_of(amount_minor: int) -> int:
    """Stripe's fee on a captured amount, rounded half up to the minor unit."""
    return (amount_minor * FEE_PER_MILLE + 500) // 1000 + FEE_FIXED_MINOR


def written(amount_minor: int, currency: str) -> str:
    """The amount in major units with its currency: `12.00 usd`."""
    digits = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    if not digits:
        return f"{amount_minor} {currency}"
    major, minor = divmod(abs(amount_minor), 10**digits)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{major}.{minor:0{digits}d} {currency}"
