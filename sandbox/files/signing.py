"""Who may do this: AWS Signature Version 4, checked in its three forms, header, query and posted policy.

Written from Amazon's own description and not from our signer: what signs wrongly is to be found out here.
"""

import binascii
import hmac
import json
import re
from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl, quote

from sandbox.files.answers import Refused

ALGORITHM = "AWS4-HMAC-SHA256"
STAMP = "%Y%m%dT%H%M%SZ"
SKEW = timedelta(minutes=15)
LONGEST_S = 604_800
_AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})")
_CREDENTIAL = re.compile(r"([^/]+)/(\d{8})/([a-z0-9-]+)/s3/aws4_request")


@dataclass(frozen=True)
class Account:
    """Whose signatures are taken."""

    access_key_id: str
    secret: str


@dataclass(frozen=True)
class Asked:
    """What is signed of a request: its method, path and query as they were sent, its headers."""

    method: str
    raw_path: str
    query: str
    headers: dict[str, str]
    body: bytes

    @property
    def parameters(self) -> dict[str, str]:
        """The query's parameters."""
        return dict(parse_qsl(self.query, keep_blank_values=True))


def check(account: Account, asked: Asked, now: datetime) -> None:
    """See that a request is signed by the account, in its query or its header. Raises Refused."""
    if "X-Amz-Signature" in asked.parameters:
        _check_query(account, asked, now)
    elif "authorization" in asked.headers:
        _check_header(account, asked, now)
    else:
        raise Refused(403, "AccessDenied", "Access Denied")


def _check_query(account: Account, asked: Asked, now: datetime) -> None:
    told = asked.parameters
    signed_at = _moment(told.get("X-Amz-Date", ""))
    lasts = told.get("X-Amz-Expires", "")
    if told.get("X-Amz-Algorithm") != ALGORITHM or not lasts.isdecimal() or not 0 < int(lasts) <= LONGEST_S:
        raise Refused(400, "AuthorizationQueryParametersError", "X-Amz-Algorithm or X-Amz-Expires is wrong")
    if now > signed_at + timedelta(seconds=int(lasts)):
        raise Refused(403, "AccessDenied", "Request has expired")
    names = told.get("X-Amz-SignedHeaders", "").split(";")
    unsigned = [
        (name, held) for name, held in parse_qsl(asked.query, keep_blank_values=True) if name != "X-Amz-Signature"
    ]
    canonical = _canonical(asked, unsigned, names, "UNSIGNED-PAYLOAD")
    _compare(account, told.get("X-Amz-Credential", ""), signed_at, canonical, told["X-Amz-Signature"])


def _check_header(account: Account, asked: Asked, now: datetime) -> None:
    said = _AUTHORIZATION.fullmatch(asked.headers["authorization"])
    if said is None:
        raise Refused(400, "AuthorizationHeaderMalformed", "The authorization header is malformed")
    signed_at = _moment(asked.headers.get("x-amz-date", ""))
    if abs(now - signed_at) > SKEW:
        raise Refused(403, "RequestTimeTooSkewed", "The difference between the request time and ours is too large.")
    hashed = asked.headers.get("x-amz-content-sha256", "")
    if hashed not in {"UNSIGNED-PAYLOAD", sha256(asked.body).hexdigest()}:
        raise Refused(400, "XAmzContentSHA256Mismatch", "The provided hash does not match what was computed.")
    parameters = parse_qsl(asked.query, keep_blank_values=True)
    canonical = _canonical(asked, parameters, said[2].split(";"), hashed)
    _compare(account, said[1], signed_at, canonical, said[3])


def check_policy(account: Account, form: dict[str, str], size: int, now: datetime) -> None:
    """See that a posted form is what its policy says, and that the account signed that. Raises Refused."""
    missing = [one for one in ("policy", "x-amz-signature", "x-amz-credential", "x-amz-date") if one not in form]
    if missing:
        raise Refused(403, "AccessDenied", f"Bucket POST must contain a field named '{missing[0]}'.")
    _compare(
        account, form["x-amz-credential"], _moment(form["x-amz-date"]), form["policy"], form["x-amz-signature"],
        as_it_is=True,
    )  # fmt: skip
    try:
        policy = json.loads(b64decode(form["policy"], validate=True))
        expires_at = datetime.fromisoformat(policy["expiration"])
        conditions = list(policy["conditions"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise Refused(400, "InvalidPolicyDocument", "Invalid Policy: Invalid JSON.") from None
    if now > expires_at:
        raise Refused(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
    left = set(form) - {"policy", "x-amz-signature"}
    for condition in conditions:
        left.discard(_hold(condition, form, size))
    if left:
        raise Refused(
            403, "AccessDenied", f"Invalid according to Policy: Extra input fields: {', '.join(sorted(left))}"
        )


def _hold(condition: Any, form: dict[str, str], size: int) -> str:
    """See that one condition holds; returns the field that it is about."""
    if isinstance(condition, dict):
        ((name, wanted),) = condition.items()
        condition = ["eq", f"${name}", wanted]
    kind, what, wanted = condition
    if kind == "content-length-range":
        if size < what:
            raise Refused(
                400, "EntityTooSmall", "Your proposed upload is smaller than the minimum allowed object size."
            )
        if size > wanted:
            raise Refused(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.")
        return ""
    name = str(what).removeprefix("$").lower()
    held = form.get(name, "")
    if not (held == wanted if kind == "eq" else kind == "starts-with" and held.startswith(wanted)):
        failed = json.dumps([kind, what, wanted])
        raise Refused(403, "AccessDenied", f"Invalid according to Policy: Policy Condition failed: {failed}")
    return name


def _moment(stamp: str) -> datetime:
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        raise Refused(403, "AccessDenied", "The date of the signature is missing or malformed.") from None


def _canonical(asked: Asked, parameters: list[tuple[str, str]], names: list[str], hashed: str) -> str:
    query = "&".join(f"{quote(name, safe='-._~')}={quote(held, safe='-._~')}" for name, held in sorted(parameters))
    headers = "".join(f"{name}:{' '.join(asked.headers.get(name, '').split())}\n" for name in names)
    return "\n".join((asked.method, asked.raw_path, query, headers, ";".join(names), hashed))


def _compare(
    account: Account, credential: str, signed_at: datetime, canonical: str, given: str, *, as_it_is: bool = False
) -> None:
    said = _CREDENTIAL.fullmatch(credential)
    if said is None:
        raise Refused(400, "AuthorizationHeaderMalformed", "The credential is malformed.")
    if "sandbox" not in said[1]:
        raise Refused(403, "AccessDenied", "This is a stand-in, and that may be a live account: it is not taken here.")
    if said[1] != account.access_key_id:
        raise Refused(403, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.")
    scope = credential.partition("/")[2]
    to_sign = canonical
    if not as_it_is:
        hashed = sha256(canonical.encode()).hexdigest()
        to_sign = "\n".join((ALGORITHM, signed_at.strftime(STAMP), scope, hashed))
    key = f"AWS4{account.secret}".encode()
    for part in (*scope.split("/"), to_sign):
        key = hmac.new(key, part.encode(), sha256).digest()
    if said[2] != f"{signed_at:%Y%m%d}" or not hmac.compare_digest(key.hex(), given):
        raise Refused(
            403, "SignatureDoesNotMatch", "The request signature we calculated does not match the one you provided."
        )
