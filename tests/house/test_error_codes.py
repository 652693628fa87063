"""docs/errors.md has every code, with its status and its meaning, and no other."""

import re
from pathlib import Path

from api.problems import CATEGORIES, EDGE, kinds
from models import errors

PAGE = Path(__file__).parents[2] / "docs" / "errors.md"
ROW = re.compile(r"^\| `(?P<code>\w+)` \| (?P<status>\d{3}) \| (?P<title>.+) \|$", re.MULTILINE)


def test_the_page_lists_every_code_as_it_is_answered():
    listed = {found["code"]: (int(found["status"]), found["title"]) for found in ROW.finditer(PAGE.read_text())}
    assert listed == {kind.code: (kind.status, kind.title) for kind in kinds().values()}


def test_every_domain_error_has_a_category_and_a_code_of_its_own():
    declared = [
        one
        for one in vars(errors).values()
        if isinstance(one, type) and issubclass(one, errors.DomainError) and one is not errors.DomainError
    ]
    codes = [one.code for one in declared]
    assert len(codes) == len(set(codes))
    assert set(codes) | set(EDGE) == set(kinds())
    assert all(any(issubclass(one, category) for category in CATEGORIES) for one in declared)
    assert not set(codes) & set(EDGE)
