"""docs/access.md is the table in words: written from the data, and held to it. `python -m tests.access.page` writes it."""

from tests.access.page import PAGE, written


def test_the_page_is_what_the_table_says():
    assert PAGE.read_text(encoding="utf-8") == written()
