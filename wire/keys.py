"""One secret, many keys: each use derives its own, so a key that leaks from one is worthless to another."""

import hmac
from hashlib import sha256


def derive(secret: str, use: str, length: int = 32) -> bytes:
    """The key of `length` bytes for one use of a secret: HKDF-SHA256 (RFC 5869), with the use as its info.

    No salt: the secret is long and random (settings refuse another), and every process must come to the same key.
    """
    extracted = hmac.digest(bytes(sha256().digest_size), secret.encode(), sha256)
    found, block, number = b"", b"", 0
    while len(found) < length:
        number += 1
        block = hmac.digest(extracted, block + f"megilance:{use}".encode() + bytes([number]), sha256)
        found += block
    return found[:length]
