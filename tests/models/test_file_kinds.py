"""What a file may be and be called: the table, and names that mean harm."""

import pytest

from models import file_kinds
from models.errors import UploadRefused
from models.file_kinds import EXTENSIONS, KINDS, MB, UploadPurpose, clean_filename


def test_the_table_is_whole_and_has_nothing_that_a_browser_runs() -> None:
    assert set(KINDS) == set(UploadPurpose)
    assert {purpose.value: kind.most_bytes // MB for purpose, kind in KINDS.items()} == {
        "avatar": 2, "portfolio": 20, "deliverable": 100, "attachment": 25, "evidence": 50,
    }  # fmt: skip
    taken = {one for kind in KINDS.values() for one in kind.content_types}
    assert taken == set(EXTENSIONS)
    assert not [
        one for one in taken if "svg" in one or "html" in one or "xml" in one.removeprefix("application/vnd.openxml")
    ]


@pytest.mark.parametrize(
    ("purpose", "content_type", "size", "field"),
    [
        (UploadPurpose.AVATAR, "image/gif", 1, "content_type"),
        (UploadPurpose.AVATAR, "application/pdf", 1, "content_type"),
        (UploadPurpose.PORTFOLIO, "application/zip", 1, "content_type"),
        (UploadPurpose.EVIDENCE, "image/svg+xml", 1, "content_type"),
        (UploadPurpose.EVIDENCE, "IMAGE/PNG", 1, "content_type"),
        (UploadPurpose.AVATAR, "image/png", 0, "size_bytes"),
        (UploadPurpose.AVATAR, "image/png", 2 * MB + 1, "size_bytes"),
        (UploadPurpose.DELIVERABLE, "text/plain", 100 * MB + 1, "size_bytes"),
    ],
)
def test_what_a_purpose_does_not_take_is_refused_by_field(
    purpose: UploadPurpose, content_type: str, size: int, field: str
) -> None:
    with pytest.raises(UploadRefused) as refusal:
        file_kinds.check(purpose, content_type, size)
    assert refusal.value.field == field


def test_the_largest_is_taken() -> None:
    for purpose, kind in KINDS.items():
        for content_type in kind.content_types:
            file_kinds.check(purpose, content_type, kind.most_bytes)


@pytest.mark.parametrize(
    ("typed", "content_type", "kept"),
    [
        ("plan.pdf", "application/pdf", "plan.pdf"),
        ("Plan.PDF", "application/pdf", "Plan.PDF"),
        ("../../etc/passwd", "text/plain", "passwd.txt"),
        (r"C:\Users\me\photo.JPEG", "image/jpeg", "photo.JPEG"),
        ("run.bat", "text/plain", "run.bat.txt"),
        ("setup.exe", "application/pdf", "setup.exe.pdf"),
        ("photo\u202egpj.exe", "image/png", "photogpj.exe.png"),
        ("a\u200bb\x00\n.md", "text/plain", "ab.md"),
        ("Grüße 設計.docx", EXTENSIONS and file_kinds.DOCX, "Grüße 設計.docx"),
        ("cafe\u0301.png", "image/png", "café.png"),
        ('a"b<c>|d?.zip', "application/zip", "a_b_c__d_.zip"),
        (".pdf", "application/pdf", "pdf.pdf"),
        ("...", "application/pdf", "file.pdf"),
        ("\u202e", "image/webp", "file.webp"),
        ("/", "image/webp", "file.webp"),
        (".. .pdf", "application/pdf", "pdf.pdf"),
        ("x" * 300 + ".pdf", "application/pdf", "x" * 196 + ".pdf"),
    ],
)  # fmt: skip
def test_a_name_is_cleaned(typed: str, content_type: str, kept: str) -> None:
    assert clean_filename(typed, content_type) == kept
    assert len(kept) <= file_kinds.MAX_NAME_CHARS
