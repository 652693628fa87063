"""What a file may be, by what it is for: one table of types and sizes; and what it may be called.

Refuses SVG, HTML and everything else that a browser might run, whatever it is for.
"""

import re
import unicodedata
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from models.base import Record
from models.errors import UploadRefused

MB: Final = 1 << 20
MAX_NAME_CHARS: Final = 200
_NAMELESS: Final = "file"


class UploadPurpose(StrEnum):
    """What a file is for: it decides who sees it, and what it may be."""

    AVATAR = "avatar"
    PORTFOLIO = "portfolio"
    DELIVERABLE = "deliverable"
    ATTACHMENT = "attachment"
    EVIDENCE = "evidence"


_OFFICE: Final = "application/vnd.openxmlformats-officedocument."
DOCX: Final = f"{_OFFICE}wordprocessingml.document"
XLSX: Final = f"{_OFFICE}spreadsheetml.sheet"
PPTX: Final = f"{_OFFICE}presentationml.presentation"
ZIP: Final = "application/zip"
TEXT: Final = "text/plain"

EXTENSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "image/png": (".png",),
    "image/jpeg": (".jpg", ".jpeg"),
    "image/webp": (".webp",),
    "image/gif": (".gif",),
    "application/pdf": (".pdf",),
    "video/mp4": (".mp4", ".m4v"),
    ZIP: (".zip",),
    TEXT: (".txt", ".md", ".csv", ".log"),
    DOCX: (".docx",),
    XLSX: (".xlsx",),
    PPTX: (".pptx",),
}
"""Every type that is taken, and what its files are called: a program named `x.exe` is no PDF, also when it is saved."""

_SHOWN: Final = ("image/png", "image/jpeg", "image/webp")
_WORK: Final = (*_SHOWN, "image/gif", "application/pdf", "video/mp4")


class Kind(Record, frozen=True):
    """What is taken for one purpose."""

    content_types: tuple[str, ...]
    most_bytes: int


KINDS: Final[Mapping[UploadPurpose, Kind]] = {
    UploadPurpose.AVATAR: Kind(content_types=_SHOWN, most_bytes=2 * MB),
    UploadPurpose.PORTFOLIO: Kind(content_types=_WORK, most_bytes=20 * MB),
    UploadPurpose.DELIVERABLE: Kind(content_types=tuple(EXTENSIONS), most_bytes=100 * MB),
    UploadPurpose.ATTACHMENT: Kind(content_types=tuple(EXTENSIONS), most_bytes=25 * MB),
    UploadPurpose.EVIDENCE: Kind(content_types=tuple(EXTENSIONS), most_bytes=50 * MB),
}
"""The table. A deliverable of more than its most is a ZIP in parts, or a link in its note."""


def check(purpose: UploadPurpose, content_type: str, size_bytes: int) -> None:
    """See that a purpose takes this type and size. Raises UploadRefused naming what it takes."""
    kind = KINDS[purpose]
    if content_type not in kind.content_types:
        taken = ", ".join(kind.content_types)
        raise UploadRefused(f"{purpose.value.capitalize()} files are {taken}.", field="content_type")
    if not 0 < size_bytes <= kind.most_bytes:
        most = kind.most_bytes // MB
        raise UploadRefused(f"{purpose.value.capitalize()} files have 1 byte to {most} MB.", field="size_bytes")


def clean_filename(filename: str, content_type: str) -> str:
    """The name under which a file of a type is saved: no path, nothing invisible, an extension of its type.

    At most MAX_NAME_CHARS characters; what is left of nothing is `file`.
    """
    name = re.split(r"[/\\]", unicodedata.normalize("NFC", filename))[-1]
    # Cf are the invisible ones, among them those that turn text around: `gpj.exe` read from the right is a picture.
    name = "".join(char for char in name if unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
    name = re.sub(r'[<>:"|?*]', "_", name).strip(" .")
    extensions = EXTENSIONS[content_type]
    found = next((one for one in extensions if name.lower().endswith(one)), None)
    stem, extension = (name[: -len(found)], name[-len(found) :]) if found else (name, extensions[0])
    return f"{stem.rstrip(' .')[: MAX_NAME_CHARS - len(extension)] or _NAMELESS}{extension}"
