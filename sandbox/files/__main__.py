"""Run the storage sandbox: `python -m sandbox.files --port P --data DIR [--prefix PATH]`.

The bucket and the account that it is opened with: S3_BUCKET, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY.
"""

import argparse
import os
from pathlib import Path

import uvicorn

from sandbox.files.app import Files
from sandbox.files.signing import Account


def main() -> None:
    """Serve on loopback until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.files", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="the directory that keeps the objects")
    parser.add_argument("--prefix", default="/sandbox/files", help="the path of the page; S3 is below it, at /s3")
    given = parser.parse_args()
    # A command line is read by everybody on the machine, the environment by its owner only.
    account = Account(os.environ.get("AWS_ACCESS_KEY_ID", ""), os.environ.get("AWS_SECRET_ACCESS_KEY", ""))
    uvicorn.run(
        Files(given.data, account, os.environ.get("S3_BUCKET", ""), given.prefix),
        host="127.0.0.1",
        port=given.port,
        access_log=False,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
