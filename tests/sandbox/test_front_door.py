"""The front door as a process, between raw sockets and small upstreams."""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
POST = b"POST / HTTP/1.1\r\nHost: d\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
Behaviour = Callable[[socket.socket, bytes], None]

pytestmark = pytest.mark.enable_socket


def read_head(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        if not piece:
            break
        head += piece
    return head


def answer_with(text: str) -> Behaviour:
    def behave(connection: socket.socket, _: bytes) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode())

    return behave


class Upstream:
    """A server of one behaviour, which keeps the bytes of each request it was given."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.heads: list[bytes] = []
        self.behaviour = behaviour
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = read_head(connection)
            self.heads.append(head)
            self.behaviour(connection, head)

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


class Door:
    """A running front door."""

    def __init__(self, *arguments: str) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "sandbox.front_door", "--port", str(self.port), *arguments]
        self.process = subprocess.Popen(command, cwd=ROOT)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                self.connect().close()
                return
            time.sleep(0.02)
        raise AssertionError("the door did not open")

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def ask(self, request: bytes) -> bytes:
        with self.connect() as connection:
            connection.sendall(request)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


@pytest.fixture
def make_upstream() -> Iterator[Callable[[Behaviour], Upstream]]:
    made: list[Upstream] = []

    def make(behaviour: Behaviour) -> Upstream:
        made.append(Upstream(behaviour))
        return made[-1]

    yield make
    for upstream in made:
        upstream.close()


@pytest.fixture
def open_door() -> Iterator[Callable[..., Door]]:
    doors: list[Door] = []

    def make(*arguments: str) -> Door:
        doors.append(Door(*arguments))
        return doors[-1]

    yield make
    for door in doors:
        door.process.kill()
        door.process.wait()


MakeUpstream = Callable[[Behaviour], Upstream]
OpenDoor = Callable[..., Door]


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: desk", *headers, "", ""]).encode()


def test_longest_prefix_answers_and_the_rest_goes_to_the_default(
    make_upstream: MakeUpstream, open_door: OpenDoor
) -> None:
    web, realtime = make_upstream(answer_with("web")), make_upstream(answer_with("realtime"))
    door = open_door("--route", f"/socket.io/=127.0.0.1:{realtime.port}", "--default", f"127.0.0.1:{web.port}")
    assert door.ask(get("/socket.io/?EIO=4")).endswith(b"realtime")
    assert door.ask(get("/api/users")).endswith(b"web")
    assert door.ask(get("http://desk/socket.io/")).endswith(b"realtime")
    assert realtime.heads[1].startswith(b"GET /socket.io/ HTTP/1.1\r\n")


def test_what_the_client_claims_about_its_address_is_replaced(make_upstream: MakeUpstream, open_door: OpenDoor) -> None:
    web = make_upstream(answer_with("ok"))
    door = open_door("--default", f"127.0.0.1:{web.port}")
    claims = (
        "X-Forwarded-For: 9.9.9.9",
        "X-Forwarded-Proto: https",
        "Forwarded: for=9.9.9.9",
        "Connection: keep-alive, X-Hop",
    )
    door.ask(get("/", *claims, "X-Hop: 1"))
    lines = web.heads[0].lower().split(b"\r\n")
    assert b"x-forwarded-for: 127.0.0.1" in lines
    assert b"x-forwarded-proto: http" in lines
    assert b"host: desk" in lines
    assert b"connection: close" in lines
    assert b"9.9.9.9" not in web.heads[0]
    assert b"x-hop" not in web.heads[0].lower()


def test_several_defaults_take_turns_and_one_that_is_away_is_passed_over(
    make_upstream: MakeUpstream, open_door: OpenDoor
) -> None:
    one, two = make_upstream(answer_with("one")), make_upstream(answer_with("two"))
    away = f"127.0.0.1:{free_port()}"
    door = open_door("--default", f"127.0.0.1:{one.port}", "--default", f"127.0.0.1:{two.port}", "--default", away)
    answers = [door.ask(get("/"))[-3:] for _ in range(6)]
    assert set(answers) == {b"one", b"two"}


def test_upstream_away_is_a_problem_to_retry(open_door: OpenDoor) -> None:
    door = open_door("--default", f"127.0.0.1:{free_port()}")
    head, _, body = door.ask(get("/")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Content-Type: application/problem+json" in head
    assert b"Retry-After: 1" in head
    assert json.loads(body)["code"] == "upstream_away"


def test_upstream_that_ends_without_an_answer_is_502(make_upstream: MakeUpstream, open_door: OpenDoor) -> None:
    web = make_upstream(lambda connection, _: connection.close())
    door = open_door("--default", f"127.0.0.1:{web.port}")
    assert door.ask(get("/")).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        pytest.param(POST + CHUNKED + b"Content-Length: 4\r\n\r\n0\r\n\r\n", b"400", id="told twice"),
        pytest.param(POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", b"400", id="two lengths"),
        pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", b"501", id="odd encoding"),
        pytest.param(POST + b"Content-Length : 4\r\n\r\nabcd", b"400", id="space before colon"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"400", id="no host"),
        pytest.param(POST + b"A: " + b"a" * 200_000 + b"\r\n\r\n", b"431", id="long head"),
        pytest.param(b"\x16\x03\x01\x02\x00\r\n\r\n", b"400", id="TLS"),
    ],
)  # fmt: skip
def test_ambiguous_or_malformed_heads_reach_no_upstream(
    request_bytes: bytes, status: bytes, make_upstream: MakeUpstream, open_door: OpenDoor
) -> None:
    web = make_upstream(answer_with("ok"))
    door = open_door("--default", f"127.0.0.1:{web.port}")
    assert door.ask(request_bytes).split(b" ")[1] == status
    assert web.heads == []


def test_second_request_behind_the_first_is_never_passed_on(make_upstream: MakeUpstream, open_door: OpenDoor) -> None:
    web = make_upstream(answer_with("ok"))
    door = open_door("--default", f"127.0.0.1:{web.port}")
    answer = door.ask(get("/first") + get("/second"))
    assert answer.count(b"HTTP/1.1") == 1
    assert [head.split(b" ")[1] for head in web.heads] == [b"/first"]
    assert b"/second" not in web.heads[0]


def test_connection_header_cannot_remove_the_length(make_upstream: MakeUpstream, open_door: OpenDoor) -> None:
    web = make_upstream(answer_with("ok"))
    door = open_door("--default", f"127.0.0.1:{web.port}")
    door.ask(b"POST / HTTP/1.1\r\nHost: d\r\nConnection: content-length\r\nContent-Length: 4\r\n\r\nabcd")
    assert b"content-length: 4" in web.heads[0].lower()


def test_refused_upgrade_opens_no_tunnel(make_upstream: MakeUpstream, open_door: OpenDoor) -> None:
    received: list[bytes] = []

    def refuse(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        connection.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            received.append(connection.recv(100))

    web = make_upstream(refuse)
    door = open_door("--default", f"127.0.0.1:{web.port}")
    door.ask(get("/", "Connection: Upgrade", "Upgrade: websocket") + get("/admin"))
    assert received in ([], [b""])


def test_websocket_upgrade_carries_bytes_both_ways(make_upstream: MakeUpstream, open_door: OpenDoor) -> None:
    def echo(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while piece := connection.recv(100):
            connection.sendall(piece.upper())

    realtime = make_upstream(echo)
    door = open_door("--route", f"/socket.io/=127.0.0.1:{realtime.port}")
    with door.connect() as connection:
        connection.sendall(get("/socket.io/", "Connection: Upgrade", "Upgrade: websocket"))
        assert b" 101 " in read_head(connection)
        for word in (b"one", b"two"):
            connection.sendall(word)
            assert connection.recv(100) == word.upper()
    head = realtime.heads[0].lower()
    assert b"connection: upgrade\r\n" in head
    assert b"upgrade: websocket\r\n" in head


def test_large_body_in_chunks_arrives_whole_after_100_continue(
    make_upstream: MakeUpstream, open_door: OpenDoor
) -> None:
    body = bytes(range(256)) * 8_192  # 2 MiB

    def collect(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        received, file = b"", connection.makefile("rb")
        while size := int(file.readline(), 16):
            received += file.read(size)
            file.readline()
        verdict = b"whole" if received == body else b"other"
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + verdict)

    web = make_upstream(collect)
    door = open_door("--default", f"127.0.0.1:{web.port}")
    with door.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
        assert b"100 Continue" in read_head(connection)
        for start in range(0, len(body), 100_000):
            piece = body[start : start + 100_000]
            connection.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.sendall(b"0\r\n\r\n")
        assert read_all(connection).endswith(b"whole")


def test_client_that_leaves_frees_its_upstream(make_upstream: MakeUpstream, open_door: OpenDoor) -> None:
    left = threading.Event()

    def wait_for_leaving(connection: socket.socket, _: bytes) -> None:
        connection.settimeout(5)
        if connection.recv(1) == b"":
            left.set()

    web = make_upstream(wait_for_leaving)
    door = open_door("--default", f"127.0.0.1:{web.port}")
    with door.connect() as connection:
        connection.sendall(get("/slow"))
        while not web.heads:
            time.sleep(0.01)
    assert left.wait(5)


def test_two_hundred_at_once_are_answered(make_upstream: MakeUpstream, open_door: OpenDoor) -> None:
    everyone = threading.Barrier(201, timeout=10)

    def together(connection: socket.socket, head: bytes) -> None:
        everyone.wait()
        answer_with("ok")(connection, head)

    web = make_upstream(together)
    door = open_door("--default", f"127.0.0.1:{web.port}")
    connections = [door.connect() for _ in range(200)]
    for connection in connections:
        connection.sendall(get("/"))
    everyone.wait()
    answers = [read_all(connection) for connection in connections]
    for connection in connections:
        connection.close()
    assert all(answer.endswith(b"ok") for answer in answers)


def test_sigterm_ends_an_idle_door_at_once_and_a_busy_one_after_its_answer(
    make_upstream: MakeUpstream, open_door: OpenDoor
) -> None:
    def slow(connection: socket.socket, head: bytes) -> None:
        time.sleep(0.5)
        answer_with("late")(connection, head)

    web = make_upstream(slow)
    door = open_door("--default", f"127.0.0.1:{web.port}")
    with door.connect(), door.connect() as busy:
        busy.sendall(get("/"))
        while not web.heads:
            time.sleep(0.01)
        began = time.monotonic()
        door.process.send_signal(signal.SIGTERM)
        assert read_all(busy).endswith(b"late")
        assert door.process.wait(3) == 0
    assert time.monotonic() - began < 1.5


def test_taken_port_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "sandbox.front_door", "--port", str(port), "--default", "127.0.0.1:1"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert str(port) in done.stderr
