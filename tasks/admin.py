"""Admins are made by hand: `python -m tasks.admin create --email E`, the password by prompt or on standard input.

No request ever makes one, none is made with a password that a registration would refuse, and none without a second
factor: its secret, a QR code and the backup codes are printed on standard output, once, and kept nowhere readable.
`factor --email E` makes a new factor for an admin who has lost theirs.
"""

import argparse
import asyncio
import getpass
import io
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar
from uuid import uuid4

import msgspec
import qrcode

import settings
from models import accounts, audit, guard, passwords, people
from models.accounts import Person, Role
from models.errors import DomainError, NotFound
from models.factors import Batch
from wire import second_factors
from wire.passwords import hash_now
from wire.sealing import Sealer

T = TypeVar("T")

BACKUP_CODES: Final = 10


class AdminRefused(SystemExit):
    """Nothing was made; the message is one sentence and says why."""


class Factor(msgspec.Struct, frozen=True):
    """A second factor as its holder gets it, once; and as it is kept."""

    uri: str
    codes: list[str]
    secret_sealed: str
    batch: Batch


async def new_factor(email: str) -> Factor:
    """An authenticator app's secret and ten backup codes, which nobody has yet."""
    keys = settings.load().tokens
    seed, codes, batch_id = second_factors.new_seed(), second_factors.new_backup_codes(BACKUP_CODES), uuid4()
    hashes = await second_factors.hash_backup_codes(codes, batch_id)
    return Factor(
        uri=second_factors.otpauth(seed, email),
        codes=codes,
        secret_sealed=Sealer(keys.key, keys.old_keys).seal(seed),
        batch=Batch(id=batch_id, hashes=hashes),
    )


async def create(email: str, password: str, *, first_name: str, last_name: str) -> tuple[Person, Factor]:
    """Make a verified admin with a second factor. Raises DomainError: a weak password, an address none or taken."""
    password_hash = hash_now(passwords.check(password))
    made = await new_factor(email)
    return await _connected(lambda: guard.commit(_register, email, password_hash, first_name, last_name, made)), made


async def replace_factor(email: str) -> tuple[Person, Factor]:
    """Make a new factor for an admin; the old ones are gone, and so are the sessions. Raises NotFound."""
    made = await new_factor(email)
    return await _connected(lambda: guard.commit(_replace, email, made)), made


async def _connected(work: Callable[[], Awaitable[T]]) -> T:
    await guard.open_pool(max_size=1)
    try:
        return await work()
    finally:
        await guard.close_pool()


async def _register(email: str, password_hash: str, first_name: str, last_name: str, made: Factor) -> Person:
    person = await accounts.register(
        email=email,
        password_hash=password_hash,
        first_name=first_name,
        last_name=last_name,
        role=Role.ADMIN,
        verified=True,
    )
    # By nobody who has signed in: whoever may run this program on our machines did it.
    await audit.record(audit.SYSTEM, "admin.created", "user", str(person.id), after={"role": Role.ADMIN})
    await people.replace_factors(person.id, secret_sealed=made.secret_sealed, batch=made.batch)
    return person


async def _replace(email: str, made: Factor) -> Person:
    known = await accounts.read_credentials(email)
    if known is None or known.role is not Role.ADMIN:
        raise NotFound("There is no admin with this address.")
    await people.replace_factors(known.user_id, secret_sealed=made.secret_sealed, batch=made.batch)
    return await accounts.read(known.user_id)


def _ask() -> str:
    """The password: asked for twice at a terminal, else the first line of standard input. Never an argument."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise AdminRefused("The two passwords differ; no account was made.")
    return password


def shown(made: Factor) -> str:
    """What an app and a drawer need: the URI, its QR code in characters, the codes."""
    drawn = io.StringIO()
    code = qrcode.QRCode(border=2)
    code.add_data(made.uri)
    code.print_ascii(out=drawn, invert=True)
    listed = "\n".join(f"  {one}" for one in made.codes)
    return (
        f"{made.uri}\n{drawn.getvalue()}\n"
        f"Scan it with an authenticator app. Backup codes, each good once, for the day the app is lost:\n{listed}\n"
        "None of this is shown again."
    )


def _create(said: argparse.Namespace) -> str:
    making = create(said.email, _ask(), first_name=said.first_name, last_name=said.last_name)
    person, made = _run(making, "No account was made.")
    print(shown(made))  # noqa: T201  it is what was asked
    return f"{person.email} is an admin now, with id {person.id}."


def _factor(said: argparse.Namespace) -> str:
    person, made = _run(replace_factor(said.email), "Nothing was changed.")
    print(shown(made))  # noqa: T201  likewise
    return f"{person.email} has a new second factor; earlier ones and all sessions are gone."


def _run(work: Awaitable[T], otherwise: str) -> T:
    async def done() -> T:
        return await work

    try:
        return asyncio.run(done())
    except DomainError as refusal:
        raise AdminRefused(f"{refusal.detail} {otherwise}") from None
    except guard.LOST_CONNECTION as error:
        raise AdminRefused(f"PostgreSQL does not answer ({type(error).__name__}). {otherwise}") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the admin, or their new factor, and say so in one line."""
    parser = argparse.ArgumentParser(prog="admin", description="Admins of the platform.")
    commands = parser.add_subparsers(required=True)
    making = commands.add_parser("create", help="make an admin; the password is asked for or read from standard input")
    making.add_argument("--email", required=True)
    making.add_argument("--first-name", default="Platform")
    making.add_argument("--last-name", default="Admin")
    making.set_defaults(run=_create)
    proving = commands.add_parser("factor", help="a new second factor for an admin; earlier ones and sessions end")
    proving.add_argument("--email", required=True)
    proving.set_defaults(run=_factor)
    said = parser.parse_args(arguments)
    print(said.run(said), file=sys.stderr)  # noqa: T201  likewise


if __name__ == "__main__":
    main()
