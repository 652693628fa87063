"""The audit log: who did what with a power that others lack. A row is written with the change it tells of, or neither.

Alters nothing: the database itself turns down an update or a delete of these rows. Keeps no secret, and of people only
hints. `models/audit_chain.py` chains the rows by hash.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from ipaddress import ip_address
from typing import Any, Final

import msgspec

from models import guard
from models.base import Record
from models.outbox import origin

SYSTEM: Final = 0
"""The actor of what nobody who is signed in did: a job, or a program on our own machines."""
MOST_READ: Final = 200
"""Rows of one subject that a page shows; the newest tell most."""
KEPT: Final = "id, at, actor_id, action, subject_kind, subject_id, before, after, details, request_id, seq, hash"
"""The columns of a row, for those who read it from a subselect."""
COLUMNS: Final = """
id, at, actor_id, action, subject_kind, subject_id, before::text as before, after::text as after,
details::text as details, request_id, seq, encode(hash, 'hex') as hash
"""

REDACTED: Final = "(redacted)"
SECRET_WORDS: Final = frozenset(
    {"password", "passwd", "passphrase", "secret", "secrets", "token", "tokens", "otp", "totp", "hash", "hashed"}
    | {"sealed", "seed", "cookie", "authorization", "bearer", "credential", "credentials", "signature", "pin", "cvc"}
    | {"cvv", "iban"}
)
"""Parts of a field's name that make it a secret, whatever it holds."""
SECRET_NAMES: Final = re.compile(
    r"(.*_)?(api|private|secret|access|signing)_keys?|((.*_)?(backup|recovery|mfa|sms|verification|reset)_)?codes?"
)
NAMES: Final = frozenset({"first_name", "last_name", "full_name", "display_name", "given_name", "family_name"})
PHONES: Final = frozenset({"phone", "phone_number", "mobile", "contact"})
ADDRESSES: Final = frozenset({"ip", "ip_address", "client_address", "network"})
EMAIL: Final = re.compile(r"([^\s@<>\"',;:()]?)[^\s@<>\"',;:()]*@([\w-]+(?:\.[\w-]+)+)")
PHONE: Final = re.compile(r"\+\d[\d ()-]{5,18}\d")
IPV4: Final = re.compile(r"\b(\d{1,3}\.\d{1,3}\.\d{1,3})\.\d{1,3}\b")
_WORD: Final = re.compile(r"[a-z]+")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


class AuditRow(Record, frozen=True):
    """One deed: `actor_id` is the user who did it, `details` whatever the action needs to be understood later.

    `seq` is its place in the chain and `hash` the chain's up to here; None until it is sealed, which takes about a
    second. `request_id` is what the caller sent as X-Request-ID, when they sent one: it proves nothing.
    """

    id: int
    at: datetime
    actor_id: int
    action: str
    subject_kind: str
    subject_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    details: dict[str, Any]
    request_id: str | None
    seq: int | None
    hash: str | None


class Sought(Record, frozen=True):
    """Which rows are wanted; what is None stands for anything."""

    actor_id: int | None = None
    action: str | None = None
    subject_kind: str | None = None
    subject_id: str | None = None


async def record(
    actor_id: int,
    action: str,
    subject_kind: str,
    subject_id: str,
    details: Mapping[str, object] | None = None,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Write down a deed in the transaction that does it, with the id of the request that asked for it.

    `before` and `after` are the fields that it changed; all three are kept as `redacted` leaves them.
    """
    guard.in_transaction()
    await guard.rows(
        """insert into audit_log (actor_id, action, subject_kind, subject_id, details, before, after, request_id)
           values ($1, $2, $3, $4, $5::text::jsonb, $6::text::jsonb, $7::text::jsonb, $8)""",
        actor_id,
        action,
        subject_kind,
        subject_id,
        _encoded(details or {}),
        None if before is None else _encoded(before),
        None if after is None else _encoded(after),
        origin().request_id,
    )


async def read_for(subject_kind: str, subject_id: str, *, limit: int = MOST_READ) -> list[AuditRow]:
    """What was done to one subject, newest first."""
    return await find(Sought(subject_kind=subject_kind, subject_id=subject_id), before=None, limit=limit)


async def find(sought: Sought, *, before: int | None, limit: int) -> list[AuditRow]:
    """The newest rows that fit, from `before` (an id, exclusive) backwards, at most `limit`."""
    given: dict[str, Any] = {name: held for name, held in msgspec.structs.asdict(sought).items() if held is not None}
    values: list[Any] = [limit, *given.values()]
    where = [f"{name} = ${number}" for number, name in enumerate(given, 2)]
    if before is not None:
        values.append(before)
        where.append(f"id < ${len(values)}")
    found = await guard.rows(
        f"select {COLUMNS} from audit_log where {' and '.join(where) or 'true'} order by id desc limit $1", *values
    )
    return [show(one) for one in found]


def show(found: Any) -> AuditRow:
    """A row as it was read with COLUMNS."""
    fields = dict(found)
    for name in ("before", "after", "details"):
        fields[name] = None if fields[name] is None else msgspec.json.decode(fields[name])
    return AuditRow(**fields)


def _encoded(said: Mapping[str, object]) -> str:
    return msgspec.json.encode(redacted(msgspec.json.decode(msgspec.json.encode(dict(said))))).decode()


def redacted(said: Any, name: str = "") -> Any:
    """What may be kept of a JSON value, found under `name`: no secrets; of addresses, phones and names only hints.

    A secret is known by its field's name; addresses and phones are also found within texts. Nothing whose field says
    otherwise is guessed to be a name.
    """
    lower = _HUMP.sub("_", name).lower().replace("-", "_")
    if said is None or isinstance(said, bool):
        return said
    if SECRET_WORDS & set(_WORD.findall(lower)) or SECRET_NAMES.fullmatch(lower):
        return REDACTED
    if isinstance(said, dict):
        return {key: redacted(held, key) for key, held in said.items()}
    if isinstance(said, list):
        return [redacted(held, name) for held in said]
    return _hint(said.replace("\0", ""), lower) if isinstance(said, str) else said


def _hint(text: str, name: str) -> str:
    if name in NAMES:
        return f"{text[:1]}…" if text else ""
    try:
        ip_address(text)
    except ValueError:
        pass
    else:
        return _address(text)
    text = EMAIL.sub(r"\1…@\2", text)
    text = PHONE.sub(lambda found: _phone(found[0]), text)
    text = IPV4.sub(r"\1.…", text)
    if name in PHONES and "…" not in text:
        return _phone(text)
    return _address(text) if name in ADDRESSES and ":" in text else text


def _phone(text: str) -> str:
    """The end of a number: what its holder knows it by."""
    return f"…{text[-2:]}"


def _address(text: str) -> str:
    """The network of an address: about what a map would have of it."""
    return ":".join(text.split(":")[:3]) + ":…" if ":" in text else text.rpartition(".")[0] + ".…"
