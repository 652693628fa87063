"""A form as browsers post it: its fields, and the one file in it."""

import re

from sandbox.files.answers import Refused

_NAME = re.compile(r'[; ]name="([^"]*)"')
_BOUNDARY = re.compile(r'multipart/form-data;.*boundary="?([^";]+)"?')


def read_form(content_type: str, body: bytes) -> tuple[dict[str, str], bytes]:
    """The fields by name, in lower case, and the file's bytes. What comes after the file is ignored, as S3 does.

    Raises Refused when it is no form, or has no file.
    """
    said = _BOUNDARY.fullmatch(content_type)
    if said is None:
        raise Refused(412, "PreconditionFailed", "Bucket POST must be of the enclosure-type multipart/form-data")
    fields: dict[str, str] = {}
    mark = b"\r\n--" + said[1].encode("latin-1")
    for part in (b"\r\n" + body).split(mark)[1:]:
        head, _, content = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        name = _NAME.search(head.decode("utf-8", "replace"))
        if name is None:
            break
        if name[1] == "file":
            return fields, content
        fields[name[1].lower()] = content.decode("utf-8", "replace")
    raise Refused(400, "InvalidArgument", "POST requires exactly one file upload per request.")
