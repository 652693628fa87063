"""Security's work outside a request: codes by text message, and secrets sealed anew when the key has changed.

Refuses to write a number, a code or a secret anywhere: what is logged are ids and a provider's code.
"""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec
import structlog

import settings
from models import codes, guard, sealed
from models.errors import Refused
from models.jobs import ResealSecrets, SendCode
from models.sealed import Resealing, SealedPlace, SealedRow
from tasks.job import Claim, Reschedule, performs
from wire.sealing import SealBroken, Sealer
from wire.tokens import Tokens

if TYPE_CHECKING:
    from tasks.gateways.sms import Sms

CODE_TEXT: Final = "{} is your MegiLance code. It is good for {} minutes. Never tell anybody."
"""The code stands first: that is what a phone shows without being unlocked, and what its keyboard offers."""

MOST_SLICES: Final = 50
"""In one go, well within the time limit; the rest follows at once, from the bookmark."""
REST_S: Final = 1.0

log = structlog.get_logger(__name__)


@performs(SendCode)
async def send_code(job: SendCode, claim: Claim) -> None:
    """Send one code as a text message and record the id the provider gave it. One that was sent is not sent again.

    Between the provider's yes and our commit lies the one window for a duplicate: a crash there sends the message once
    more, with the same code.
    """
    sending = await guard.commit(codes.begin_sending_code, job.code_id)
    if sending is None:
        return
    told = settings.load()
    if not told.sms.account_sid:
        detail = "This service has no account for text messages."
        await claim.fail("channel_unavailable", detail, codes.mark_code_refused, job.code_id)
        return
    digits = Tokens(told.tokens.key, told.tokens.old_keys).code(sending.id, sending.created_at)
    sms = await asyncio.to_thread(_sms, told.sms)
    try:
        provider_id = await sms.send(sending.contact, CODE_TEXT.format(digits, codes.CODE_MINUTES))
    except Refused as no:
        log.warning("code.refused", code_id=job.code_id, error_code=no.code, detail=no.detail)
        await claim.fail(no.code, "The provider refused this text message.", codes.mark_code_refused, job.code_id)
        return
    await claim.complete(codes.mark_code_sent, job.code_id, provider_id)


@cache
def _sms(account: settings.Sms) -> "Sms":
    # Here, because the SDK takes 30 MiB and most workers never send a message.
    from tasks.gateways.sms import Sms  # noqa: PLC0415

    return Sms(account)


class Resealed(msgspec.Struct, frozen=True):
    """What resealing did. `unreadable`: sealed by no key we have; whoever needs such a one must make it anew."""

    resealed: int = 0
    unreadable: int = 0


@performs(ResealSecrets)
async def reseal_secrets(_: ResealSecrets, claim: Claim) -> Resealed:
    """Seal under the present key whatever an earlier one sealed; after that the earlier key can go from SECRET_KEYS.

    Goes through every place in slices and remembers how far it came. A second run finds nothing to do.
    """
    keys = settings.load().tokens
    if not keys.old_keys:
        return Resealed()
    sealer, places = Sealer(keys.key, keys.old_keys), list(SealedPlace)
    number, after, resealed, unreadable = claim.bookmark or (0, 0, 0, 0)
    for _slice in range(MOST_SLICES):
        rows = await sealed.list_sealed(places[number], after)
        anew, broken = await asyncio.to_thread(_reseal, sealer, rows)
        for row_id in broken:
            log.error("reseal.unreadable", place=places[number].name, row_id=row_id)
        resealed += await guard.commit(sealed.replace_seals, places[number], anew)
        unreadable += len(broken)
        number, after = (number, rows[-1].id) if len(rows) == sealed.SLICE else (number + 1, 0)
        if number == len(places):
            return Resealed(resealed, unreadable)
        await claim.progress(number / len(places), bookmark=[number, after, resealed, unreadable])
    raise Reschedule(REST_S)


def _reseal(sealer: Sealer, rows: Sequence[SealedRow]) -> tuple[list[Resealing], list[int]]:
    """New seals for the rows that need one, and the ids of those that no key opens."""
    anew, broken = [], []
    for row in rows:
        if sealer.is_current(row.sealed):
            continue
        try:
            anew.append(Resealing(id=row.id, sealed=row.sealed, anew=sealer.seal(sealer.unseal(row.sealed))))
        except SealBroken:
            broken.append(row.id)
    return anew, broken
