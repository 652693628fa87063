"""The desk as a process: brought up from a small Procfile, disturbed, and ended; nothing may survive it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import settings
from sandbox.desk.child import ALARMING
from sandbox.desk.procfile import ProcfileError, parse_counts, parse_procfile
from sandbox.desk.surroundings import Places, given_environment, read_dotenv, service_environment
from sandbox.ports import free_port
from wire.presigning import Storage, sign_form, sign_link

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.enable_socket

WEB = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = (os.environ["NAME"] + " " + str(os.getpid())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

print("WARNING: up", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


class Desk:
    """A desk under test, with its own home and port."""

    def __init__(self, directory: Path, procfile: str, *arguments: str, **environment: str) -> None:
        self.home = directory / "home of a desk"
        self.port = free_port()
        (directory / "web.py").write_text(WEB)
        (directory / "Procfile").write_text(procfile.replace("WEB", f"{sys.executable} '{directory}/web.py'"))
        # Keys in the environment: so no stand-ins, which have tests of their own.
        surroundings = {**os.environ, "MEGILANCE_HOME": str(self.home), "STRIPE_SECRET_KEY": "sk_test_1",
                        "AWS_ACCESS_KEY_ID": "key", "TWILIO_ACCOUNT_SID": "AC1", **environment}  # fmt: skip
        command = [sys.executable, "-m", "sandbox.desk", "up", "--port", str(self.port),
                   "--procfile", str(directory / "Procfile"), *arguments]  # fmt: skip
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=surroundings, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    def record(self) -> dict[str, Any]:
        with contextlib.suppress(FileNotFoundError):
            record: dict[str, Any] = json.loads((self.home / "desk.json").read_text())
            return record
        return {}

    def wait_for(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            record = self.record()
            if record and condition(record):
                return record
            assert self.process.poll() is None, self.process.stdout.read() if self.process.stdout else ""
            time.sleep(0.02)
        raise AssertionError(f"never came to be: {self.record()}")

    def wait_until_ready(self) -> dict[str, Any]:
        return self.wait_for(lambda record: bool(record["ready"]))

    def ask(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
            return text

    def end(self, number: signal.Signals = signal.SIGTERM) -> str:
        self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=12)
        return output


@pytest.fixture
def bring_up(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def bring(procfile: str, *arguments: str, **environment: str) -> Desk:
        desks.append(Desk(tmp_path, procfile, *arguments, **environment))
        return desks[-1]

    yield bring
    for desk in desks:
        if desk.process.poll() is None:
            desk.process.kill()
        desk.process.communicate()


BringUp = Callable[..., Desk]
PLAIN = "web: env NAME=web WEB\nrealtime: env NAME=realtime WEB\n"


def pids(record: dict[str, Any]) -> set[int]:
    return {part["pid"] for part in record["processes"].values()}


def living(wanted: set[int]) -> set[int]:
    """Which of the processes still run; a zombie, which only waits to be noticed, does not."""
    listing = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return {int(pid) for pid, state in rows if not state.startswith("Z")} & wanted


def test_up_serves_scales_writes_logs_and_leaves_nothing(bring_up: BringUp) -> None:
    desk = bring_up(f"release: echo released $DATABASE_URL\n{PLAIN}worker: sleep 99", "--processes", "web=2")
    record = desk.wait_until_ready()
    assert (desk.home / "desk.json").stat().st_mode & 0o777 == 0o600
    assert set(record["processes"]) == {
        "postgres", "redis", "web.1", "web.2", "realtime.1", "worker.1", "front_door",
    }  # fmt: skip
    assert {desk.ask("/api/x") for _ in range(30)} == {f"web {record['processes'][f'web.{n}']['pid']}" for n in (1, 2)}
    assert desk.ask("/socket.io/?EIO=4").startswith("realtime")
    began = time.monotonic()
    output = desk.end(signal.SIGINT)
    assert desk.process.returncode == 0, output
    assert time.monotonic() - began < 5
    assert living(pids(record)) == set()
    assert not (desk.home / "desk.json").exists()
    assert f"http://localhost:{desk.port}/api/docs" in output
    assert f"released {record['urls']['database']}" in output
    assert "web.1         │ WARNING: up" in output
    assert (desk.home / "logs" / "realtime.1.log").read_text() == "WARNING: up\n"


def test_without_an_account_for_text_messages_a_stand_in_takes_them_behind_the_front_door(bring_up: BringUp) -> None:
    desk = bring_up(PLAIN, TWILIO_ACCOUNT_SID="")
    record = desk.wait_until_ready()
    told = record["environment"]
    assert set(record["processes"]) == {"postgres", "redis", "sms", "web.1", "realtime.1", "front_door"}
    assert told["TWILIO_API_BASE"] == record["urls"]["sms_stand_in"]
    assert (told["TWILIO_ACCOUNT_SID"][:9], len(told["TWILIO_ACCOUNT_SID"])) == ("ACsandbox", 34)
    assert "No message yet" in desk.ask("/sandbox/sms")
    account = f"{told['TWILIO_API_BASE']}/2010-04-01/Accounts/{told['TWILIO_ACCOUNT_SID']}/Messages.json"
    form = {"To": "+4915112345678", "From": told["TWILIO_FROM_NUMBER"], "Body": "123456"}
    auth = (told["TWILIO_ACCOUNT_SID"], told["TWILIO_AUTH_TOKEN"])
    assert httpx.post(account, data=form, auth=auth, trust_env=False).status_code == 201
    assert httpx.post(account, data=form, auth=(auth[0], "guessed"), trust_env=False).status_code == 401
    assert "+4915112345678" in desk.ask("/sandbox/sms")
    with pytest.raises(settings.SettingsError, match="TWILIO_ACCOUNT_SID") as refusal:
        settings.parse(told | {"ENVIRONMENT": "production"})
    assert {name for name in ("TWILIO_AUTH_TOKEN", "TWILIO_API_BASE") if name in str(refusal.value)} == {
        "TWILIO_AUTH_TOKEN", "TWILIO_API_BASE",
    }  # fmt: skip
    assert f"http://localhost:{desk.port}/sandbox/sms" in desk.end()


def test_without_an_account_at_aws_files_are_stored_behind_the_front_door(bring_up: BringUp) -> None:
    desk = bring_up(PLAIN, AWS_ACCESS_KEY_ID="")
    record = desk.wait_until_ready()
    told = record["environment"]
    assert set(record["processes"]) == {"postgres", "redis", "mail", "files", "web.1", "realtime.1", "front_door"}
    assert told["S3_API_BASE"] == f"http://localhost:{desk.port}/sandbox/files/s3"
    assert "No file yet" in desk.ask("/sandbox/files")
    account = (told["AWS_ACCESS_KEY_ID"], told["AWS_SECRET_ACCESS_KEY"], told["S3_API_BASE"])
    storage = Storage(told["S3_BUCKET"], told["AWS_REGION"], *account)
    now, content = datetime.now(UTC), bytes(3_000_000)
    form = sign_form(storage, "k/x", content_type="application/zip", size_bytes=len(content), now=now)
    brought = httpx.post(form.url, data=form.fields, files={"file": ("x", content)}, trust_env=False)
    assert brought.status_code == 204
    link = sign_link(storage, "k/x", content_type="application/zip", filename="x.zip", now=now)
    assert httpx.get(link, trust_env=False).content == content
    assert "3,000,000" in desk.ask("/sandbox/files")
    with pytest.raises(settings.SettingsError, match="S3_API_BASE") as refusal:
        settings.parse(told | {"ENVIRONMENT": "production"})
    assert "S3_BUCKET" in str(refusal.value)
    assert f"http://localhost:{desk.port}/sandbox/files" in desk.end()


def test_what_is_killed_is_started_again_and_the_record_follows(bring_up: BringUp) -> None:
    desk = bring_up(PLAIN)
    before = desk.wait_until_ready()
    killed = ("web.1", "redis", "postgres")
    for name in killed:
        os.kill(before["processes"][name]["pid"], signal.SIGKILL)

    def all_are_new(record: dict[str, Any]) -> bool:
        now = record["processes"]
        return all(now[name]["pid"] not in (None, before["processes"][name]["pid"]) for name in killed)

    after = desk.wait_for(all_are_new)
    assert after["urls"] == before["urls"]
    output = desk.end()
    assert "web.1         │ ended (killed by SIGKILL), starting it again" in output
    assert living(pids(before) | pids(after)) == set()


def test_process_that_ignores_sigterm_is_killed_with_its_children_and_a_second_ctrl_c_hurries(
    bring_up: BringUp, tmp_path: Path
) -> None:
    stubborn = tmp_path / "stubborn.sh"
    stubborn.write_text(f"trap '' TERM\nsleep 99 & echo $! > '{tmp_path}/child'\nwhile :; do sleep 0.1; done\n")
    desk = bring_up(f"{PLAIN}worker: sh '{stubborn}'")
    desk.wait_until_ready()
    record = desk.wait_for(lambda _: (tmp_path / "child").exists() and (tmp_path / "child").read_text() != "")
    child = int((tmp_path / "child").read_text())
    desk.process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    began = time.monotonic()
    output = desk.end(signal.SIGINT)
    assert time.monotonic() - began < 3
    assert "worker.1      │ did not end in time and was killed" in output
    assert living(pids(record) | {child}) == set()


def test_failed_release_starts_nothing(bring_up: BringUp) -> None:
    desk = bring_up(f"release: sh -c 'echo no such column; exit 3'\n{PLAIN}")
    output, _ = desk.process.communicate(timeout=15)
    assert desk.process.returncode == 1
    assert "release       │ no such column" in output
    assert "exit code 3" in output
    assert not (desk.home / "logs" / "web.1.log").exists()


def test_taken_port_second_desk_and_production_are_one_sentence_each(bring_up: BringUp, tmp_path: Path) -> None:
    desk = bring_up(PLAIN)
    desk.wait_until_ready()
    common = [sys.executable, "-m", "sandbox.desk", "up", "--procfile", str(tmp_path / "Procfile"), "--port"]
    cases = [
        ({"MEGILANCE_HOME": str(tmp_path / "other")}, desk.port, f"Port {desk.port} cannot be used"),
        ({"MEGILANCE_HOME": str(desk.home)}, 0, "A desk is already running"),
        ({"MEGILANCE_HOME": str(tmp_path / "third"), "ENVIRONMENT": "production"}, 0, "a desk is for development"),
    ]
    for environment, port, sentence in cases:
        done = subprocess.run([*common, str(port)], cwd=ROOT, env={**os.environ, **environment}, text=True,
                              capture_output=True, check=False)  # fmt: skip
        assert done.returncode == 1
        assert sentence in done.stderr
        assert done.stderr.count("\n") == 1
    assert desk.ask("/").startswith("web")


def test_procfile_is_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "Procfile"
    path.write_text("# comment\n\nweb: run --port $PORT\nworker_money: a: b\n")
    assert parse_procfile(path) == {"web": "run --port $PORT", "worker_money": "a: b"}
    for wrong in ("web run", "web: a\nweb: b"):
        path.write_text(wrong)
        with pytest.raises(ProcfileError):
            parse_procfile(path)
    assert parse_counts("web=2,worker=0", {"web", "worker", "clock"}) == {"web": 2, "worker": 0, "clock": 1}
    for wrong in ("web", "web=-1", "wbe=2"):
        with pytest.raises(ProcfileError):
            parse_counts(wrong, {"web"})


def test_every_process_of_the_procfile_binds_where_it_is_told() -> None:
    commands = parse_procfile(ROOT / "Procfile")
    assert set(commands) >= {"release", "web", "realtime", "worker", "worker_money", "relay", "clock"}
    for name in ("web", "realtime"):
        assert "--host ${BIND_HOST:-0.0.0.0} --port $PORT" in commands[name]


def test_real_environment_wins_over_dotenv_and_dotenv_over_stand_ins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        "# c\nexport A_KEY='in quotes'\nSTRIPE_SECRET_KEY=sk_live_x\nSECRET_KEY=file\nEMPTY=\n"
    )
    assert read_dotenv(tmp_path / ".env")["A_KEY"] == "in quotes"
    monkeypatch.setenv("SECRET_KEY", "real")
    given = given_environment(tmp_path)
    assert given["SECRET_KEY"] == "real"
    assert "EMPTY" not in given
    kept = {"SECRET_KEY": "kept", "AWS_SECRET_ACCESS_KEY": "secret"}
    told = service_environment(given, kept, Places(8000, "postgresql://d", "redis://r", None, 9000))
    assert told["SECRET_KEY"] == "real"
    assert told["STRIPE_SECRET_KEY"] == "sk_live_x"
    assert "STRIPE_API_BASE" not in told
    assert told["SES_API_BASE"] == "http://127.0.0.1:9000"
    assert told["DATABASE_DIRECT_URL"] == "postgresql://d"


@pytest.mark.parametrize(
    ("line", "alarms"),
    [
        (b'{"event": "x", "level": "error"}', True),
        (b"2026-01-01 [warning  ] slow", True),
        (b"ERROR:    Exception in ASGI application", True),
        (b'{"event": "no errors", "level": "info"}', False),
        (b"INFO:     Application startup complete.", False),
    ],
)
def test_only_alarming_lines_reach_the_terminal(line: bytes, *, alarms: bool) -> None:
    assert bool(ALARMING.search(line)) is alarms
