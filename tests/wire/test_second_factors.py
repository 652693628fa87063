"""Time-based codes against RFC 6238 and a generator of this file's own; QR codes; backup codes."""

import hmac
import io
import re
from base64 import b32decode, b32encode, b64decode
from uuid import uuid4

import pytest
import zxingcpp
from PIL import Image

from wire import second_factors

SEED = b32encode(b"12345678901234567890").decode()
RFC_6238 = [
    (59, "94287082"),
    (1111111109, "07081804"),
    (1111111111, "14050471"),
    (1234567890, "89005924"),
    (2000000000, "69279037"),
    (20000000000, "65353130"),
]


def generated(seed: str, step: int, digits: int = 6) -> str:
    """RFC 4226, 5.3, from its text."""
    mac = hmac.digest(b32decode(seed), step.to_bytes(8), "sha1")
    offset = mac[-1] & 0x0F
    return str((int.from_bytes(mac[offset : offset + 4]) & 0x7FFFFFFF) % 10**digits).zfill(digits)


@pytest.mark.parametrize(("at_s", "code"), RFC_6238)
def test_the_codes_are_those_of_rfc_6238(at_s: int, code: str):
    assert generated(SEED, at_s // 30, 8) == code
    assert second_factors.matching_step(SEED, code[2:], at_s) == at_s // 30


def test_the_codes_are_those_of_an_independent_generator():
    for n in range(50):
        seed = second_factors.new_seed()
        step = 60_000_000 + n * 997
        assert second_factors.matching_step(seed, generated(seed, step), step * 30 + 17) == step


@pytest.mark.parametrize(("drift", "fits"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_away_and_no_more(drift: int, *, fits: bool):
    now = 1_800_000_000
    found = second_factors.matching_step(SEED, generated(SEED, now // 30 + drift), now)
    assert found == (now // 30 + drift if fits else None)


def test_what_is_no_code_matches_no_step():
    for code in ("", "12345", "1234567", "ABCDEF", "\uff11\uff12\uff13\uff14\uff15\uff16"):
        assert second_factors.matching_step(SEED, code, 59) is None


def test_a_seed_has_160_random_bits():
    assert len(b32decode(second_factors.new_seed())) == 20
    assert second_factors.new_seed() != second_factors.new_seed()


@pytest.mark.parametrize(
    "account", ["user@example.com", "jörg+tag@müller.de", "a" * 64 + "@" + "b" * 60 + ".example.com"]
)
def test_the_qr_code_says_the_otpauth_uri(account: str):
    uri = second_factors.otpauth(SEED, account)
    shown = second_factors.qr_code(uri)
    head, _, data = shown.partition(",")
    assert head == "data:image/png;base64"
    [read] = zxingcpp.read_barcodes(Image.open(io.BytesIO(b64decode(data))))
    assert read.text == uri


def test_the_otpauth_uri_names_issuer_account_and_seed():
    assert second_factors.otpauth(SEED, "user@example.com") == (
        f"otpauth://totp/MegiLance:user%40example.com?secret={SEED}&issuer=MegiLance"
    )


async def test_backup_codes_are_64_bits_in_groups_and_kept_as_hashes():
    codes, batch = second_factors.new_backup_codes(10), uuid4()
    assert len(set(codes)) == 10
    assert all(re.fullmatch(r"[A-Z2-7]{5}-[A-Z2-7]{4}-[A-Z2-7]{4}", one) for one in codes)
    hashes = await second_factors.hash_backup_codes(codes, batch)
    assert len(set(hashes)) == 10
    assert not any(second_factors.normal_code(code) in kept for code, kept in zip(codes, hashes, strict=True))
    # However it is typed; and under another batch's salt it is another hash.
    assert await second_factors.hash_backup_codes([codes[0].lower().replace("-", " ")], batch) == [hashes[0]]
    assert await second_factors.hash_backup_codes([codes[0]], uuid4()) != [hashes[0]]


@pytest.mark.parametrize(
    ("typed", "digits", "backup"),
    [
        ("123 456", True, False),
        ("abcde-fghi-jklm", False, True),
        ("ABCDEFGHIJKL", False, False),
        ("ABCDEFGHIJKL1", False, False),
        ("\uff11\uff12\uff13\uff14\uff15\uff16", False, False),
        ("123456\0", False, False),
        ("", False, False),
    ],
)
def test_a_code_is_known_by_its_shape(typed: str, *, digits: bool, backup: bool):
    code = second_factors.normal_code(typed)
    assert (second_factors.is_digits(code), second_factors.is_backup_code(code)) == (digits, backup)
