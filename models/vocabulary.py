"""The words that open public projects use, for whoever mistypes one or has only begun to type.

Gathered anew each night. A word that stands only in what is not public is not here.
"""

import re
from typing import Final

from models import guard
from models.base import Record
from models.errors import Invalid
from models.queries import query

MOST_WORDS: Final = 10
"""Words of a query that are looked at; longer ones are sentences."""
MOST_COMPLETIONS: Final = 8
LEAST_PREFIX: Final = 2
"""Fewer letters begin everything."""
MOST_DASHES: Final = 32
"""With no letter or digit between them: each excludes what follows, and PostgreSQL holds no more of them at once."""
LETTERS: Final = re.compile(r"[^\W_]+")
WORD: Final = re.compile(r"[^\W\d_][\w+#.]*", re.UNICODE)
ABOVE: Final = "\U0010ffff"
"""Sorts behind whatever may follow a prefix."""

# Words of three letters that people could type: no numbers, addresses or stop words. The dictionary "simple" keeps them
# as they are written.
GATHER: Final = r"""
insert into search_words (word, uses)
select word, ndoc from ts_stat($$
    select to_tsvector('simple', plain(title || ' ' || joined(skills)))
      from projects where status = 'open' and visibility = 'public'
     union all select to_tsvector('simple', plain(name)) from skills
     union all select to_tsvector('simple', plain(name)) from categories $$)
 where word ~ '^[[:alpha:]][[:alnum:]]{2,39}$' and to_tsvector('english', word) <> ''
on conflict (word) do update set uses = excluded.uses returning 1
"""

# Letters in common find most mistakes; of a short word with two letters exchanged hardly any three are left together,
# so words of the same beginning are compared letter by letter. Another form of the same stem is no mistake, and neither
# is a stop word.
NEAREST: Final = query(
    "words.nearest",
    """select asked.word, near.word as nearest
         from unnest($1::text[]) with ordinality asked(word, n)
              left join lateral (
                  select w.word from (
                      select word, uses from search_words where word % plain(asked.word)
                       union
                      select word, uses from search_words
                       where word ~>=~ left(plain(asked.word), 1) and word ~<~ (left(plain(asked.word), 1) || $2)
                         and length(word) between length(asked.word) - 1 and length(asked.word) + 1
                         and levenshtein_less_equal(word, left(plain(asked.word), 40), 2)
                             <= least(2, length(asked.word) / 3)) w
                   order by levenshtein(w.word, left(plain(asked.word), 40)),
                            similarity(w.word, plain(asked.word)) desc, w.uses desc, w.word limit 1) near
                on to_tsvector('english', plain(asked.word)) <> ''
                   and to_tsvector('english', near.word) <> to_tsvector('english', plain(asked.word))
        order by asked.n""",
)
COMPLETIONS: Final = query(
    "words.completions",
    """select word from search_words where word ~>~ plain($1) and word ~<~ (plain($1) || $2)
        order by uses desc, word limit $3""",
)


def check_typed(q: str) -> None:
    """Raise Invalid for a text that PostgreSQL cannot read as a query: one of exclusions of exclusions."""
    if any(run.count("-") > MOST_DASHES for run in LETTERS.split(q)):
        raise Invalid(f"More than {MOST_DASHES} dashes in a row: leave some out.", field="q")


class Suggestions(Record, frozen=True):
    """What somebody may have meant, and how the last word may go on."""

    did_you_mean: str | None
    completions: list[str]


async def gather() -> int:
    """Count the words of the market anew; returns how many there are. Doing it twice changes nothing."""
    guard.in_transaction()
    # Readers see the words of last night until this commits.
    await guard.rows("delete from search_words")
    return await guard.execute(GATHER)


async def suggest(q: str) -> Suggestions:
    """The nearest words that projects use for those they do not, and completions of the last one."""
    asked = [one.lower() for one in WORD.findall(q)][:MOST_WORDS]
    if not asked:
        return Suggestions(did_you_mean=None, completions=[])
    meant = q
    for one in await guard.rows(NEAREST, asked, ABOVE):
        if one["nearest"] is not None:
            meant = re.sub(rf"(?<!\w){re.escape(one['word'])}(?!\w)", one["nearest"], meant, flags=re.IGNORECASE)
    last, completions = asked[-1], []
    if len(last) >= LEAST_PREFIX and q.lower().endswith(last):
        completions = [one["word"] for one in await guard.rows(COMPLETIONS, last, ABOVE, MOST_COMPLETIONS)]
    return Suggestions(did_you_mean=None if meant == q else meant, completions=completions)
