"""Money: integers in, integers out, and nothing rounded unseen."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import AmountTooPrecise, CurrencyUnsupported
from models.money import BASIS_POINTS, EXPONENTS, MAX_MINOR, STEP_MINOR, Money, fee_of

amounts = st.builds(
    lambda steps, code: Money(steps * STEP_MINOR.get(code, 1), code),
    st.integers(-MAX_MINOR, MAX_MINOR),
    st.sampled_from(sorted(EXPONENTS)),
)


@given(amounts)
def test_major_units_and_back_is_the_same_money(money: Money):
    assert Money.from_major(money.major, money.currency) == money
    assert Money.from_major(money.major, money.currency.lower()) == money
    assert -money.major.as_tuple().exponent == EXPONENTS[money.currency]  # type: ignore[operator]


@given(amounts, st.integers(0, 5_000))
def test_fee_and_net_are_gross_and_the_fee_is_the_nearest(money: Money, fee_bp: int):
    gross = Money(abs(money.minor), money.currency)
    fee = fee_of(gross, fee_bp)
    assert fee.currency == gross.currency
    assert 0 <= fee.minor <= gross.minor
    step = STEP_MINOR.get(gross.currency, 1)  # the card network takes neither fee nor net otherwise
    exact = Decimal(gross.minor) * fee_bp / BASIS_POINTS / step
    assert fee.minor == int(exact.to_integral_value()) * step  # Decimal rounds half to even too


@given(st.integers(1, MAX_MINOR), st.integers(1, 5_000))
def test_a_freelancer_is_never_left_with_nothing(gross_minor: int, fee_bp: int):
    assert gross_minor - fee_of(Money(gross_minor, "USD"), fee_bp).minor > 0


@pytest.mark.parametrize(
    ("gross_minor", "fee_bp", "fee_minor"),
    [(5, 1_000, 0), (15, 1_000, 2), (25, 1_000, 2), (35, 1_000, 4), (16, 1_000, 2), (14, 1_000, 1), (100_000, 1_000, 10_000),
     (0, 1_000, 0), (99_999_999, 1_250, 12_500_000), (1, 5_000, 0), (3, 5_000, 2)],
)  # fmt: skip
def test_a_fee_is_rounded_half_to_even(gross_minor: int, fee_bp: int, fee_minor: int):
    assert fee_of(Money(gross_minor, "EUR"), fee_bp) == Money(fee_minor, "EUR")


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("1000.00", "USD", 100_000), ("0.01", "usd", 1), ("1000", "JPY", 1_000), ("1E+3", "JPY", 1_000), ("1.230", "KWD", 1_230),
     ("1000", "ISK", 100_000), ("-5.5", "EUR", -550), ("1.10000000000", "USD", 110)],
)  # fmt: skip
def test_amounts_are_counted_in_the_currencys_smallest_unit(amount: str, currency: str, minor: int):
    assert Money.from_major(Decimal(amount), currency) == Money(minor, currency.upper())


@pytest.mark.parametrize(
    ("amount", "currency"),
    [("0.001", "USD"), ("1.5", "JPY"), ("1.2345", "KWD"), ("1.234", "KWD"), ("1.50", "ISK"), ("0.5", "UGX"), ("NaN", "USD"),
     ("sNaN", "USD"), ("Infinity", "USD"), ("-Infinity", "EUR"), ("1e400", "USD"), ("1e-400", "USD"), ("1" * 19, "USD"),
     ("0.0000000000000000001", "USD"), ("1000000000000000000000", "JPY")],
)  # fmt: skip
def test_what_cannot_be_counted_exactly_is_refused(amount: str, currency: str):
    with pytest.raises(AmountTooPrecise):
        Money.from_major(Decimal(amount), currency)


@pytest.mark.parametrize("currency", ["XXX", "", "BTC", "US", "usdc", "USD "])
def test_a_currency_not_in_the_table_is_refused(currency: str):
    with pytest.raises(CurrencyUnsupported):
        Money.from_major(Decimal(1), currency)


@pytest.mark.parametrize(
    ("money", "written"),
    [
        (Money(123_456_789, "USD"), "1,234,567.89 USD"),
        (Money(5, "KWD"), "0.005 KWD"),
        (Money(1_500, "JPY"), "1,500 JPY"),
    ],
)
def test_money_is_written_with_its_currencys_decimals(money: Money, written: str):
    assert str(money) == written
