"""`up`: start the databases, the stand-ins and the service, keep them running, and end them in order."""

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

from sandbox.desk.child import Child, Listener, python_module, say, shell_command
from sandbox.desk.databases import Databases, start_databases
from sandbox.desk.procfile import RELEASE, parse_counts, parse_procfile
from sandbox.desk.record import Part, Record, write_record
from sandbox.desk.surroundings import (
    FILES_PATH,
    ROOT,
    Places,
    desk_secrets,
    given_environment,
    service_environment,
)
from sandbox.leash import leashed
from sandbox.ports import LOOPBACK, free_port

READY_LIMIT_S = 90.0  # the first start compiles every module
DRAIN_LIMIT_S = 6.3  # DRAIN_SECONDS and a breath
STAND_IN_LIMIT_S = 1.0
WATCH_S = 0.2
LISTENING = ("web", "realtime")  # which of the Procfile's processes need $PORT
REALTIME_PATHS = ("/socket.io/", "/api/video/ws/")
MAIL_PATH = "/sandbox/mail"
SMS_PATH = "/sandbox/sms"


@dataclass
class Order:
    """What was asked for on the command line."""

    root: Path
    home: Path
    procfile: Path
    host: str
    port: int
    processes: str


class StartFailedError(Exception):
    """The desk cannot be brought up; the message says why and where to look."""


@dataclass
class Desk:
    """A desk while it runs."""

    order: Order
    databases: Databases
    places: Places
    environment: dict[str, str]
    children: list[Child] = field(default_factory=list)
    stand_ins: list[Child] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    ready: bool = False
    began: float = field(default_factory=time.monotonic)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    hurried: asyncio.Event = field(default_factory=asyncio.Event)

    # The record ---------------------------------------------------------------------------------------------------

    def urls(self) -> dict[str, str]:
        """The addresses a person or a program may want."""
        base = self.places.public_url
        urls = {
            "api": base, "docs": f"{base}/api/docs", "admin": f"{base}/admin/jobs", "socket.io": f"{base}/socket.io/",
            "database": self.places.database_url, "redis": self.places.redis_url,
        }  # fmt: skip
        if self.places.mail_port:
            urls |= {"mail": f"{base}{MAIL_PATH}", "mail_stand_in": f"http://{LOOPBACK}:{self.places.mail_port}"}
        if self.places.sms_port:
            urls |= {"sms": f"{base}{SMS_PATH}", "sms_stand_in": f"http://{LOOPBACK}:{self.places.sms_port}"}
        if self.places.files_port:
            urls |= {"files": f"{base}{FILES_PATH}", "files_stand_in": f"http://{LOOPBACK}:{self.places.files_port}"}
        if self.places.stripe_port:
            urls["stripe"] = f"http://{LOOPBACK}:{self.places.stripe_port}"
        return urls

    def note(self) -> None:
        """Bring desk.json up to date."""
        home = self.order.home
        parts: dict[str, Part] = {}
        for name, server in (("postgres", self.databases.postgres), ("redis", self.databases.redis)):
            if server:
                parts[name] = Part(pid=server.pid, port=None, log=str(server.log))
        for child in [*self.stand_ins, *self.children]:
            parts[child.name] = Part(pid=child.pid, port=child.port, log=str(child.log))
        record = Record(
            pid=os.getpid(), port=self.places.port, ready=self.ready, home=str(home), urls=self.urls(),
            processes=parts, environment=self.environment,
        )  # fmt: skip
        write_record(home, record)

    # Starting -----------------------------------------------------------------------------------------------------

    def add(self, name: str, command: list[str], environment: dict[str, str], port: int | None = None) -> Child:
        """Start a process and keep it running."""
        child = Child(name, command, environment, log=fresh_log(self.order.home, name), port=port)
        self.tasks.append(asyncio.create_task(child.run(self.order.root, self.note)))
        return child

    async def start(self) -> None:
        """Bring everything up, in the order of what needs what. Raises StartFailedError."""
        commands = parse_procfile(self.order.procfile)
        counts = parse_counts(self.order.processes, set(commands) - {RELEASE})
        self._start_stand_ins()
        if RELEASE in commands:
            await self._release(commands.pop(RELEASE))
        await self._wait_for_ports(self.stand_ins)
        ports: dict[str, list[int]] = {name: [] for name in LISTENING}
        answering = False
        # Whoever answers browsers comes first: on few cores the rest would make them wait for its imports.
        for name in sorted(commands, key=lambda name: name not in LISTENING):
            if name not in LISTENING and not answering:
                await self._answer(ports)
                answering = True
            for number in range(1, counts[name] + 1):
                port = free_port() if name in LISTENING else None
                environment = self.environment if port is None else {**self.environment, "PORT": str(port)}
                if port is not None:
                    ports[name].append(port)
                self.children.append(self.add(f"{name}.{number}", shell_command(commands[name]), environment, port))
        if not answering:
            await self._answer(ports)
        self.ready = True
        self.note()

    async def _answer(self, ports: dict[str, list[int]]) -> None:
        """Open the front door and wait until what is behind it is ready."""
        self.children.append(self.add("front_door", self._front_door(ports), self.environment, self.places.port))
        await self._wait_until_ready()
        say(f"Ready after {time.monotonic() - self.began:.1f} s: {self.places.public_url}")

    def _start_stand_ins(self) -> None:
        home, kept = self.order.home / "sandbox", self.environment
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # mails hold links that are as good as passwords
        if self.places.stripe_port:
            command = python_module(
                "sandbox.stripe", "--port", str(self.places.stripe_port), "--data", str(home / "stripe"),
                "--webhook-url", f"http://{LOOPBACK}:{self.places.port}/api/stripe/webhooks",
            )  # fmt: skip
            self.stand_ins.append(self.add("stripe", command, kept, self.places.stripe_port))
        if self.places.mail_port:
            data = str(home / "mail")
            command = python_module(
                "sandbox.post", "--port", str(self.places.mail_port), "--data", data, "--prefix", MAIL_PATH
            )
            self.stand_ins.append(self.add("mail", command, kept, self.places.mail_port))
        if self.places.sms_port:
            data = str(home / "sms")
            command = python_module(
                "sandbox.sms", "--port", str(self.places.sms_port), "--data", data, "--prefix", SMS_PATH
            )
            self.stand_ins.append(self.add("sms", command, kept, self.places.sms_port))
        if self.places.files_port:
            data = str(home / "files")
            command = python_module(
                "sandbox.files", "--port", str(self.places.files_port), "--data", data, "--prefix", FILES_PATH
            )
            self.stand_ins.append(self.add("files", command, kept, self.places.files_port))

    async def _release(self, command: str) -> None:
        """Run the release command to its end, before anything that counts on its migrations."""
        say(f"$ {command}")
        code = await run_to_end("release", shell_command(command), self.order, self.environment)
        if code != 0:
            raise StartFailedError(
                f"The release command failed (exit code {code}); nothing of the service was started."
            )

    def _front_door(self, ports: dict[str, list[int]]) -> list[str]:
        arguments = ["--host", self.order.host, "--port", str(self.places.port)]
        for path in REALTIME_PATHS:
            for port in ports["realtime"]:
                arguments += ["--route", f"{path}={LOOPBACK}:{port}"]
        if self.places.mail_port:
            arguments += ["--route", f"{MAIL_PATH}={LOOPBACK}:{self.places.mail_port}"]
        if self.places.sms_port:
            arguments += ["--route", f"{SMS_PATH}={LOOPBACK}:{self.places.sms_port}"]
        if self.places.files_port:
            arguments += ["--route", f"{FILES_PATH}={LOOPBACK}:{self.places.files_port}"]
        for port in ports["web"]:
            arguments += ["--default", f"{LOOPBACK}:{port}"]
        return python_module("sandbox.front_door", *arguments)

    async def _wait_for_ports(self, children: Iterable[Child]) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        for child in children:
            while not await _listens(child.port or 0):
                if time.monotonic() > deadline:
                    raise StartFailedError(f"{child.name} does not listen; its log: {child.log}")
                await asyncio.sleep(0.05)

    async def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_LIMIT_S
        answer = ""
        while time.monotonic() < deadline:
            status, answer = await _get(self.places.port, "/api/health/ready")
            if status == HTTPStatus.OK:
                return
            await asyncio.sleep(0.1)
        raise StartFailedError(
            f"The service was not ready after {READY_LIMIT_S:g} s; logs: {self.order.home / 'logs'}\n"
            f"Its last word: {answer or 'none'}"
        )

    # Running and ending -------------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Start the databases again when they end, as the processes themselves are, until the desk ends."""
        while not self.ended.is_set():
            revived = self.databases.revive()
            for name in revived:
                say(f"{name:<14}│ ended, and was started again")
            if revived:
                self.note()
            try:
                await asyncio.wait_for(self.ended.wait(), WATCH_S)
            except TimeoutError:
                continue

    async def end(self) -> None:
        """End everything: the service first, with time to drain, then what it stands on."""
        say("Ending …  (Ctrl-C again: at once)")
        await self._end_children(self.children, DRAIN_LIMIT_S)
        await self._end_children(self.stand_ins, STAND_IN_LIMIT_S)
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.databases.stop()

    async def _end_children(self, children: list[Child], limit_s: float) -> None:
        for child in children:
            child.terminate()
        deadline = time.monotonic() + limit_s
        # Polling: what ends the wait is any of two events and a clock, once, for a few seconds.
        while any(child.pid for child in children) and time.monotonic() < deadline:
            if self.hurried.is_set():
                break
            await asyncio.sleep(0.02)
        for child in children:
            if child.pid:
                say(f"{child.name:<14}│ did not end in time and was killed")
                child.kill()

    def interrupt(self) -> None:
        """Ctrl-C or SIGTERM: the first ends in order, a second at once."""
        if self.ended.is_set():
            self.hurried.set()
        self.ended.set()


async def make_accounts(desk: Desk) -> None:
    """Have the demo accounts made on a desk that has none yet; without stand-ins there is nobody to play them."""
    if desk.places.stripe_port is None or desk.places.mail_port is None or desk.order.procfile != ROOT / "Procfile":
        return
    if not (desk.order.home / "accounts.json").exists():
        environment = {**os.environ, "MEGILANCE_HOME": str(desk.order.home)}
        await run_to_end("accounts", python_module("sandbox.accounts"), desk.order, environment)


def fresh_log(home: Path, name: str) -> Path:
    """The log of this start; the one of the start before is kept beside it."""
    log = home / "logs" / f"{name}.log"
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(f"{log.name}.1"))
    return log


async def run_to_end(name: str, command: list[str], order: Order, environment: dict[str, str]) -> int:
    """Run a command, showing all it says; returns its exit code. Cancelled, it takes the command along."""
    process = await asyncio.create_subprocess_exec(
        *leashed(command, farewell=signal.SIGTERM), cwd=order.root, env=environment, start_new_session=True,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        await Listener(name, fresh_log(order.home, name), everything=True).listen(process.stdout)
        return await process.wait()
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(LOOPBACK, port)
    except OSError:
        return False
    writer.close()
    return True


async def _get(port: int, path: str) -> tuple[int, str]:
    """Status and body of an answer from this machine; status 0 when there is none."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
            writer.close()
            return int(head.split(b" ", 2)[1]), body.decode("utf-8", "replace")[:500]
    except (OSError, TimeoutError, IndexError, ValueError):
        return 0, ""


def refuse_taken_port(host: str, port: int) -> None:
    """Exit with one sentence when another program listens on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            sys.exit(f"Port {port} cannot be used ({error.strerror}). Choose another: ./megilance up --port {port + 1}")


def show_addresses(desk: Desk) -> None:
    """Print what a person may want to open, and as whom."""
    names = {
        "api": "API", "docs": "API's documentation", "admin": "Jobs, for admins", "socket.io": "Socket.IO",
        "mail": "Mail outbox", "sms": "Text messages", "files": "Stored files", "stripe": "Stripe's stand-in",
        "database": "PostgreSQL", "redis": "Redis",
    }  # fmt: skip
    urls = desk.urls()
    say("")
    for key, title in names.items():
        if key in urls:
            say(f"  {title:<20} {urls[key]}")
    accounts = desk.order.home / "accounts.json"
    if accounts.exists():
        say("\n  Accounts")
        for account in json.loads(accounts.read_text(encoding="utf-8")):
            say(f"  {account['role']:<20} {account['email']}  {account['password']}")
            if "otpauth" in account:
                say(f"  {'':<20} {account['otpauth']}")
    say(f"\n  Logs in {desk.order.home / 'logs'}; Ctrl-C ends everything.\n")


async def run_desk(order: Order) -> int:
    """Bring a desk up, keep it until a signal, end it. Returns the exit code."""
    given = given_environment(order.root)
    databases = start_databases(order.home, given)
    try:
        places = Places(
            port=order.port or free_port(),
            database_url=databases.database_url,
            redis_url=databases.redis_url,
            stripe_port=None if "STRIPE_SECRET_KEY" in given else free_port(),
            mail_port=None if "AWS_ACCESS_KEY_ID" in given else free_port(),
            sms_port=None if "TWILIO_ACCOUNT_SID" in given else free_port(),
            files_port=None if given.keys() & {"AWS_ACCESS_KEY_ID", "S3_BUCKET"} else free_port(),
            scale=order.processes,
        )
        environment = service_environment(given, desk_secrets(order.home), places)
        desk = Desk(order, databases, places, environment)
    except BaseException:
        databases.stop()
        raise
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, desk.interrupt)
    desk.note()
    watching = asyncio.create_task(desk.watch())
    starting = asyncio.create_task(desk.start())
    interrupted = asyncio.create_task(desk.ended.wait())
    code = 0
    try:
        await asyncio.wait((starting, interrupted), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            await make_accounts(desk)
            show_addresses(desk)
            await interrupted
    except StartFailedError as failure:
        say(str(failure))
        code = 1
    finally:
        starting.cancel()
        interrupted.cancel()
        desk.ended.set()
        await asyncio.gather(starting, interrupted, watching, return_exceptions=True)
        await desk.end()
    return code
