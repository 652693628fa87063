"""What a file really is, told from its bytes: its head, and for a ZIP the list of names at its end.

A library knows the signatures. Here stands what it cannot know: that an Office document is a ZIP with certain names and
without macros, and that text which begins like a page or a program is one.
"""

import io
import re
import zipfile
from typing import Final

import puremagic

from models.file_kinds import DOCX, PPTX, TEXT, XLSX, ZIP

HEAD_BYTES: Final = 256 << 10
"""What is looked at of the beginning: more than any signature needs, and a sample of a text."""
TAIL_BYTES: Final = 1 << 20
"""What is looked at of a ZIP's end: the names of some ten thousand files."""

_OFFICE: Final = {DOCX: "word/", XLSX: "xl/", PPTX: "ppt/"}
_MP4: Final = frozenset({b"isom", b"iso2", b"iso4", b"iso5", b"iso6", b"mp41", b"mp42", b"avc1", b"dash", b"M4V "})
_MOST_BRANDS: Final = 256
_MACROS: Final = ("vbaproject.bin", "vbadata.xml")
_MARKUP: Final = re.compile(
    r"\s*(<(!doctype|!--|html|head|body|script|svg|iframe|img|math|xml|\?)|#!|@echo\b|%!ps|\{\\rtf)", re.IGNORECASE
)


def fault_in(content_type: str, head: bytes, tail: bytes) -> str | None:
    """Why a file is not of the type that it was announced as, in words for its owner; None when it is.

    `tail` is its end, as much as there is up to TAIL_BYTES.
    """
    if content_type == TEXT:
        return _fault_in_text(head)
    if content_type not in _guesses(head):
        return f"It is not {content_type}."
    if content_type == ZIP or content_type in _OFFICE:
        return _fault_in_archive(content_type, tail)
    return None


def _guesses(head: bytes) -> set[str]:
    """Every type whose signature fits."""
    if head.startswith(b"PK\x03\x04"):
        return {ZIP, *_OFFICE}
    if head[4:8] == b"ftyp":
        # The library knows one brand; a file names the one it was written for, and those it is good for.
        end = min(int.from_bytes(head[:4]), _MOST_BRANDS)
        return {"video/mp4"} if _MP4 & {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))} else set()
    try:
        return {one.mime_type for one in puremagic.magic_string(head)}
    except (puremagic.PureError, ValueError):  # no signature fits, or there is nothing to look at
        return set()


def _fault_in_archive(content_type: str, tail: bytes) -> str | None:
    try:
        # The list of names stands at the end, and zipfile finds it from there: what comes before need not be here.
        with zipfile.ZipFile(io.BytesIO(tail)) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return "It is no ZIP archive that can be opened."
    if content_type == ZIP:
        return None
    if "[Content_Types].xml" not in names or not any(name.startswith(_OFFICE[content_type]) for name in names):
        return f"It is not {content_type}."
    if any(name.lower().endswith(_MACROS) for name in names):
        return "It has macros."
    return None


def _fault_in_text(head: bytes) -> str | None:
    try:
        text = _decoded(head)
    except UnicodeDecodeError:
        return "It is no text in UTF-8."
    if any((char < " " and char not in "\t\n\r\f") or char == "\x7f" for char in text):
        return "It has control characters."
    if _MARKUP.match(text.lstrip("\ufeff")):
        return "It is a page or a program."
    return None


def _decoded(head: bytes) -> str:
    """The text; a character that the end of the sample cuts through is left out."""
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(head) < HEAD_BYTES or error.start < len(head) - 3:
            raise
        return head[: error.start].decode("utf-8")
