"""A small authenticator in software: it makes passkeys, signs with them, and its counter can be set wrong on purpose."""

import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

ORIGIN = "http://localhost:3000"
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def text(raw: bytes) -> str:
    """Base64url, as browsers write it."""
    return urlsafe_b64encode(raw).decode().rstrip("=")


def raw(encoded: str) -> bytes:
    """What base64url stands for."""
    return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))


class Authenticator:
    """One passkey of ES256. `counter` is what its next signature says; None: it has no counter, and says 0."""

    def __init__(self, *, origin: str = ORIGIN, rp_id: str = "localhost", counter: int | None = 1) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)
        self.origin, self.rp_id, self.counter = origin, rp_id, counter
        self.handle = b""

    def create(self, options: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
        """What navigator.credentials.create() answers, with "none" attestation."""
        self.handle = raw(options["user"]["id"])
        public = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: public.x.to_bytes(32), -3: public.y.to_bytes(32)}
        attested = bytes(16) + len(self.id).to_bytes(2) + self.id + cbor2.dumps(cose)
        said = self._data(PRESENT | VERIFIED | ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": said})
        client = self._client("webauthn.create", options["challenge"], **changed)
        return self._credential({"clientDataJSON": text(client), "attestationObject": text(attestation)})

    def get(self, options: Mapping[str, Any], *, flags: int = PRESENT | VERIFIED, **changed: Any) -> dict[str, Any]:
        """What navigator.credentials.get() answers."""
        client, said = self._client("webauthn.get", options["challenge"], **changed), self._data(flags)
        signature = self.key.sign(said + sha256(client).digest(), ec.ECDSA(SHA256()))
        return self._credential(
            {
                "clientDataJSON": text(client),
                "authenticatorData": text(said),
                "signature": text(signature),
                "userHandle": text(self.handle),
            }
        )

    def _data(self, flags: int) -> bytes:
        count, self.counter = self.counter, None if self.counter is None else self.counter + 1
        return sha256(self.rp_id.encode()).digest() + bytes([flags]) + (count or 0).to_bytes(4)

    def _client(self, kind: str, asked: str, **changed: Any) -> bytes:
        said = {"type": kind, "challenge": asked, "origin": self.origin, "crossOrigin": False, **changed}
        return json.dumps(said).encode()

    def _credential(self, response: dict[str, Any]) -> dict[str, Any]:
        return {
            "id": text(self.id),
            "rawId": text(self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {},
            "response": response,
        }
