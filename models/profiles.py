"""What a person says of themselves, and how much of it others see: never an address, a phone number or an IP.

Refuses a country or a time zone that does not exist, what only freelancers say of themselves from anybody else, and a
picture that is not one's own or was not found good. Who has left, or was suspended, does not exist for others.
"""

import re
import zoneinfo
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from typing import Any, Final

from models import accounts, guard
from models.accounts import Role, clean_name
from models.base import Record
from models.errors import AmountOutOfBounds, Invalid, NotFound, RoleNotAllowed, UploadNotReady
from models.locks import Noun, lock
from models.money import MAX_MINOR, Money

MAX_HEADLINE_CHARS: Final = 200
MAX_ABOUT_CHARS: Final = 5_000
MAX_SKILLS: Final = 50
"""Skills of one freelancer; the database holds it too."""
MAX_SKILL_CHARS: Final = 60
FREELANCERS_ONLY: Final = ("skills", "hourly_rate", "is_available")
"""What only freelancers say of themselves."""

COUNTRIES: Final = frozenset(
    re.findall(
        "[A-Z]{2}",
        """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ
    CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO
    FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE
    JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO
    MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW
    PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM
    TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW
        """,
    )
)
"""ISO 3166-1 alpha-2, as assigned."""

OWN: Final = """
id, email, email_verified_at is not null as email_verified, first_name, last_name, role, headline, about, country,
time_zone, skills, hourly_rate_minor, rate_currency, is_available, avatar_upload_id, created_at
"""

EDIT: Final = f"""
update users set first_name = $2, last_name = $3, headline = $4, about = $5, country = $6, time_zone = $7, skills = $8,
       hourly_rate_minor = $9, rate_currency = $10, is_available = $11, avatar_upload_id = $12
 where id = $1 returning {OWN}
"""

SEEN: Final = """
u.id, u.first_name, u.last_name, u.role, u.headline, u.about, u.country, u.skills, u.hourly_rate_minor, u.rate_currency,
u.is_available, u.avatar_upload_id, u.rating_sum, u.rating_count, u.completed_contracts, u.created_at
"""
"""What others see of user `u`."""
STANDING: Final = "u.suspended_at is null and u.deactivated_at is null and u.erased_at is null"
"""Whether user `u` exists for others."""
PUBLIC: Final = f"select {SEEN} from users u where u.id = $1 and {STANDING}"

GOOD: Final = """
select id from uploads where id = any($1::bigint[]) and "user" = $2 and purpose = $3 and status = 'ready'
"""


class Described(Record, frozen=True):
    """What one may say of oneself. The rate is for an hour, in smallest units of its currency; both or none."""

    first_name: str
    last_name: str
    headline: str
    about: str
    country: str | None
    time_zone: str
    skills: list[str]
    hourly_rate_minor: int | None
    rate_currency: str | None
    is_available: bool
    avatar_upload_id: int | None

    @property
    def hourly_rate(self) -> Money | None:
        """What an hour costs, when that is said."""
        return _rate(self.hourly_rate_minor, self.rate_currency)


class Profile(Described, frozen=True):
    """A profile as its owner sees it."""

    id: int
    email: str
    email_verified: bool
    role: Role
    created_at: datetime


class PublicProfile(Record, frozen=True):
    """A profile as anybody signed in sees it."""

    id: int
    first_name: str
    last_name: str
    role: Role
    headline: str
    about: str
    country: str | None
    skills: list[str]
    hourly_rate_minor: int | None
    rate_currency: str | None
    is_available: bool
    avatar_upload_id: int | None
    rating_sum: int
    rating_count: int
    completed_contracts: int
    created_at: datetime

    @property
    def hourly_rate(self) -> Money | None:
        """What an hour costs, when that is said."""
        return _rate(self.hourly_rate_minor, self.rate_currency)

    @property
    def rating(self) -> Decimal | None:
        """The average of the reviews that are shown, rounded half to even to two decimals; None without any."""
        if not self.rating_count:
            return None
        return (Decimal(self.rating_sum) / self.rating_count).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


async def read_own(user_id: int) -> Profile:
    """One's own profile. The caller is signed in, so it is there."""
    return _own(await guard.only(f"select {OWN} from users where id = $1", user_id))


async def edit(user_id: int, **changed: Any) -> Profile:
    """Change what one says of oneself; a field that is not named stays, `hourly_rate` is Money or None.

    Raises Invalid or AmountOutOfBounds, naming the field; RoleNotAllowed for what only freelancers say; UploadNotReady
    for a picture. Also TokenInvalid, when its owner left meanwhile: what was forgotten must not be written anew.
    """
    guard.in_transaction()
    named = {*Described.__struct_fields__, "hourly_rate"} - {"hourly_rate_minor", "rate_currency"}
    unknown = changed.keys() - named
    assert not unknown, f"a profile has no {', '.join(sorted(unknown))}"
    await accounts.lock_present(user_id)
    found = await guard.only(f"select {OWN} from users where id = $1", user_id)
    _check_role(Role(found["role"]), changed)
    if "hourly_rate" in changed:
        changed |= _rated(changed.pop("hourly_rate"))
    said: dict[str, Any] = {name: changed.get(name, found[name]) for name in Described.__struct_fields__}
    for field in ("first_name", "last_name"):
        if field in changed:
            said[field] = clean_name(said[field], field)
    said["skills"] = each_once(said["skills"])
    _check(said)
    if changed.get("avatar_upload_id") is not None:
        await check_uploads([said["avatar_upload_id"]], user_id, purpose="avatar", field="avatar_upload_id")
    return _own(await guard.only(EDIT, user_id, *(said[name] for name in Described.__struct_fields__)))


async def read_public(user_id: int) -> PublicProfile:
    """Somebody's public profile. Raises NotFound when there is none, or its owner has left or is suspended."""
    found = await guard.row(PUBLIC, user_id)
    if found is None:
        raise NotFound(f"There is no user {user_id}.")
    return seen(found)


def seen(found: Any) -> PublicProfile:
    """The struct of a row of SEEN."""
    return PublicProfile(**{**dict(found), "role": Role(found["role"])})


def each_once(words: list[str]) -> list[str]:
    """The words in their order, each once whatever its case: the first spelling counts."""
    kept: dict[str, str] = {}
    for word in words:
        kept.setdefault(word.casefold(), word)
    return list(kept.values())


async def check_uploads(ids: list[int], user_id: int, *, purpose: str, field: str) -> None:
    """See that these files are this person's, for this purpose, and were found good. Raises UploadNotReady.

    They are locked, so that none of them goes before it is named.
    """
    guard.in_transaction()
    await lock(Noun.UPLOAD, *(one["id"] for one in await guard.rows(GOOD, ids, user_id, purpose)))
    missing = set(ids) - {one["id"] for one in await guard.rows(GOOD, ids, user_id, purpose)}
    if missing:
        raise UploadNotReady(f"Upload {min(missing)} is no {purpose} of yours that is ready.", field=field)


def _check_role(role: Role, changed: dict[str, Any]) -> None:
    refused = [field for field in FREELANCERS_ONLY if field in changed]
    if refused and role is not Role.FREELANCER:
        raise RoleNotAllowed(f"Only freelancers say `{refused[0]}` of themselves.", field=refused[0])


def _rated(rate: Money | None) -> dict[str, Any]:
    """The two columns of a rate. Raises AmountOutOfBounds."""
    if rate is not None and not 0 < rate.minor <= MAX_MINOR:
        most = Money(MAX_MINOR, rate.currency)
        raise AmountOutOfBounds(f"A rate is more than 0 and at most {most}; {rate} is not.", field="hourly_rate")
    return {"hourly_rate_minor": rate and rate.minor, "rate_currency": rate and rate.currency}


def _rate(minor: int | None, currency: str | None) -> Money | None:
    return None if minor is None or currency is None else Money(minor, currency)


def _check(said: dict[str, Any]) -> None:
    for field, most in (("headline", MAX_HEADLINE_CHARS), ("about", MAX_ABOUT_CHARS)):
        if len(said[field]) > most:
            raise Invalid(f"At most {most} characters.", field=field)
    if said["country"] is not None and said["country"] not in COUNTRIES:
        raise Invalid("A country is two capital letters of ISO 3166-1: DE, PK, US.", field="country")
    if said["time_zone"] not in _time_zones():
        raise Invalid("A time zone is a name of the IANA database: Europe/Berlin, UTC.", field="time_zone")
    if len(said["skills"]) > MAX_SKILLS or any(len(skill) > MAX_SKILL_CHARS for skill in said["skills"]):
        raise Invalid(f"At most {MAX_SKILLS} skills of at most {MAX_SKILL_CHARS} characters.", field="skills")


@cache
def _time_zones() -> set[str]:
    # Names looked up in a set: a name that is made into a path could be made into any path.
    return zoneinfo.available_timezones()


def _own(found: Any) -> Profile:
    return Profile(**{**dict(found), "role": Role(found["role"])})
