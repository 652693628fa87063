"""How unusual a sign-in is, by the account's own history: plain sums, each part told with what it adds.

Refuses to guess: what is not known (no map, no history) adds nothing and is not named. The history is the sessions of
the last 90 days and the failures of the last hour; it is read in two statements, and nothing is written.
"""

from math import asin, cos, radians, sin, sqrt
from typing import Final

import asyncpg

from models import guard
from models.base import Record
from models.security import SecurityEventKind
from models.visitors import Visitor

NEW_DEVICE: Final = 15.0
NEW_NETWORK: Final = 10.0
NEW_COUNTRY: Final = 15.0
IMPOSSIBLE_TRAVEL: Final = 30.0
VELOCITY_EACH: Final = 1.5
VELOCITY_MOST: Final = 15.0
CREDENTIAL_STUFFING: Final = 15.0
MOST: Final = 100.0
"""All of the above together."""
MEDIUM: Final = 30.0
"""From here on a second factor is asked for."""
HIGH: Final = 60.0

HISTORY_DAYS: Final = 90
AIRLINER_KMH: Final = 900.0
"""What a passenger can do at most, door to door."""
NEARBY_KM: Final = 100.0
"""Maps are wrong by as much as this, and a moment between two addresses would make any distance too fast."""
EARTH_KM: Final = 6371.0088
"""The mean radius (IUGG)."""
VICTIMS: Final = 5
"""Other accounts that failed from one network within an hour: a list is being tried."""

# An empty device or network was not known when its session began; a null country likewise. `bool_or` over nothing is
# null, so what was never known is told from what is new.
HISTORY: Final = """
select bool_or(s.device = $2) filter (where s.device <> '') as knows_device,
       bool_or(s.network = nullif($3, '')) filter (where s.network <> '') as knows_network,
       bool_or(s.country = $4) filter (where s.country is not null) as knows_country,
       max(l.latitude) as latitude, max(l.longitude) as longitude, max(l.hours) as hours
  from sessions s
  left join (select latitude, longitude, extract(epoch from now() - refreshed_at)::float8 / 3600 as hours
               from sessions
              where "user" = $1 and refreshed_at > now() - make_interval(days => $5)
                and latitude is not null and longitude is not null
              order by refreshed_at desc, id desc limit 1) l on true
 where s."user" = $1 and s.refreshed_at > now() - make_interval(days => $5)
"""
FAILURES: Final = """
select (select count(*) from (select 1 from security_events
         where "user" = $1 and kind = $3 and created_at > now() - interval '1 hour' limit $4) own) as own,
       (select count(*) from (select 1 from security_events
         where network = $2 and network <> '' and "user" <> $1 and kind = $3
           and created_at > now() - interval '1 hour' group by "user" limit $5) others) as others
"""


class RiskFactor(Record, frozen=True):
    """One unusual thing, and how many points of the score it is."""

    name: str
    contribution: float
    detail: str


class Assessment(Record, frozen=True):
    """A score from 0 to 100: the sum of its factors' contributions."""

    score: float
    level: str
    factors: tuple[RiskFactor, ...]
    require_additional_auth: bool


async def assess(user_id: int, visitor: Visitor) -> Assessment:
    """How unusual it is that this account is used by this visitor now. Reads; writes nothing."""
    country = None if visitor.place is None else visitor.place.country
    history = await guard.only(HISTORY, user_id, visitor.device, visitor.network, country, HISTORY_DAYS)
    failures = await guard.only(
        FAILURES,
        user_id,
        visitor.network,
        SecurityEventKind.SIGN_IN_FAILED.value,
        int(VELOCITY_MOST / VELOCITY_EACH),
        VICTIMS,
    )
    return weigh((*_unknown(history, country), *_travelled(history, visitor), *_failed(failures)))


def weigh(factors: tuple[RiskFactor, ...]) -> Assessment:
    """The assessment that these factors make together."""
    score = sum(one.contribution for one in factors)
    assert 0 <= score <= MOST, score
    level = "high" if score >= HIGH else "medium" if score >= MEDIUM else "low"
    return Assessment(score=score, level=level, factors=factors, require_additional_auth=score >= MEDIUM)


def _unknown(history: asyncpg.Record, country: str | None) -> list[RiskFactor]:
    found = []
    if history["knows_device"] is False:
        found.append(_factor("new_device", NEW_DEVICE, "This browser has not signed in to the account before."))
    if history["knows_network"] is False:
        found.append(_factor("new_network", NEW_NETWORK, "Nobody has signed in to the account from this network."))
    if history["knows_country"] is False:
        found.append(_factor("new_country", NEW_COUNTRY, f"The account has not been used from {country} before."))
    return found


def _travelled(history: asyncpg.Record, visitor: Visitor) -> list[RiskFactor]:
    here = visitor.place
    if here is None or here.latitude is None or here.longitude is None or history["latitude"] is None:
        return []
    km = distance_km(history["latitude"], history["longitude"], here.latitude, here.longitude)
    if km <= NEARBY_KM or km <= AIRLINER_KMH * history["hours"]:
        return []
    detail = f"The account was used {km:,.0f} km from here {history['hours'] * 60:,.0f} minutes ago."
    return [_factor("impossible_travel", IMPOSSIBLE_TRAVEL, detail)]


def _failed(failures: asyncpg.Record) -> list[RiskFactor]:
    found = []
    if failures["own"]:
        # As many as count: more of them change nothing, and are not counted.
        points = min(VELOCITY_EACH * failures["own"], VELOCITY_MOST)
        said = f"{'At least ' if points == VELOCITY_MOST else ''}{failures['own']}"
        found.append(_factor("velocity", points, f"{said} failed sign-ins to the account in the last hour."))
    if failures["others"] >= VICTIMS:
        detail = f"Sign-ins to at least {VICTIMS} other accounts failed from this network in the last hour."
        found.append(_factor("credential_stuffing", CREDENTIAL_STUFFING, detail))
    return found


def _factor(name: str, contribution: float, detail: str) -> RiskFactor:
    return RiskFactor(name=name, contribution=contribution, detail=detail)


def distance_km(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """The great-circle distance between two points given in degrees (haversine: exact enough also for near ones)."""
    one, other = radians(latitude), radians(other_latitude)
    across = sin((other - one) / 2) ** 2
    along = sin(radians(other_longitude - longitude) / 2) ** 2
    # Rounding may take the sum a hair above 1 at the antipodes.
    return 2 * EARTH_KM * asin(sqrt(min(1.0, across + cos(one) * cos(other) * along)))
