"""Secrets at rest: sealed with a key derived from SECRET_KEY, so a copy of the database alone opens nothing."""

from base64 import urlsafe_b64encode
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from wire.keys import derive


class SealBroken(Exception):
    """The text was not sealed by any key we know, or was changed since."""


class Sealer:
    """Seals short texts (a client secret, a TOTP seed). Earlier keys still unseal; only the present one seals."""

    def __init__(self, key: str, old_keys: Sequence[str] = ()) -> None:
        fernets = [Fernet(urlsafe_b64encode(derive(one, "sealing"))) for one in (key, *old_keys)]
        self._present = fernets[0]
        self._fernet = MultiFernet(fernets)

    def seal(self, text: str) -> str:
        """The text, encrypted and authenticated; two sealings of one text differ."""
        return self._fernet.encrypt(text.encode()).decode()

    def unseal(self, sealed: str) -> str:
        """The text that was sealed. Raises SealBroken."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except (InvalidToken, ValueError):
            raise SealBroken("sealed by no key of ours, or changed since") from None

    def is_current(self, sealed: str) -> bool:
        """Whether the present key sealed this text; False also for what no key of ours did."""
        try:
            self._present.decrypt(sealed)
        except (InvalidToken, ValueError):
            return False
        return True
