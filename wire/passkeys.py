"""Passkeys (WebAuthn level 2): what a browser is asked, and whether its answer is true. Pure; stores nothing.

Attestation is not asked for: it would say who made a key, which is none of our business.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
import webauthn
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AttestationConveyancePreference,
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

NAME: Final = "MegiLance"
TIMEOUT_MS: Final = 300_000
_HANDLE_BYTES: Final = 8
# What a hostile answer makes the parsers raise, besides their own refusals.
_UNREADABLE: Final = (
    WebAuthnException,
    InvalidSignature,
    UnsupportedAlgorithm,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class PasskeyRefused(Exception):
    """The browser's answer is not what was asked, or not signed by the key that it names; we do not say which."""


class Asked(msgspec.Struct, frozen=True):
    """What the browser is handed, and the challenge in it (base64url) that its answer will carry."""

    options: dict[str, Any]
    challenge: str


class Made(msgspec.Struct, frozen=True):
    """A new passkey; id and key in base64url."""

    credential_id: str
    public_key: str
    sign_count: int


class RelyingParty(msgspec.Struct, frozen=True):
    """Whom passkeys are made for: `id` is a host name, `origins` are the pages that may ask."""

    id: str
    origins: tuple[str, ...]

    @classmethod
    def of(cls, frontend_url: str, public_url: str, cors_origins: Iterable[str]) -> "RelyingParty":
        """The party of a service with these addresses: the web app's host where there is one, else its own."""
        addresses = [one for one in (frontend_url, *cors_origins, public_url) if one]
        host = urlsplit(frontend_url or public_url).hostname or ""
        return cls(host, tuple(dict.fromkeys(_origin(one) for one in addresses)))

    def ask_new(self, user_id: int, account: str, name: str, known: Sequence[str]) -> Asked:
        """Ask for a new passkey, made by none of the authenticators that hold a known one."""
        options = webauthn.generate_registration_options(
            rp_id=self.id,
            rp_name=NAME,
            user_id=user_id.to_bytes(_HANDLE_BYTES),
            user_name=account,
            user_display_name=name,
            timeout=TIMEOUT_MS,
            attestation=AttestationConveyancePreference.NONE,
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.DISCOURAGED,
                user_verification=UserVerificationRequirement.PREFERRED,
            ),
            exclude_credentials=_described(known),
        )
        return _asked(options)

    def ask_proof(self, known: Sequence[str]) -> Asked:
        """Ask for a signature by one of the known passkeys."""
        options = webauthn.generate_authentication_options(
            rp_id=self.id,
            timeout=TIMEOUT_MS,
            allow_credentials=_described(known),
            user_verification=UserVerificationRequirement.PREFERRED,
        )
        return _asked(options)

    def read_new(self, credential: dict[str, Any], challenge: str) -> Made:
        """The passkey that was made for this challenge. Raises PasskeyRefused."""
        try:
            found = webauthn.verify_registration_response(
                credential=credential,
                expected_challenge=_bytes(challenge),
                expected_rp_id=self.id,
                expected_origin=list(self.origins),
            )
        except _UNREADABLE as wrong:
            raise PasskeyRefused("not a passkey that was asked for") from wrong
        return Made(_text(found.credential_id), _text(found.credential_public_key), found.sign_count)

    def read_proof(self, credential: dict[str, Any], challenge: str, *, user_id: int, public_key: str) -> int:
        """The counter of a true signature of this challenge, by this user's key. Raises PasskeyRefused.

        Whether the counter went back is for the caller to see: it must be compared where it is stored.
        """
        try:
            handle = credential["response"].get("userHandle")
            found = webauthn.verify_authentication_response(
                credential=credential,
                expected_challenge=_bytes(challenge),
                expected_rp_id=self.id,
                expected_origin=list(self.origins),
                credential_public_key=_bytes(public_key),
                credential_current_sign_count=0,
            )
            of_another = bool(handle) and _bytes(handle) != user_id.to_bytes(_HANDLE_BYTES)
        except _UNREADABLE as wrong:
            raise PasskeyRefused("not a signature that was asked for") from wrong
        if of_another:
            raise PasskeyRefused("another user's")
        return found.new_sign_count


def challenge_of(credential: dict[str, Any]) -> str:
    """The challenge that an answer says it answers, before anything of it is believed. Raises PasskeyRefused."""
    try:
        said = msgspec.json.decode(_bytes(credential["response"]["clientDataJSON"]))
        return _text(_bytes(said["challenge"]))
    except _UNREADABLE as wrong:
        raise PasskeyRefused("not an answer of a browser") from wrong


def _asked(options: Any) -> Asked:
    return Asked(webauthn.helpers.options_to_json_dict(options), _text(options.challenge))


def _described(known: Sequence[str]) -> list[PublicKeyCredentialDescriptor]:
    return [PublicKeyCredentialDescriptor(id=_bytes(one)) for one in known]


def _origin(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _bytes(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")
