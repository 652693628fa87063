"""An invoice on paper: one page of A4, the same bytes whenever it is printed.

The font covers Latin, Greek and Cyrillic. What it has no sign for is printed as the replacement character, and an
invoice is never without its PDF because of a name: the right letters stand in the invoice itself.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Final

from fpdf import FPDF
from fpdf.enums import XPos, YPos
from fpdf.fonts import TTFFont

from models.invoices import InvoiceKind, InvoiceRow

FONT: Final = "Noto Sans"
UNKNOWN: Final = "\N{REPLACEMENT CHARACTER}"
_SOFT: Final = 110
_BLACK: Final = 20
_LINE: Final = 6.0
_HALF: Final = 85.0
"""Half of what is between the margins, in millimetres."""
_AMOUNT: Final = 45.0


def render(invoice: InvoiceRow) -> bytes:
    """The PDF of an invoice that has its number."""
    assert invoice.display_number is not None, "a number is printed"
    with _paper() as (page, _):
        page.set_margin(20)
        page.c_margin = 0
        page.set_creation_date(invoice.issued_at)
        page.set_title(f"Invoice {invoice.display_number}")
        page.set_producer("MegiLance")
        page.add_page()
        _head(page, invoice)
        _parties(page, invoice)
        _lines(page, invoice)
        _foot(page, invoice)
        return bytes(page.output())


def _head(page: FPDF, invoice: InvoiceRow) -> None:
    _write(page, "MegiLance", size=11, grey=_SOFT)
    _write(page, f"Invoice {invoice.display_number}", size=22, height=14)
    _write(page, f"Issued {invoice.issued_at:%Y-%m-%d}", grey=_SOFT)
    _write(page, f"Contract {invoice.contract_id}, milestone {invoice.milestone_id}", grey=_SOFT)
    page.ln(8)


def _parties(page: FPDF, invoice: InvoiceRow) -> None:
    top = page.get_y()
    bottom = top
    for left, part, name in ((20.0, "From", invoice.seller_name), (20.0 + _HALF, "To", invoice.buyer_name)):
        page.set_xy(left, top)
        _write(page, part, width=_HALF - 5, grey=_SOFT, left=left)
        _write(page, name, width=_HALF - 5, size=12, left=left)
        bottom = max(bottom, page.get_y())
    page.set_xy(20, bottom + 10)


def _lines(page: FPDF, invoice: InvoiceRow) -> None:
    """The one thing that is billed, and the total, which is the same."""
    page.line(20, page.get_y(), 190, page.get_y())
    page.ln(3)
    top = page.get_y()
    _write(page, invoice.description, width=170 - _AMOUNT)
    bottom = page.get_y()
    page.set_xy(190 - _AMOUNT, top)
    _write(page, str(invoice.amount), width=_AMOUNT, align="R")
    page.set_xy(20, max(bottom, page.get_y()) + 3)
    page.line(20, page.get_y(), 190, page.get_y())
    page.ln(3)
    top = page.get_y()
    _write(page, "Total", size=12, width=170 - _AMOUNT)
    page.set_xy(190 - _AMOUNT, top)
    _write(page, str(invoice.amount), size=12, width=_AMOUNT, align="R")
    page.ln(10)


def _foot(page: FPDF, invoice: InvoiceRow) -> None:
    paid = "Paid in full through MegiLance."
    if invoice.kind is InvoiceKind.FEE:
        paid = "Paid in full: the fee was kept from the milestone's payment."
    _write(page, paid, grey=_SOFT)


def _write(
    page: FPDF,
    text: str,
    *,
    size: float = 10,
    grey: int = _BLACK,
    width: float = 0,
    height: float = _LINE,
    align: str = "L",
    left: float = 20.0,
) -> None:
    """A paragraph, as many lines as it needs; the next one begins below it, at `left`."""
    page.set_font(FONT, size=size)
    page.set_text_color(grey)
    page.multi_cell(width, height, printable(text), align=align, new_x=XPos.LEFT, new_y=YPos.NEXT)
    page.set_x(left)


def printable(text: str) -> str:
    """The text in signs that the font has. Line breaks and tabs become spaces."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(char if ord(char) in _known() else UNKNOWN for char in composed)


@contextmanager
def _paper() -> Iterator[tuple[FPDF, TTFFont]]:
    """A document and its font, whose file is closed at the end: the library leaves that to whoever opened it."""
    page = FPDF(format="A4")
    # A variable font; what it shows unless it is told otherwise is the regular weight.
    page.add_font(FONT, fname=str(files("fontpkg_noto_sans") / "files" / "NotoSans[wdth,wght].ttf"))
    (font,) = page.fonts.values()
    assert isinstance(font, TTFFont), "a font of a file"
    try:
        yield page, font
    finally:
        font.ttfont.close()


@cache
def _known() -> frozenset[int]:
    with _paper() as (_, font):
        return frozenset(font.cmap)
