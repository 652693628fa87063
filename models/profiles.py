"""What a person says of themselves, and how much of it others see: never an address, a phone number or an IP.

Refuses a country or a time zone that does not exist. Who has left, or was suspended, does not exist for others.
"""

import re
import zoneinfo
from datetime import datetime
from functools import cache
from typing import Any, Final

from models import accounts, guard
from models.accounts import Role, clean_name
from models.base import Record
from models.errors import Invalid, NotFound

MAX_HEADLINE_CHARS: Final = 200
MAX_ABOUT_CHARS: Final = 5_000

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
time_zone, created_at
"""

EDIT: Final = f"""
update users set first_name = $2, last_name = $3, headline = $4, about = $5, country = $6, time_zone = $7
 where id = $1 returning {OWN}
"""

PUBLIC: Final = """
select id, first_name, last_name, role, headline, about, country, created_at from users
 where id = $1 and suspended_at is null and deactivated_at is null and erased_at is null
"""


class Described(Record, frozen=True):
    """What one may say of oneself."""

    first_name: str
    last_name: str
    headline: str
    about: str
    country: str | None
    time_zone: str


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
    created_at: datetime


async def read_own(user_id: int) -> Profile:
    """One's own profile. The caller is signed in, so it is there."""
    return _own(await guard.only(f"select {OWN} from users where id = $1", user_id))


async def edit(user_id: int, **changed: str | None) -> Profile:
    """Change what one says of oneself; a field that is not named stays. Raises Invalid, naming the field.

    Also TokenInvalid, when its owner left meanwhile: what was forgotten must not be written anew.
    """
    guard.in_transaction()
    unknown = changed.keys() - set(Described.__struct_fields__)
    assert not unknown, f"a profile has no {', '.join(sorted(unknown))}"
    await accounts.lock_present(user_id)
    found = await guard.only(f"select {OWN} from users where id = $1", user_id)
    said: dict[str, Any] = {name: changed.get(name, found[name]) for name in Described.__struct_fields__}
    for field in ("first_name", "last_name"):
        if field in changed:
            said[field] = clean_name(said[field], field)
    _check(said)
    return _own(await guard.only(EDIT, user_id, *(said[name] for name in Described.__struct_fields__)))


async def read_public(user_id: int) -> PublicProfile:
    """Somebody's public profile. Raises NotFound when there is none, or its owner has left or is suspended."""
    found = await guard.row(PUBLIC, user_id)
    if found is None:
        raise NotFound(f"There is no user {user_id}.")
    return PublicProfile(**{**dict(found), "role": Role(found["role"])})


def _check(said: dict[str, Any]) -> None:
    for field, most in (("headline", MAX_HEADLINE_CHARS), ("about", MAX_ABOUT_CHARS)):
        if len(said[field]) > most:
            raise Invalid(f"At most {most} characters.", field=field)
    if said["country"] is not None and said["country"] not in COUNTRIES:
        raise Invalid("A country is two capital letters of ISO 3166-1: DE, PK, US.", field="country")
    if said["time_zone"] not in _time_zones():
        raise Invalid("A time zone is a name of the IANA database: Europe/Berlin, UTC.", field="time_zone")


@cache
def _time_zones() -> set[str]:
    # Names looked up in a set: a name that is made into a path could be made into any path.
    return zoneinfo.available_timezones()


def _own(found: Any) -> Profile:
    return Profile(**{**dict(found), "role": Role(found["role"])})
