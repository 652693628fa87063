"""Run the sandbox: `python -m sandbox.stripe --port P --data DIR [--webhook-url URL]`; secrets from the environment."""

import argparse
import logging
import os
from pathlib import Path

import uvicorn

from sandbox.stripe.app import API_VERSION, Options, create_app
from sandbox.stripe.webhooks import Endpoint

SHUTDOWN_S = 1
"""Held answers do not keep the process: whoever waits for them sees the connection end."""


def read_options(arguments: list[str] | None = None) -> tuple[int, Options]:
    """The port and what the application needs, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.stripe", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="the directory that keeps the state")
    parser.add_argument("--webhook-url", help="where events are delivered; without it they are only kept")
    parser.add_argument("--webhook-secret", help="signs the platform's events; else STRIPE_WEBHOOK_SECRET")
    parser.add_argument(
        "--connect-webhook-secret", help="signs connected accounts' events; else STRIPE_CONNECT_WEBHOOK_SECRET"
    )
    parser.add_argument("--api-version", default=API_VERSION)
    given = parser.parse_args(arguments)
    # A command line is read by everybody on the machine, the environment by its owner only.
    secret = given.webhook_secret or os.environ.get("STRIPE_WEBHOOK_SECRET")
    connect_secret = given.connect_webhook_secret or os.environ.get("STRIPE_CONNECT_WEBHOOK_SECRET")
    webhook = None
    if given.webhook_url is not None:
        if not secret:
            parser.error("--webhook-url needs a secret to sign with")
        webhook = Endpoint(given.webhook_url, secret, connect_secret)
    return given.port, Options(given.data, webhook, given.api_version)


def main() -> None:
    """Serve on loopback until told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    port, options = read_options()
    uvicorn.run(
        create_app(options),
        host="127.0.0.1",
        port=port,
        access_log=False,
        log_level="warning",
        ws="none",
        timeout_graceful_shutdown=SHUTDOWN_S,
    )


if __name__ == "__main__":
    main()
