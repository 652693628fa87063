"""Addresses by which a browser reaches a private bucket by itself: one form to bring a file, one link to fetch it.

AWS Signature Version 4, of the standard library alone: the API signs, and the SDK stays with the workers. A key of the
account never leaves; what leaves is good for one object, for minutes. Refuses nothing: the storage holds who comes to
every word of what was signed.
"""

import hmac
import json
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final
from urllib.parse import quote, urlsplit

import msgspec

FORM_S: Final = 600
"""How long a file may begin to arrive: a person who chose it has pressed the button."""
LINK_S: Final = 300
"""How long a link can be followed: it is asked for when somebody clicks."""

INLINE: Final = frozenset({"image/png", "image/jpeg", "image/webp", "image/gif", "video/mp4"})
"""What a browser may show by itself. All else is saved; SVG would run scripts, and PDF readers do what they like."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_PLAIN: Final = re.compile(r"[^A-Za-z0-9 ._()-]")


class Storage(msgspec.Struct, frozen=True):
    """A bucket and who may sign for it. An empty `bucket`: there is none. An empty `endpoint`: AWS itself.

    The SDK of the workers and the browsers of people use the same address.
    """

    bucket: str
    region: str
    access_key_id: str
    secret_access_key: str
    endpoint: str

    @property
    def is_there(self) -> bool:
        """Whether files can be stored at all."""
        return bool(self.bucket)

    @property
    def base(self) -> str:
        """The bucket's own address. By path where the endpoint is no AWS, or the name has dots, which TLS refuses."""
        if self.endpoint:
            return f"{self.endpoint}/{self.bucket}"
        if "." in self.bucket:
            return f"https://s3.{self.region}.amazonaws.com/{self.bucket}"
        return f"https://{self.bucket}.s3.{self.region}.amazonaws.com"


class Form(msgspec.Struct, frozen=True):
    """What a browser posts as multipart/form-data: these fields, in any order, and then the field `file`."""

    url: str
    fields: dict[str, str]
    expires_at: datetime


def sign_form(storage: Storage, key: str, *, content_type: str, size_bytes: int, now: datetime) -> Form:
    """A form by which exactly this object may be stored within FORM_S: this key, this type, so many bytes.

    Source: Amazon S3 API Reference, "POST Object", "Creating a POST policy".
    """
    expires_at = now + timedelta(seconds=FORM_S)
    fields = {
        "Content-Type": content_type,
        "key": key,
        "x-amz-algorithm": _ALGORITHM,
        "x-amz-credential": f"{storage.access_key_id}/{_scope(storage, now)}",
        "x-amz-date": now.strftime(_STAMP),
    }
    conditions = [
        {"Content-Type": content_type},
        ["content-length-range", size_bytes, size_bytes],
        {"bucket": storage.bucket},
        {"key": key},
        *({name: fields[name]} for name in ("x-amz-algorithm", "x-amz-credential", "x-amz-date")),
    ]
    policy = {"expiration": expires_at.strftime("%Y-%m-%dT%H:%M:%SZ"), "conditions": conditions}
    fields["policy"] = b64encode(json.dumps(policy).encode()).decode()
    fields["x-amz-signature"] = _signature(storage, fields["policy"], now)
    url = storage.base
    return Form(url if urlsplit(url).path else f"{url}/", fields, expires_at)


def sign_link(storage: Storage, key: str, *, content_type: str, filename: str, now: datetime) -> str:
    """A link by which this object can be fetched within LINK_S, as the type it was found to be.

    Source: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".
    """
    asked = {
        "response-content-disposition": disposition(content_type, filename),
        "response-content-type": content_type,
    }
    proof = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{storage.access_key_id}/{_scope(storage, now)}",
        "X-Amz-Date": now.strftime(_STAMP),
        "X-Amz-Expires": str(LINK_S),
        "X-Amz-SignedHeaders": "host",
    }
    url = urlsplit(f"{storage.base}/{quote(key, safe='/~')}")
    canonical = "\n".join(
        ("GET", url.path, _query(dict(sorted({**asked, **proof}.items()))), f"host:{url.netloc}\n", "host")
    )
    hashed = sha256(f"{canonical}\nUNSIGNED-PAYLOAD".encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{proof['X-Amz-Date']}\n{_scope(storage, now)}\n{hashed}"
    signature = _signature(storage, to_sign, now)
    return f"{url.geturl()}?{_query(asked)}&{_query(proof)}&X-Amz-Signature={signature}"


def disposition(content_type: str, filename: str) -> str:
    """How a browser takes a file: shown by itself when that is harmless, else saved, under its name (RFC 6266)."""
    kind = "inline" if content_type in INLINE else "attachment"
    return f"{kind}; filename=\"{_PLAIN.sub('_', filename)}\"; filename*=UTF-8''{quote(filename, safe='')}"


def _query(parameters: Mapping[str, str]) -> str:
    return "&".join(f"{quote(name, safe='-._~')}={quote(held, safe='-._~')}" for name, held in parameters.items())


def _scope(storage: Storage, now: datetime) -> str:
    return f"{now:%Y%m%d}/{storage.region}/s3/aws4_request"


def _signature(storage: Storage, to_sign: str, now: datetime) -> str:
    key = f"AWS4{storage.secret_access_key}".encode()
    for part in (f"{now:%Y%m%d}", storage.region, "s3", "aws4_request", to_sign):
        key = hmac.new(key, part.encode(), sha256).digest()
    return key.hex()
