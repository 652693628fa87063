"""Admins are made by hand, and only with a password that a registration would take."""

import asyncio
import io
import os
import re
import sys

import pyotp
import pytest

import settings
from models import accounts, audit, factors, guard, sessions
from models.accounts import Role
from models.factors import Method
from wire import second_factors
from wire.passwords import verify_password
from wire.sealing import Sealer


async def run(password: str, *arguments: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tasks.admin",
        *arguments,
        env=dict(os.environ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate(password.encode() + b"\n")
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_an_admin_is_made_verified_and_can_sign_in(database: str):
    status, said = await run("SecurePass123!", "create", "--email", "Boss@example.com", "--first-name", "Ada")
    assert status == 0, said
    known = await accounts.read_credentials("boss@example.com")
    assert known is not None
    person = await accounts.read(known.user_id)
    assert (person.role, person.email_verified, person.first_name) == (Role.ADMIN, True, "Ada")
    assert await verify_password("SecurePass123!", known.password_hash) == (True, None)
    assert "SecurePass123!" not in said


async def made(*arguments: str, password: str = "SecurePass123!") -> tuple[int, str, str]:
    """What is said on standard output, which is shown once, and beside it."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tasks.admin", *arguments),
        env=dict(os.environ),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    shown, said = await process.communicate(password.encode() + b"\n")
    assert process.returncode is not None
    return process.returncode, shown.decode(), said.decode()


async def test_an_admin_gets_a_second_factor_which_is_shown_once_and_kept_sealed(database: str):
    status, shown, said = await made("create", "--email", "boss@example.com")
    assert status == 0, said
    app = pyotp.parse_uri(shown.splitlines()[0])
    codes = re.findall(r"^  (\S{5}-\S{4}-\S{4})$", shown, re.MULTILINE)
    assert (app.name, app.issuer, len(set(codes))) == ("boss@example.com", "MegiLance", 10)
    assert "█" in shown
    assert not any(one in said for one in [app.secret, *codes])
    known = await accounts.read_credentials("boss@example.com")
    assert known is not None
    assert await factors.methods_of(known.user_id) == [Method.TOTP, Method.BACKUP_CODE]
    seed, batch = await factors.read_seed(known.user_id), await factors.live_batch(known.user_id)
    assert seed is not None
    assert batch is not None
    keys = settings.load().tokens
    assert Sealer(keys.key, keys.old_keys).unseal(seed.secret_sealed) == app.secret
    hashes = await second_factors.hash_backup_codes(codes, batch)
    assert {one["code_hash"] for one in await guard.rows("select code_hash from backup_codes")} == set(hashes)
    deeds = [(one.actor_id, one.action) for one in await audit.read_for("user", str(known.user_id))]
    assert {(0, "admin.created"), (0, "user.factors_replaced")} <= set(deeds)


async def test_a_new_factor_takes_the_place_of_the_old_one_and_ends_the_sessions(database: str):
    _, before, _ = await made("create", "--email", "boss@example.com")
    known = await accounts.read_credentials("boss@example.com")
    assert known is not None
    await guard.commit(sessions.begin, known.user_id, known.role)
    status, after, said = await made("factor", "--email", "BOSS@example.com")
    assert (status, "has a new second factor" in said) == (0, True)
    assert before.splitlines()[0] != after.splitlines()[0]
    assert await factors.codes_left(known.user_id) == 10
    assert await guard.value("select count(*) from sessions where revoked_at is null") == 0


async def test_who_is_no_admin_gets_no_factor(database: str):
    await guard.commit(
        accounts.register, email="c@example.com", password_hash="", first_name="C", last_name="C", role=Role.CLIENT
    )
    for email in ("c@example.com", "nobody@example.com", "no"):
        status, shown, said = await made("factor", "--email", email)
        assert (status, shown) == (1, "")
        assert said.strip() == "There is no admin with this address. Nothing was changed."
    assert await guard.value("select count(*) from mfa_methods") == 0


@pytest.mark.parametrize(
    ("password", "email"),
    [("weak", "a@example.com"), ("P@ssw0rd1!", "a@example.com"), ("", "a@example.com"), ("SecurePass123!", "no")],
)
async def test_a_refusal_is_one_sentence_and_makes_nobody(database: str, password: str, email: str):
    status, said = await run(password, "create", "--email", email)
    assert status == 1
    assert said.strip().endswith("No account was made.")
    assert "Traceback" not in said
    assert await guard.value("select count(*) from users") == 0


async def test_a_taken_address_is_refused_and_stays_what_it_is(database: str):
    assert (await run("SecurePass123!", "create", "--email", "a@example.com"))[0] == 0
    status, said = await run("OtherPass123!", "create", "--email", "A@example.com")
    assert (status, "already" in said) == (1, True)
    assert await guard.value("select count(*) from users") == 1


async def test_without_a_database_the_refusal_is_one_sentence_too(database: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:9/nowhere")
    status, said = await run("SecurePass123!", "create", "--email", "a@example.com")
    assert status == 1
    assert said.strip().endswith("No account was made.")
    assert "Traceback" not in said


class Terminal(io.StringIO):
    """Somebody at a keyboard."""

    def isatty(self) -> bool:
        return True


def test_at_a_terminal_the_password_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch, environment: None):
    from tasks import admin

    monkeypatch.setattr("sys.stdin", Terminal())
    typed = iter(["SecurePass123!", "SecurePass123!", "SecurePass123!", "Another123!"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(typed))
    assert admin._ask() == "SecurePass123!"
    with pytest.raises(admin.AdminRefused, match="differ"):
        admin._ask()
