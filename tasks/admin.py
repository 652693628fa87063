"""Admins are made by hand: `python -m tasks.admin create --email E`, the password by prompt or on standard input.

No request ever makes one, and none is made with a password that a registration would refuse.
"""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Sequence

from models import accounts, audit, guard, passwords
from models.accounts import Person, Role
from models.errors import DomainError
from wire.passwords import hash_now


class AdminRefused(SystemExit):
    """No account was made; the message is one sentence and says why."""


async def create(email: str, password: str, *, first_name: str, last_name: str) -> Person:
    """Make a verified admin. Raises DomainError: a weak password, an address that is none or is taken."""
    password_hash = hash_now(passwords.check(password))
    await guard.open_pool(max_size=1)
    try:
        return await guard.commit(_register, email, password_hash, first_name, last_name)
    finally:
        await guard.close_pool()


async def _register(email: str, password_hash: str, first_name: str, last_name: str) -> Person:
    person = await accounts.register(
        email=email,
        password_hash=password_hash,
        first_name=first_name,
        last_name=last_name,
        role=Role.ADMIN,
        verified=True,
    )
    # By nobody who has signed in: whoever may run this program on our machines did it.
    await audit.record(person.id, "admin.created", "user", str(person.id))
    return person


def _ask() -> str:
    """The password: asked for twice at a terminal, else the first line of standard input. Never an argument."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise AdminRefused("The two passwords differ; no account was made.")
    return password


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the admin and say so in one line."""
    parser = argparse.ArgumentParser(prog="admin", description="Admins of the platform.")
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("create", help="make an admin; the password is asked for or read from standard input")
    making.add_argument("--email", required=True)
    making.add_argument("--first-name", default="Platform")
    making.add_argument("--last-name", default="Admin")
    said = parser.parse_args(arguments)
    try:
        person = asyncio.run(create(said.email, _ask(), first_name=said.first_name, last_name=said.last_name))
    except DomainError as refusal:
        raise AdminRefused(f"{refusal.detail} No account was made.") from None
    except guard.LOST_CONNECTION as error:
        raise AdminRefused(f"PostgreSQL does not answer ({type(error).__name__}). No account was made.") from None
    print(f"{person.email} is an admin now, with id {person.id}.", file=sys.stderr)  # noqa: T201  it is what was asked


if __name__ == "__main__":
    main()
