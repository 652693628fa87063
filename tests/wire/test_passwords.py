"""Hashes: argon2id, older ones replaced, and nothing that fits an account without one."""

import asyncio
import time

import bcrypt
import pytest
from argon2 import extract_parameters

from wire import passwords
from wire.passwords import hash_password, verify_password


async def test_a_hash_is_argon2id_and_fits_its_password_only():
    known = await hash_password("SecurePass123!")
    assert known.startswith("$argon2id$")
    assert await verify_password("SecurePass123!", known) == (True, None)
    assert await verify_password("SecurePass123?", known) == (False, None)


async def test_a_bcrypt_hash_verifies_and_is_replaced():
    known = bcrypt.hashpw(b"SecurePass123!", bcrypt.gensalt(4)).decode()
    fits, better = await verify_password("SecurePass123!", known)
    assert fits
    assert better is not None
    assert better.startswith("$argon2id$")
    assert await verify_password("Wrong123!", known) == (False, None)


async def test_a_password_beyond_what_bcrypt_reads_never_fits_one_of_its_hashes():
    known = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert await verify_password("x" * 73, known) == (False, None)


@pytest.mark.parametrize("known", [None, "", "!", "$1$x", "plain"])
@pytest.mark.parametrize("password", ["", "!", "plain", "SecurePass123!", "x" * 100])
async def test_an_account_without_a_hash_refuses_every_password(known: str | None, password: str):
    assert await verify_password(password, known) == (False, None)


async def test_what_stands_in_for_an_unknown_address_costs_what_a_real_hash_costs():
    assert extract_parameters(passwords._nobodys) == extract_parameters(await hash_password("SecurePass123!"))


async def test_hashing_leaves_the_loop_alone():
    worst, last = 0.0, time.perf_counter()
    hashing = asyncio.gather(*(hash_password("SecurePass123!") for _ in range(6)))
    while not hashing.done():
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        worst, last = max(worst, now - last), now
    assert len(await hashing) == 6
    assert worst < 0.5
