"""What opens doors in the small world: links that were mailed, second factors, sign-ins half done, questions to passkeys.

All of them would be too old within minutes; those whose time may be set were made tomorrow.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

import msgspec

import settings
from models import addresses, factors, guard, passkeys, passwords, sessions, tickets
from models.accounts import Person
from models.factors import Batch, Method
from models.tickets import Purpose
from tests.enrolled import ELSEWHERE, VISITOR, with_contact, with_totp
from tests.passkey import Authenticator
from wire import second_factors
from wire.passkeys import Asked, RelyingParty
from wire.sealing import Sealer

Link = tuple[int, datetime]
"""A mail's id and time: what its link's token is derived from."""
WAYS: Final = (Method.TOTP, Method.EMAIL, Method.WEBAUTHN, Method.BACKUP_CODE)


class Protected(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's second factors: an app's seed, its backup codes, a passkey, a factor whose codes are mailed."""

    seed: str
    codes: list[str]
    passkey: Authenticator
    mailed: int


class Ceremony(msgspec.Struct, frozen=True, kw_only=True):
    """What a passkey was asked."""

    passkey: Authenticator
    options: dict[str, Any]

    def signed(self) -> dict[str, Any]:
        """Its answer."""
        return self.passkey.get(self.options)


def party() -> RelyingParty:
    """Whom passkeys are made for."""
    web = settings.load().web
    return RelyingParty.of(web.frontend_url, web.public_url, web.cors_origins)


def sealer() -> Sealer:
    """What seals the seeds."""
    return Sealer(settings.load().tokens.key)


async def protect(person: Person) -> Protected:
    """Give somebody a factor of every kind, and one session; others end."""
    seed, codes = await with_totp(sealer(), person.id)
    mailed = await with_contact(person.id, Method.EMAIL, ELSEWHERE)
    one = Authenticator()
    asked = party().ask_new(person.id, person.email, person.first_name, [])
    made = party().read_new(one.create(asked.options), asked.challenge)
    begun = await guard.commit(sessions.begin, person.id, person.role)
    said = {"name": "Phone", "batch": None, "session_id": begun.session_id, "visitor": VISITOR}
    await guard.commit(passkeys.add_passkey, person.id, **msgspec.structs.asdict(made), **said)
    return Protected(seed=seed, codes=codes, passkey=one, mailed=mailed)


async def begin_with_an_app(person: Person) -> str:
    """Let somebody have an app that waits to be confirmed; its seed."""
    seed, codes, batch = second_factors.new_seed(), second_factors.new_backup_codes(8), uuid4()
    kept = Batch(id=batch, hashes=await second_factors.hash_backup_codes(codes, batch))
    factor_id = await guard.commit(
        factors.begin_enrolment, person.id, Method.TOTP, secret_sealed=sealer().seal(seed), batch=kept
    )
    await _made_tomorrow("mfa_methods", factor_id)
    return seed


async def a_ticket(person: Person) -> UUID:
    """A sign-in that waits for any second factor."""
    ticket_id: UUID = await guard.commit(tickets.open_ticket, person.id, VISITOR, WAYS, 0.0)
    await _made_tomorrow("sign_in_tickets", ticket_id)
    return ticket_id


async def asked_to_sign(person: Person, passkey: Authenticator, purpose: Purpose, ticket: UUID | None) -> Ceremony:
    """A passkey that was asked to prove its owner."""
    known = [one.credential_id for one in await passkeys.list_passkeys(person.id)]
    asked = party().ask_proof(known)
    await _asked(person, purpose, asked, ticket)
    return Ceremony(passkey=passkey, options=asked.options)


async def a_new_passkey(person: Person) -> dict[str, Any]:
    """A passkey that somebody was asked to make, as their browser answers it."""
    asked = party().ask_new(person.id, person.email, person.first_name, [])
    await _asked(person, Purpose.ENROL, asked, None)
    return Authenticator().create(asked.options)


async def verification(person: Person) -> Link:
    """A verification mail, of an hour ago: another one may be asked for at once."""
    await guard.commit(addresses.ask_verification, person.id)
    found = await _mail(person, "email_verification")
    asked_at = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
    await guard.rows("update mails set created_at = $2 where id = $1", found[0], asked_at)
    return found[0], asked_at


async def reset(person: Person) -> Link:
    """A mail with which a password is reset."""
    await guard.commit(passwords.ask_reset, person.email, VISITOR)
    return await _mail(person, "password_reset_request")


async def an_export(person: Person) -> int:
    """A ZIP that waits for its owner."""
    export_id: int = await guard.value(
        """insert into exports ("user", content, sha256, created_at, ready_at, expires_at)
           values ($1, 'PK', 'none', now(), now(), now() + interval '7 days') returning id""",
        person.id,
    )
    return export_id


async def _mail(person: Person, kind: str) -> Link:
    found = await guard.only(
        'select id, created_at from mails where "user" = $1 and kind = $2 order by id desc limit 1', person.id, kind
    )
    return found["id"], found["created_at"]


async def _asked(person: Person, purpose: Purpose, asked: Asked, ticket: UUID | None) -> None:
    await guard.commit(tickets.open_challenge, person.id, purpose, asked.challenge, ticket_id=ticket)
    await guard.rows(
        "update passkey_challenges set created_at = now() + interval '1 day' where challenge = $1", asked.challenge
    )


async def _made_tomorrow(table: str, row_id: int | UUID) -> None:
    await guard.rows(f"update {table} set created_at = now() + interval '1 day' where id = $1", row_id)
