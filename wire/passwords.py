"""Password hashes: argon2id, in a few threads of their own, never on the event loop.

Nothing here knows what a good password is; it is given the spelling to hash.
"""

import asyncio
import secrets
from base64 import b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

T = TypeVar("T")

MEMORY_KIB: Final = 19 * 1024
"""With two passes and one lane: the minimum of OWASP's password storage cheat sheet, about 20 ms of one core."""
PASSES: Final = 2
THREADS: Final = 2
"""At most so many hashes at once: they are all CPU and memory, and other requests want some too."""
MAX_BCRYPT_BYTES: Final = 72
"""bcrypt reads no further; a longer password was never hashed by it, so it cannot be right."""


def _random(length: int) -> str:
    return b64encode(secrets.token_bytes(length)).decode().rstrip("=")


# bcrypt only verifies: hashes that came with accounts from elsewhere are replaced at the next sign-in.
_hashes: Final = PasswordHash((Argon2Hasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=1), BcryptHasher()))
# A hash that no password fits, for addresses that nobody has: checking it costs what a real one costs, and making it up
# costs nothing, so that not even the first of a process takes longer.
_nobodys: Final = f"$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p=1${_random(16)}${_random(32)}"
_threads: Final = ThreadPoolExecutor(THREADS, thread_name_prefix="password")


def hash_now(password: str) -> str:
    """The hash of a password, on this very thread: for programs that have nothing else to do."""
    return _hashes.hash(password)


def _verify(password: str, known: str | None) -> tuple[bool, str | None]:
    # An account without a password has an empty hash, or none that anybody made: nothing may ever fit it.
    readable = ("$argon2id$", "$2") if len(password.encode()) <= MAX_BCRYPT_BYTES else ("$argon2id$",)
    if known is None or not known.startswith(readable):
        _hashes.verify(password, _nobodys)
        return False, None
    return _hashes.verify_and_update(password, known)


async def hash_password(password: str) -> str:
    """The hash to store: argon2id with a salt of its own."""
    return await _in_thread(lambda: hash_now(password))


async def verify_password(password: str, known: str | None) -> tuple[bool, str | None]:
    """Whether the password fits the known hash, and a stronger hash of it when the known one is dated.

    With no known hash the answer is no, after the same time.
    """
    return await _in_thread(lambda: _verify(password, known))


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, work)
