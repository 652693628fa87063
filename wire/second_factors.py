"""Second factors as arithmetic: time-based codes (RFC 6238), their QR code, backup codes and their hashes.

Stores nothing and knows no account. Codes are compared in constant time.
"""

import asyncio
import hmac
import io
import re
import secrets
from base64 import b32encode, b64encode
from collections.abc import Sequence
from hashlib import pbkdf2_hmac
from typing import Final
from uuid import UUID

import pyotp
import qrcode
from qrcode.image.pure import PyPNGImage

ISSUER: Final = "MegiLance"
STEP_S: Final = 30
DRIFT_STEPS: Final = 1
"""RFC 6238, 5.2: one step for the network and for clocks that nobody sets."""
BACKUP_BYTES: Final = 8
BACKUP_CHARS: Final = 13
"""What 64 bits are in base32."""
ROUNDS: Final = 20_000
"""Enough beside 64 random bits: nobody guesses those from a hash, and a person waits for ten of them."""
_DIGITS: Final = re.compile(r"[0-9]{6}", re.ASCII)
_BACKUP: Final = re.compile(r"[A-Z2-7]{13}", re.ASCII)


def new_seed() -> str:
    """160 random bits in base32: as long as RFC 4226 recommends."""
    return pyotp.random_base32()


def otpauth(seed: str, account: str) -> str:
    """The URI that an authenticator app reads."""
    return pyotp.TOTP(seed).provisioning_uri(name=account, issuer_name=ISSUER)


def qr_code(text: str) -> str:
    """The text as a QR code: a PNG in a data URL."""
    made = io.BytesIO()
    qrcode.make(text, image_factory=PyPNGImage).save(made)
    return f"data:image/png;base64,{b64encode(made.getvalue()).decode()}"


def matching_step(seed: str, code: str, at_s: float) -> int | None:
    """The step whose code this is, within DRIFT_STEPS of the moment; None when it is none of theirs."""
    now = int(at_s) // STEP_S
    totp = pyotp.TOTP(seed, interval=STEP_S)
    steps = range(now - DRIFT_STEPS, now + DRIFT_STEPS + 1)
    # All are compared, whichever fits. Of two steps with one code it is the later: the earlier may have been used.
    fits = [step for step in steps if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode())]
    return fits[-1] if fits else None


def normal_code(typed: str) -> str:
    """A code without the spaces and hyphens that people read it by, in upper case."""
    return re.sub(r"[\s-]", "", typed).upper()


def is_digits(code: str) -> bool:
    """Whether a code has the shape of an app's or of one that was sent."""
    return _DIGITS.fullmatch(code) is not None


def is_backup_code(code: str) -> bool:
    """Whether a code has the shape of a backup code."""
    return _BACKUP.fullmatch(code) is not None


def new_backup_codes(count: int) -> list[str]:
    """So many codes of 64 random bits, as they are shown: `ABCDE-FGHI-JKLM`."""
    made = [b32encode(secrets.token_bytes(BACKUP_BYTES)).decode()[:BACKUP_CHARS] for _ in range(count)]
    return [f"{one[:5]}-{one[5:9]}-{one[9:]}" for one in made]


async def hash_backup_codes(codes: Sequence[str], batch: UUID) -> list[str]:
    """The hashes that a batch's codes are kept as, made off the event loop."""
    return await asyncio.to_thread(lambda: [_hashed(one, batch) for one in codes])


def _hashed(code: str, batch: UUID) -> str:
    return pbkdf2_hmac("sha256", normal_code(code).encode(), batch.bytes, ROUNDS).hex()
