"""Chance that is the same every time: a generator for each purpose, and choices with Zipf's frequencies."""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeVar

from sandbox.seed import words

T = TypeVar("T")

BLOCK: Final = 4_096
"""Choices drawn at a time: one by one they cost ten times as much."""

Slots = dict[str, Any]


def dice(seed: int, purpose: str) -> random.Random:
    """A generator of its own for each purpose: what one part draws changes nothing elsewhere."""
    return random.Random(f"{seed}:{purpose}")  # noqa: S311  made-up data, and the same each time


def weighed(rng: random.Random, items: Sequence[T], weights: Sequence[float]) -> Iterator[T]:
    """Items for ever, as often as their weights say."""
    sums = list(itertools.accumulate(weights))
    while True:
        yield from rng.choices(items, cum_weights=sums, k=BLOCK)


def zipf(rng: random.Random, items: Sequence[T], power: float = 1.0) -> Iterator[T]:
    """Items for ever, the n-th of them 1/n as often as the first."""
    return weighed(rng, items, [1 / (n + 1) ** power for n in range(len(items))])


def brands() -> tuple[str, ...]:
    """Some thousand names of companies, each spelled once, in an order that mixes their beginnings."""
    made = sorted({f"{a}{b}{c}".capitalize() for a, b, c in itertools.product(*words.SYLLABLES)})
    dice(0, "brands").shuffle(made)
    return tuple(made)


def _with_article(word: str) -> str:
    return f"{'an' if word[0] in 'aeio' else 'a'} {word}"


class Speech:
    """Fills templates: what a thing, a trade, a company is called is drawn anew for each subject."""

    def __init__(self, seed: int, purpose: str) -> None:
        self.rng = dice(seed, purpose)
        self._things = zipf(self.rng, words.THINGS)
        self._trades = zipf(self.rng, words.TRADES)
        self._qualities = zipf(self.rng, words.QUALITIES)
        self._verbs = zipf(self.rng, words.VERBS, 0.5)
        self._brands = zipf(self.rng, brands())
        self._fields = zipf(self.rng, tuple(words.FIELDS))
        self._skills = {name: zipf(self.rng, skills) for name, skills in words.FIELDS.items()}

    def field(self) -> str:
        """A kind of work."""
        return next(self._fields)

    def subject(self, field: str) -> Slots:
        """What one conversation, project or person is about: a word for each slot."""
        skill, skill2 = next(self._skills[field]), next(self._skills[field])
        while skill2 == skill:
            skill2 = next(self._skills[field])
        thing, trade, quality = next(self._things), next(self._trades), next(self._qualities)
        return {
            "thing": thing,
            "a_thing": _with_article(thing),
            "trade": trade,
            "a_trade": _with_article(trade),
            "quality": quality,
            "a_quality": _with_article(quality),
            "verb": next(self._verbs),
            "brand": next(self._brands),
            "years": 2 + int(self.rng.random() * 18),
            "skill": skill,
            "skill2": skill2,
        }

    def line(self, templates: Sequence[str], slots: Slots) -> str:
        """One of these sentences about a subject, with a capital first."""
        said = templates[int(self.rng.random() * len(templates))].format(**slots)
        return said[0].upper() + said[1:]

    def text(self, templates: Sequence[str], slots: Slots, least: int, most: int) -> str:
        """Some of these sentences about a subject, none twice."""
        count = least + int(self.rng.random() * (most - least + 1))
        return " ".join(one.format(**slots) for one in self.rng.sample(templates, count))
