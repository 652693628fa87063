"""Admins are made by hand, and only with a password that a registration would take."""

import asyncio
import io
import os
import sys

import pytest

from models import accounts, guard
from models.accounts import Role
from wire.passwords import verify_password


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
