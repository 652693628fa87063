"""Run the SMS sandbox: `python -m sandbox.sms --port P --data DIR [--prefix PATH]`; its token: TWILIO_AUTH_TOKEN."""

import argparse
import os
from pathlib import Path

import uvicorn

from sandbox.sms.app import Sms


def main() -> None:
    """Serve on loopback until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.sms", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="the directory that keeps the messages")
    parser.add_argument("--prefix", default="/sandbox/sms", help="the path of the page")
    given = parser.parse_args()
    uvicorn.run(
        # A command line is read by everybody on the machine, the environment by its owner only.
        Sms(given.data, given.prefix, os.environ.get("TWILIO_AUTH_TOKEN", "")),
        host="127.0.0.1",
        port=given.port,
        access_log=False,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=1,
    )


if __name__ == "__main__":
    main()
