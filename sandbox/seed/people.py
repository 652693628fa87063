"""Accounts, skills and favourites, as rows. Everybody has the same password, so that a few can sign in."""

from collections.abc import Iterator
from typing import Any, Final

from sandbox.seed import words
from sandbox.seed.chance import Speech, dice, zipf
from sandbox.seed.hires import Hire
from sandbox.seed.loading import Loader
from sandbox.seed.plan import DAY_S, Crowd, Size, Work
from sandbox.seed.projects import slug
from sandbox.seed.work import rated

USERS: Final = (
    "email email_key password_hash first_name last_name role email_verified_at password_changed_at headline about "
    "country time_zone skills hourly_rate_minor rate_currency is_available rating_sum rating_count completed_contracts "
    "stripe_customer_id stripe_account_id payouts_ready created_at"
)
PASSWORD: Final = "Seeded-Market-1"  # noqa: S105  printed to whoever loads it, into a desk only
PASSWORD_HASH: Final = (
    "$argon2id$v=19$m=19456,t=2,p=1$c2VlZGVkIGJ5IGNoYW5jZQ$KM5WxQsyb6i7uQkyjbR3L2pf1PkAM6ZqQ1Yj6VFtxLQ"  # noqa: S105
)
"""Of PASSWORD, with a salt that is always the same: the same seed gives the same bytes."""

SKILLS: Final = "insert into skills (slug, name) values ($1, $2) on conflict (slug) do nothing"
FAVORITES: Final = "user project freelancer created_at"


def email(user: int) -> str:
    """The address of a user, counted from 0."""
    return f"user{user + 1}@example.test"


def payouts_ready(user: int) -> bool:
    """Whether Stripe pays out to a freelancer: to all but one in fifty."""
    return user % 50 != 7


def user_rows(loader: Loader, seed: int, crowd: Crowd, hires: list[Hire]) -> Iterator[tuple[Any, ...]]:
    """The rows of USERS."""
    speech = Speech(seed, "people")
    countries = zipf(speech.rng, words.COUNTRIES)
    firsts, lasts = zipf(speech.rng, words.FIRST_NAMES, 0.3), zipf(speech.rng, words.LAST_NAMES, 0.3)
    ratings, completed = rated(hires)
    for user, joined in enumerate(crowd.joined):
        role = crowd.role(user)
        works = role == "freelancer"
        field = speech.field()
        slots = speech.subject(field)
        country = next(countries)
        got = ratings.get(user, [])
        at = loader.at(joined)
        yield (
            email(user),
            email(user),
            PASSWORD_HASH,
            next(firsts),
            next(lasts),
            role,
            at,
            at,
            f"{slots['skill']} and {slots['skill2']} for {slots['trade']} and others" if works else "",
            speech.text(words.ABOUTS, slots, 1, 4) if works else "",
            country,
            words.ZONES[country],
            [slots["skill"], slots["skill2"]] if works else [],
            100 * (12 + int(108 * speech.rng.random() ** 2)) if works else None,
            "USD" if works else None,
            speech.rng.random() < 0.8,
            sum(got),
            len(got),
            completed.get(user, 0),
            f"cus_seed_{user}" if role == "client" else None,
            f"acct_seed_{user}" if works and payouts_ready(user) else None,
            works and payouts_ready(user),
            at,
        )


def skill_rows() -> list[tuple[Any, ...]]:
    """What SKILLS is run with."""
    named = dict.fromkeys(skill for skills in words.FIELDS.values() for skill in skills)
    return [(slug(name), name) for name in named]


def favorite_rows(loader: Loader, seed: int, size: Size, crowd: Crowd, works: list[Work]) -> Iterator[tuple[Any, ...]]:
    """The rows of FAVORITES: freelancers keep open projects, clients keep freelancers; nobody the same one twice."""
    rng = dice(seed, "favorites")
    seen: set[tuple[int, int]] = set()
    found = [n for n, work in enumerate(works) if (work.status, work.visibility) == ("open", "public")]
    for n in range(size.favorites):
        project = found[int(len(found) * rng.random())]
        who = crowd.freelancer(rng, -DAY_S) if n % 2 else crowd.client(rng, -DAY_S)
        kept = -1 - crowd.freelancer(rng, -DAY_S) if n % 2 == 0 else project
        if (who, kept) in seen:
            continue
        seen.add((who, kept))
        at = loader.at(-int(DAY_S * rng.random()))
        if kept < 0:
            yield (loader.id("users", who), None, loader.id("users", -1 - kept), at)
        else:
            yield (loader.id("users", who), loader.id("projects", kept), None, at)
