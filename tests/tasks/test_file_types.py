"""What a file is, told from its bytes: each type as its programs write it, and each disguise."""

import io
import struct
import zipfile
import zlib

import pytest
from PIL import Image

from models.file_kinds import DOCX, EXTENSIONS, PPTX, TEXT, XLSX, ZIP
from tasks import file_types
from tasks.file_types import HEAD_BYTES, TAIL_BYTES


def an_image(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), "teal").save(buffer, kind)
    return buffer.getvalue()


def a_zip(*names: str, padding: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("padding.bin", b"\0" * padding)
        for name in names:
            archive.writestr(name, "<x/>")
    return buffer.getvalue()


def an_mp4(brand: bytes = b"isom") -> bytes:
    return struct.pack(">I4s4sI", 24, b"ftyp", brand, 512) + brand + b"mp41" + struct.pack(">I4s", 8, b"mdat")


OFFICE = "[Content_Types].xml"
GOOD = {
    "image/png": an_image("PNG"),
    "image/jpeg": an_image("JPEG"),
    "image/webp": an_image("WEBP"),
    "image/gif": an_image("GIF"),
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n",
    "video/mp4": an_mp4(),
    ZIP: a_zip("src/app.py"),
    TEXT: "Grüße,\r\n\tund <b>mehr</b> als #!".encode(),
    DOCX: a_zip(OFFICE, "word/document.xml"),
    XLSX: a_zip(OFFICE, "xl/workbook.xml"),
    PPTX: a_zip(OFFICE, "ppt/presentation.xml"),
}
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'
HTML = b"<!DOCTYPE html><script>alert(1)</script>"
EXE = b"MZ\x90\x00" + b"\0" * 56 + struct.pack("<I", 64) + b"PE\0\0"


def fault_in(content_type: str, content: bytes) -> str | None:
    return file_types.fault_in(content_type, content[:HEAD_BYTES], content[-TAIL_BYTES:])


def test_every_type_that_is_taken_is_known_by_its_bytes() -> None:
    assert set(GOOD) == set(EXTENSIONS)
    assert {kind: fault for kind, content in GOOD.items() if (fault := fault_in(kind, content)) is not None} == {}
    for brand in (b"mp42", b"avc1", b"iso5", b"M4V ", b"NDSC"):
        assert fault_in("video/mp4", an_mp4(brand)) is None, brand
    assert fault_in("video/mp4", an_mp4(b"heic").replace(b"mp41", b"mif1")) == "It is not video/mp4."
    assert fault_in("image/jpeg", an_image("JPEG")[:4] + b"\x00\x10Exif\0\0") is None


@pytest.mark.parametrize("announced", EXTENSIONS)
def test_nothing_passes_for_something_else(announced: str) -> None:
    archives = {ZIP, DOCX, XLSX, PPTX}
    for kind, content in GOOD.items():
        if kind != announced and not (announced == ZIP and kind in archives):
            assert fault_in(announced, content) is not None, kind
    for disguised in (
        SVG,
        HTML,
        EXE,
        b"#!/bin/sh\nrm -rf ~",
        b"\0",
        b"  \n\t<?xml version='1.0'?><svg/>",
        b"\xff\xfe<",
    ):
        assert fault_in(announced, disguised) is not None, disguised


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"\xef\xbb\xbf \n <HTML>", "It is a page or a program."),
        (b"<!-- x --><svg/>", "It is a page or a program."),
        (b"@echo off", "It is a page or a program."),
        (b"{\\rtf1", "It is a page or a program."),
        (b"a\0b", "It has control characters."),
        (b"\x1b[31m", "It has control characters."),
        (b"caf\xe9 au lait", "It is no text in UTF-8."),
        (b"caf\xc3", "It is no text in UTF-8."),
    ],
)
def test_text_is_text_and_begins_like_text(text: bytes, fault: str) -> None:
    assert fault_in(TEXT, text) == fault


def test_a_text_whose_sample_ends_within_a_character_is_text() -> None:
    assert fault_in(TEXT, b"x" * (HEAD_BYTES - 1) + "ü".encode()) is None
    assert fault_in(TEXT, b"x" * (HEAD_BYTES - 5) + b"\xff" + "ümehr".encode()) == "It is no text in UTF-8."


def test_an_archive_is_known_by_its_end_alone() -> None:
    large = a_zip(OFFICE, "word/document.xml", padding=3 * TAIL_BYTES)
    assert fault_in(DOCX, large) is None
    assert fault_in(DOCX, a_zip(OFFICE, "word/document.xml", "word/vbaProject.bin")) == "It has macros."
    assert fault_in(DOCX, a_zip("word/document.xml")) == f"It is not {DOCX}."
    assert fault_in(XLSX, large) == f"It is not {XLSX}."
    assert fault_in(ZIP, large[:-22]) == "It is no ZIP archive that can be opened."
    assert fault_in(ZIP, large[:5000] + zlib.compress(b"x")) == "It is no ZIP archive that can be opened."


def test_garbage_never_raises() -> None:
    import random

    chance = random.Random(7)
    for announced, content in GOOD.items():
        for _ in range(50):
            broken = bytearray(content)
            for _ in range(chance.randint(1, 8)):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            fault_in(announced, bytes(broken[: chance.randint(1, len(broken))]))
