"""Files, over HTTP: announced here, brought to the storage by a form and fetched from it by a link, both signed."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, Response, Router, delete, get, post
from litestar.datastructures import State
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import JSONBody
from litestar.status_codes import HTTP_200_OK

from api.auth import Asking, signed_in
from api.fields import Body, PathId
from api.idempotency import Once, seen_by
from api.jobs import JobOut
from api.waiting import answer
from models import uploads
from models.errors import EmailUnverified, StorageUnavailable
from models.file_kinds import EXTENSIONS, KINDS
from models.guard import commit
from models.uploads import Announcement, InspectionOutcome, UploadPurpose, UploadRow, UploadStatus
from wire.presigning import Storage, sign_form, sign_link

MOST_BYTES = max(kind.most_bytes for kind in KINDS.values())


class NewUpload(Body, frozen=True, kw_only=True):
    """A file that is about to come. What a purpose takes stands in the answer of a refusal (`upload_refused`)."""

    purpose: UploadPurpose
    filename: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]
    content_type: Annotated[str, msgspec.Meta(min_length=1, max_length=200, examples=list(EXTENSIONS)[:1])]
    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=MOST_BYTES)]


class FormOut(msgspec.Struct, frozen=True):
    """Post these fields to `url` as multipart/form-data, and then the file, as the last field, named `file`."""

    url: str
    fields: dict[str, str]


class UploadOut(msgspec.Struct, frozen=True, kw_only=True):
    """A file. `download_url` is good for five minutes; null until it was found to be what it said."""

    id: int
    user_id: int
    purpose: UploadPurpose
    filename: str
    content_type: str
    size_bytes: int
    status: UploadStatus
    refused_because: str | None
    created_at: datetime
    ready_at: datetime | None
    download_url: str | None


class AnnouncedOut(UploadOut, frozen=True, kw_only=True):
    """A file that is awaited: its form, good for ten minutes; null once it has come."""

    upload: FormOut | None
    expires_at: datetime | None


def _fields(upload: UploadRow, storage: Storage) -> dict[str, Any]:
    fields = msgspec.structs.asdict(upload)
    key, link = fields.pop("object_key"), None
    if upload.status is UploadStatus.READY and storage.is_there:
        now = datetime.now(UTC)
        link = sign_link(storage, key, content_type=upload.content_type, filename=upload.filename, now=now)
    return {**fields, "download_url": link}


def show(upload: UploadRow, storage: Storage) -> UploadOut:
    """The file as it is answered."""
    return UploadOut(**_fields(upload, storage))


def _announced(upload: UploadRow, storage: Storage) -> AnnouncedOut:
    fields = _fields(upload, storage)
    if upload.status is not UploadStatus.AWAITING:
        return AnnouncedOut(**fields, upload=None, expires_at=None)
    kind, size, now = upload.content_type, upload.size_bytes, datetime.now(UTC)
    form = sign_form(storage, upload.object_key, content_type=kind, size_bytes=size, now=now)
    return AnnouncedOut(**fields, upload=FormOut(form.url, form.fields), expires_at=form.expires_at)


def _storage(state: State) -> Storage:
    storage: Storage = state.settings.files
    if not storage.is_there:
        raise StorageUnavailable("This service has no storage for files.")
    return storage


@post("/")
async def announce_upload(data: JSONBody[NewUpload], caller: Asking, state: State, once: Once) -> AnnouncedOut:
    """Announce a file, and be told how to bring it to the storage, within ten minutes. Then call `complete`."""
    storage = _storage(state)
    if not caller.verified and data.purpose is not UploadPurpose.AVATAR:
        raise EmailUnverified("Follow the link in the verification mail first; until then you may upload an avatar.")
    made = await once(
        uploads.announce,
        msgspec.convert(data, Announcement, from_attributes=True),
        user_id=caller.id,
        prefix=state.settings.environment,
        again=seen_by(caller, uploads.read),
    )
    return _announced(made, storage)


@post(
    "/{upload_id:int}/complete",
    status_code=HTTP_200_OK,
    opt={"bodiless": True},
    responses={200: ResponseSpec(UploadOut), 202: ResponseSpec(JobOut)},
)
async def complete_upload(
    upload_id: PathId, request: Request[Any, Any, Any], caller: Asking, state: State, once: Once
) -> Response[Any]:
    """Say that a file has arrived, and wait while it is looked at: `ready`, or `refused` with the reason."""
    storage = _storage(state)

    async def done(result: Any) -> UploadOut:
        upload_id = msgspec.convert(result, InspectionOutcome).upload_id
        return show(await uploads.read(upload_id, user_id=caller.id, admin=False), storage)

    return await answer(request, await once.job(uploads.complete, upload_id, user_id=caller.id), done)


@get("/{upload_id:int}")
async def read_upload(upload_id: PathId, caller: Asking, state: State) -> UploadOut:
    """A file, for whoever it was shown to, with a link to fetch it by."""
    return show(await uploads.read(upload_id, user_id=caller.id, admin=caller.admin), state.settings.files)


@delete("/{upload_id:int}")
async def delete_upload(upload_id: PathId, caller: Asking) -> None:
    """Take a file of one's own back, as long as nothing shows it."""
    await commit(uploads.delete, upload_id, user_id=caller.id)


router = Router(
    "/api/uploads",
    route_handlers=[announce_upload, complete_upload, read_upload, delete_upload],
    tags=["uploads"],
    guards=[signed_in],
)
