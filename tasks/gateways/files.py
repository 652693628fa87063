"""Files in S3, or in what speaks its language. Knows keys and bytes, and not what a file is for.

Everything here may be repeated: to look changes nothing, to copy or delete twice is to do it once. No error of ours
repeats a provider's words to a person.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast

import boto3
import msgspec
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from models import guard
from models.errors import Refused, Unreachable
from wire.presigning import Storage

R = TypeVar("R")

CONNECT_S: Final = 3
READ_S: Final = 10
CALL_S: Final = 12
"""All of one call, with resolving the name and a drip-fed answer."""

IN_FLIGHT: Final = 8
"""Calls at once and process: as many as a worker of bulk jobs has threads."""

GONE: Final = frozenset({"404", "NoSuchKey", "PreconditionFailed", "412"})
"""There is no such object, or it is another one by now."""
LATER: Final = frozenset({"SlowDown", "Throttling", "RequestTimeout", "RequestTimeTooSkewed", "OperationAborted"})
"""Codes below 500 that mean "later"."""


class Found(msgspec.Struct, frozen=True):
    """An object that is there. `etag` tells it from one that takes its place."""

    size: int
    etag: str


class Files:
    """One bucket. Its calls run in threads of their own, never on the event loop."""

    def __init__(self, storage: Storage) -> None:
        self._bucket = storage.bucket
        self._threads = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="files")
        by_path = bool(storage.endpoint) or "." in storage.bucket
        # A session of its own, because boto3's default one may not be used by several threads at once.
        self._s3 = boto3.session.Session().client(
            "s3",
            region_name=storage.region,
            aws_access_key_id=storage.access_key_id,
            aws_secret_access_key=storage.secret_access_key,
            endpoint_url=storage.endpoint or None,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path" if by_path else "virtual"},
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                # Repeating is the queue's business: there it is counted, spaced, seen, and survives this process.
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=IN_FLIGHT,
                # A proxy of the environment is for the world, not for a store on this machine.
                proxies={} if storage.endpoint.startswith("http://") else None,
                ignore_configured_endpoint_urls=True,  # type: ignore[call-arg]  # the stubs lag behind
            ),
        )

    async def find(self, key: str) -> Found | None:
        """The object at this key, or None. Raises Unreachable, Refused."""

        def call() -> Found:
            answer = self._s3.head_object(Bucket=self._bucket, Key=key)
            return Found(size=int(answer["ContentLength"]), etag=str(answer["ETag"]))

        return await self._run(call)

    async def read(self, key: str, begin: int, end: int) -> bytes:
        """Bytes of an object that is there, from `begin` to `end`, exclusive. Raises Unreachable, Refused."""

        def call() -> bytes:
            asked = f"bytes={begin}-{end - 1}"
            answer = self._s3.get_object(Bucket=self._bucket, Key=key, Range=asked)
            with answer["Body"] as body:
                return bytes(body.read())

        content = await self._run(call)
        if content is None:
            raise Unreachable("The storage does not find what it had just now")
        return content

    async def copy(self, key: str, found: Found, target: str, content_type: str) -> bool:
        """Copy an object as it was found; False when it is gone, or another by now. Raises as `find`."""

        def call() -> bool:
            self._s3.copy_object(
                Bucket=self._bucket,
                Key=target,
                CopySource={"Bucket": self._bucket, "Key": key},
                CopySourceIfMatch=found.etag,
                ContentType=content_type,
                MetadataDirective="REPLACE",
            )
            return True

        return await self._run(call) or False

    async def delete(self, key: str) -> None:
        """Delete an object, if there is one. Raises as `find`."""
        await self._run(lambda: self._s3.delete_object(Bucket=self._bucket, Key=key))

    async def _run(self, call: Callable[[], R]) -> R | None:
        guard.outside_transaction()
        try:
            return await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(self._threads, call), CALL_S)
        except ClientError as error:
            said = _said(error)
            if said is None:
                return None
            raise said from error
        # A body that breaks off is an error of the layer below the SDK, which does not translate it.
        except (BotoCoreError, HTTPError, OSError, TimeoutError, KeyError, ValueError) as error:
            raise Unreachable(f"The storage did not answer: {type(error).__name__}") from error

    def close(self) -> None:
        """Drop the connections and the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._s3.close()


def _said(error: ClientError) -> Unreachable | Refused | None:
    """What an error of the storage means to us: later, no, or that the object is not there (None)."""
    answer = cast("dict[str, Any]", error.response)
    code = str(answer.get("Error", {}).get("Code", "unknown"))
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in GONE:
        return None
    if status >= 500 or status == 429 or code in LATER:
        return Unreachable(f"The storage answered {code}")
    return Refused(f"The storage answered {status}, {code}", code="storage_refused")
