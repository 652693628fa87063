"""docs/states.md is the tables in words: `python -m tests.histories.page` writes it."""

from tests.histories.page import PAGE, written


def test_the_page_is_what_the_tables_say():
    assert PAGE.read_text(encoding="utf-8") == written()
