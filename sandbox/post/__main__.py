"""Run the mail sandbox: `python -m sandbox.post --port 12112 --data DIR [--prefix /sandbox/mail]`."""

import argparse
from pathlib import Path

import uvicorn

from sandbox.post.app import Post


def main() -> None:
    """Serve on loopback until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.post", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="the directory that keeps the messages")
    parser.add_argument("--prefix", default="/sandbox/mail", help="the path of the mailbox")
    given = parser.parse_args()
    uvicorn.run(
        Post(given.data, given.prefix),
        host="127.0.0.1",
        port=given.port,
        access_log=False,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
