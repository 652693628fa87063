"""What makes a password good enough, and the one spelling it is hashed in."""

import string
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from models.errors import PasswordTooWeak

MIN_CHARS: Final = 8
MAX_CHARS: Final = 128
"""Longer ones cost us time and nobody security; refused, never cut."""
LIST: Final = Path(__file__).parent / "common_passwords.txt"
LOOKALIKES: Final = str.maketrans("@4301!$57", "aaeoiisst")
"""People write `P@ssw0rd` and believe it is another word; attackers' rules know better."""


@cache
def common() -> frozenset[str]:
    """The words every attacker tries first, lower case."""
    return frozenset(word for word in LIST.read_text().splitlines() if word and not word.startswith("#"))


def normal(password: str) -> str:
    """The spelling that is hashed: NFKC, so that the same keys on two keyboards make one password (RFC 8265)."""
    return unicodedata.normalize("NFKC", password)


def check(password: str) -> str:
    """The password in its normal spelling. Raises PasswordTooWeak with the rule it breaks."""
    if not MIN_CHARS <= len(password) <= MAX_CHARS:
        raise _weak(f"A password has {MIN_CHARS} to {MAX_CHARS} characters.")
    if any(unicodedata.category(char) in {"Cc", "Cs"} for char in password):
        raise _weak("A password has no control characters.")
    has = (
        any(char.isupper() for char in password),
        any(char.islower() for char in password),
        any(char.isdigit() for char in password),
        any(not char.isalnum() for char in password),
    )
    if not all(has):
        raise _weak("A password needs an upper-case letter, a lower-case letter, a digit and a symbol.")
    if not _disguises(password.lower()).isdisjoint(common()):
        raise _weak("This password is on the lists that attackers try first.")
    return normal(password)


def _disguises(password: str) -> set[str]:
    """The words it may be made of: as it is, without its symbols or digits at the ends, and without lookalikes."""
    bare = password.strip(string.punctuation + " ")
    word = password.strip(string.punctuation + string.digits + " ")
    return {one for seen in (password, bare, word) for one in (seen, seen.translate(LOOKALIKES))}


def _weak(detail: str) -> PasswordTooWeak:
    return PasswordTooWeak(detail, field="password")
