"""Files that were uploaded, worked on by jobs.

A file is copied to where it stays before it is looked at: whoever still holds the form it came by can replace what
arrived, and never the copy. A storage that is away is waited for, and nobody's file is refused because of it.
"""

import asyncio
from functools import cache
from typing import TYPE_CHECKING, Final

import structlog

import settings
from models import uploads
from models.errors import Refused, Unreachable
from models.jobs import DeleteObjects, InspectUpload
from models.uploads import InspectionOutcome, UploadRow
from tasks.job import Claim, Reschedule, performs
from wire.presigning import Storage

if TYPE_CHECKING:
    from tasks.gateways.files import Files

AWAY_S: Final = 20.0
"""How long is waited for a storage that did not answer, or has no settings at the moment."""
REPLACED: Final = "It was replaced while it was looked at."
UNCHECKED: Final = "It could not be checked. Upload it once more."

log = structlog.get_logger(__name__)


async def _give_up(job: InspectUpload) -> InspectionOutcome:
    return await uploads.refuse(job.upload_id, UNCHECKED)


@performs(InspectUpload, when_dead=_give_up)
async def inspect_upload(job: InspectUpload, claim: Claim) -> InspectionOutcome | None:
    """Look at a file that was uploaded, once: keep it if it is what it said, else refuse it."""
    upload = await uploads.find_unchecked(job.upload_id)
    if upload is None:
        return await uploads.outcome(job.upload_id)
    try:
        kept_key, fault = await _look(await _files(), upload)
    except (Unreachable, Refused) as error:
        # Refused means our account and not the file: somebody has to look after it, and the file waits.
        log.warning("upload.storage_away", upload_id=job.upload_id, error=str(error))
        raise Reschedule(AWAY_S) from error
    if fault is None:
        await claim.complete(uploads.accept, job.upload_id, kept_key)
    else:
        log.info("upload.refused", upload_id=job.upload_id, content_type=upload.content_type, fault=fault)
        await claim.complete(uploads.refuse, job.upload_id, fault, *filter(None, [kept_key]))
    return None


@performs(DeleteObjects)
async def delete_objects(job: DeleteObjects, _: Claim) -> None:
    """Delete objects; those that are gone already are no matter."""
    try:
        files = await _files()
        for key in job.object_keys:
            await files.delete(key)
    except (Unreachable, Refused) as error:
        log.warning("upload.storage_away", error=str(error))
        raise Reschedule(AWAY_S) from error


async def _look(files: "Files", upload: UploadRow) -> tuple[str, str | None]:
    """Where the file's copy lies (empty: there is none), and why it is refused, if it is."""
    # Here, because the signatures take a moment to load and most workers never look at a file.
    from tasks import file_types  # noqa: PLC0415

    found = await files.find(upload.object_key)
    if found is None:
        return "", "It did not arrive."
    if found.size != upload.size_bytes:
        return "", f"It has {found.size} bytes, not {upload.size_bytes}."
    kept_key = upload.kept_key(found.etag)
    if not await files.copy(upload.object_key, found, kept_key, upload.content_type):
        return "", REPLACED
    head = await files.read(kept_key, 0, min(found.size, file_types.HEAD_BYTES))
    tail = await files.read(kept_key, max(0, found.size - file_types.TAIL_BYTES), found.size)
    return kept_key, await asyncio.to_thread(file_types.fault_in, upload.content_type, head, tail)


async def _files() -> "Files":
    storage = settings.load().files
    if not storage.is_there:
        raise Unreachable("This service has no storage for files.")
    return await asyncio.to_thread(_gateway, storage)


@cache
def _gateway(storage: Storage) -> "Files":
    # Here, because the SDK takes 30 MiB and most workers never touch a file.
    from tasks.gateways.files import Files  # noqa: PLC0415

    return Files(storage)
