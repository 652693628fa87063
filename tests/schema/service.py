"""Schemathesis against the running service: every check, each role, real ids, and the 2xx of each operation counted.

`./megilance test --schema` is the long run; the suite runs a short one. Servers, web process, workers and the stand-in
for Stripe are started for it and end with it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx

from sandbox.leash import leashed
from sandbox.ports import free_port
from tests.access.who_may import WHO_MAY, Who
from tests.conftest import SETTINGS
from tests.servers import start_servers
from tests.stripe_sandbox import StripeSandbox

ROOT: Final = Path(__file__).parents[2]
UNDOCUMENTED: Final = ("GET /metrics", "GET /api/unsubscribe")
"""A text for a program and a page for a person."""
ROLES: Final = (Who.ANONYMOUS, Who.CLIENT, Who.FREELANCER, Who.ADMIN)
LONG_EXAMPLES: Final = 50
READY_S: Final = 30.0
FIRST_USER: Final = 1_000_001
"""Made-up ids are small: an admin who suspends whomever a small one names must not meet the callers themselves."""

# Where a check of schemathesis is not our contract, the statuses it may see are named, with the reason.
CONFIG: Final = """
headers = {headers}

[checks.positive_data_acceptance]
# A rule of the business refuses what a schema cannot: a currency we do not take, a bid its stages do not add up to, a
# password on every attacker's list, a cursor of another list, a signature (422); a card the bank declines (402).
expected-statuses = ["2xx", "401", "402", "403", "404", "409", "422", "429"]

[checks.negative_data_rejection]
# Also: a path that is no id is no route (404); a wrong state is found before an optional field is looked at (409).
expected-statuses = ["400", "401", "402", "403", "404", "405", "406", "409", "413", "415", "422", "429"]
{operations}
"""


class Service:
    """Where it listens, the world in it, and the tokens of its people."""

    def __init__(self, base: str, requests: dict[str, Any], tokens: dict[Who, dict[str, str]]) -> None:
        self.base = base
        self.requests = requests
        self.tokens = tokens


class Outcome(NamedTuple):
    """Schemathesis' exit code, what it printed, how often each operation gave each status, and how long it took."""

    code: int
    said: str
    counts: Counter[tuple[str, int]]
    seconds: float


@contextlib.contextmanager
def running_service(directory: Path) -> Iterator[Service]:
    """The service with workers, seeded. Everything ends with the block; logs stay in the directory until then."""
    servers = start_servers()
    before = dict(os.environ)
    stripe = StripeSandbox()
    started: list[subprocess.Popen[bytes]] = []
    try:
        os.environ.update(
            SETTINGS,
            DATABASE_URL=servers.database_url,
            DATABASE_DIRECT_URL=servers.database_url,
            REDIS_URL=servers.redis_url,
            STRIPE_API_BASE=stripe.base,
            JOB_WAIT_SECONDS="2",
        )
        subprocess.run([sys.executable, "-m", "tasks.migrate"], cwd=ROOT, check=True, capture_output=True)
        requests, tokens = asyncio.run(_seed(servers.database_url, stripe))
        port = free_port()
        for name, command in (
            ("web", ("uvicorn", "--factory", "api.app:create_app", "--port", str(port), "--no-access-log")),
            ("worker", ("tasks.launch", "--queues", "interactive,notify,payments", "--processes", "1")),
        ):
            with (directory / f"{name}.log").open("wb") as log:
                process = leashed([sys.executable, "-m", *command], farewell=signal.SIGTERM)
                started.append(subprocess.Popen(process, cwd=ROOT, stdout=log, stderr=log))
        base = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(base, started[0])
        yield Service(base, requests, tokens)
    finally:
        for one in reversed(started):
            one.terminate()
            one.wait()
        stripe.stop()
        servers.stop()
        os.environ.clear()
        os.environ.update(before)


async def _seed(url: str, stripe: StripeSandbox) -> tuple[dict[str, Any], dict[Who, dict[str, str]]]:
    import piccolo_conf
    import settings
    from models import guard
    from tests.access.world import make_world
    from tests.schema.spares import (
        ENDS_ITS_CALLER,
        SPENDS_A_FACTOR,
        STARTS_A_CLOCK,
        asked_of,
        equipped_caller,
        idle_caller,
        spare_caller,
    )
    from wire.tokens import Tokens

    settings.load.cache_clear()
    piccolo_conf.DB.config = {"dsn": url}
    await guard.open_pool(max_size=4)
    try:
        await guard.rows(f"alter sequence users_id_seq restart with {FIRST_USER}")
        world = await make_world()
        freelancer = world.people[Who.FREELANCER]
        await guard.rows("update users set stripe_account_id = $2 where id = $1", freelancer.id, stripe.account())
        minor = await guard.value("select amount_minor from payments where intent_id = 'pi_world'")
        intent = stripe.post(
            "/v1/payment_intents",
            **{
                "amount": str(minor),
                "currency": "usd",
                "payment_method": "pm_card_visa",
                "confirm": "true",
                "transfer_group": f"milestone:{world.submitted}",
                "allowed_payment_method_types[0]": "card",
            },
        )
        assert intent.get("status") == "succeeded", intent
        await guard.rows(
            "update payments set intent_id = $1, charge_id = $2 where intent_id = 'pi_world'",
            intent["id"],
            intent["latest_charge"],
        )
        tokens = Tokens(settings.load().tokens.key)
        tokens.access_s = 3600
        issued: dict[Who, dict[str, str]] = {Who.ANONYMOUS: {}}
        for who in ROLES[1:]:
            person, begun = world.people[who], world.sessions[who]
            issued[who] = {"": tokens.issue_access(person.id, person.role, begun.session_id)}
            for route in ENDS_ITS_CALLER:
                issued[who][route] = await spare_caller(person.role, tokens)
        asked = {line.route: asked_of(line.route, world, tokens) for line in WHO_MAY}
        for route in SPENDS_A_FACTOR:
            asked[route], issued[Who.CLIENT][route] = await equipped_caller(route, world, tokens)
        asked[STARTS_A_CLOCK], issued[Who.FREELANCER][STARTS_A_CLOCK] = await idle_caller(tokens)
    finally:
        await guard.close_pool()
    fields = ("path", "query", "body", "headers")
    return {route: {name: getattr(one, name) for name in fields} for route, one in asked.items()}, issued


def _wait_until_it_answers(base: str, web: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline and web.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{base}/api/health/ready", trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise TimeoutError("the service does not answer")


def _config(tokens: dict[str, str]) -> str:
    """The configuration of one role's run: its token, and the tokens of operations that use theirs up."""
    headers = [f'{{ Authorization = "Bearer {token}" }}' for token in tokens.values()] or ["{}"]
    operations = [
        f'\n[[operations]]\ninclude-name = "{route}"\nheaders = {said}'
        for route, said in zip(list(tokens)[1:], headers[1:], strict=True)
    ]
    return CONFIG.format(headers=headers[0], operations="\n".join(operations))


def run_all(service: Service, directory: Path, *options: str) -> dict[Who, Outcome]:
    """Run every check as every role, two at a time.

    In processes, not in threads of one (`--workers`): of two threads that parse Python at once, CPython 3.11 fails one
    ("AST constructor recursion depth mismatch").
    """
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(ROLES, pool.map(lambda who: run_as(who, service, directory, *options), ROLES), strict=True))


def run_as(who: Who, service: Service, directory: Path, *options: str) -> Outcome:
    """Run every check as one role."""
    began = time.monotonic()
    config, requests, seen = (directory / f"{who}.{kind}" for kind in ("toml", "json", "seen"))
    config.write_text(_config(service.tokens[who]), encoding="utf-8")
    requests.write_text(json.dumps(service.requests), encoding="utf-8")
    seen.touch()
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", "--checks", "all"]
    command += ["--continue-on-failure", "--request-timeout", "20", *options, f"{service.base}/api/openapi.json"]
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.schema.hooks",
        "SCHEMA_REQUESTS": str(requests),
        "SCHEMA_SEEN": str(seen),
        "PYTHONPATH": str(ROOT),
        "NO_COLOR": "1",
    }
    done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    rows = [line.split("\t") for line in seen.read_text(encoding="utf-8").splitlines()]
    # Schemathesis may register, sign in and go on with that token: such an answer was not given to nobody.
    mine = [(label, int(status)) for label, signed, status in rows if who is not Who.ANONYMOUS or signed == "0"]
    return Outcome(done.returncode, done.stdout + done.stderr, Counter(mine), time.monotonic() - began)


def succeeded(counts: dict[Who, Counter[tuple[str, int]]]) -> dict[str, dict[Who, int]]:
    """The 2xx of every operation of the document, by role."""
    listed = [line.route for line in WHO_MAY if line.route not in UNDOCUMENTED]
    return {
        route: {
            who: sum(n for (label, status), n in found.items() if label == route and 200 <= status < 300)
            for who, found in counts.items()
        }
        for route in listed
    }


def table(found: dict[str, dict[Who, int]]) -> str:
    """Operations by roles, each with its number of 2xx."""
    lines = [f"{'2xx of each operation':48}" + "".join(f"{who:>12}" for who in ROLES)]
    lines += [f"{route:48}" + "".join(f"{by[who]:12,}" for who in ROLES) for route, by in found.items()]
    return "\n".join(lines)


def say(text: str) -> None:
    """Tell the person who waits, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """The long run. Returns 0 when no check failed and every operation was answered with a 2xx at least once."""
    parser = argparse.ArgumentParser(prog="./megilance test --schema")
    parser.add_argument("--max-examples", type=int, default=LONG_EXAMPLES)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="megilance-schema-") as made, running_service(Path(made)) as service:
        outcomes = run_all(service, Path(made), "--max-examples", str(asked.max_examples))
    for who, one in outcomes.items():
        say(f"{who}: exit {one.code}, {one.counts.total():,} answers, {one.seconds:.0f} s")
        if one.code != 0:
            say(one.said)
    failed = [who.value for who, one in outcomes.items() if one.code != 0]
    found = succeeded({who: one.counts for who, one in outcomes.items()})
    say(table(found))
    never = [route for route, by in found.items() if not any(by.values())]
    say(f"checks failed for: {failed or 'nobody'}; never a 2xx: {never or 'none'}")
    return 1 if failed or never else 0


if __name__ == "__main__":
    sys.exit(main())
