"""What realtime/sockets.py overrides inside python-socketio and python-engineio is still what they call."""

import asyncio
import inspect

import engineio  # type: ignore[import-untyped]
import pytest
import socketio  # type: ignore[import-untyped]
from engineio.async_socket import AsyncSocket  # type: ignore[import-untyped]
from engineio.packet import MESSAGE, Packet  # type: ignore[import-untyped]

from realtime.limits import Pace
from realtime.sockets import BATCH_BYTES, OUTGOING_LIMIT_BYTES, Outgoing, Server, event_packet, origin_check


def test_the_engines_are_of_the_versions_this_was_written_for() -> None:
    from importlib.metadata import version

    assert version("python-socketio").startswith("5.18.")
    assert version("python-engineio").startswith("4.15.")


def test_the_engine_calls_what_we_override() -> None:
    assert list(inspect.signature(socketio.AsyncServer._handle_event).parameters) == [
        "self",
        "eio_sid",
        "namespace",
        "id",
        "data",
    ]
    assert "self.manager.connect(sid, namespace)" in inspect.getsource(socketio.AsyncServer._handle_connect)
    assert "self.server.create_queue()" in inspect.getsource(engineio.base_socket.BaseSocket.__init__)
    assert "self.server._async['websocket']" in inspect.getsource(AsyncSocket._upgrade_websocket)
    assert "self._websocket_handler, self.server" in inspect.getsource(AsyncSocket._upgrade_websocket)
    assert "self.queue.get_nowait()" in inspect.getsource(AsyncSocket.poll)


async def test_a_new_socket_has_a_bounded_queue() -> None:
    server = Server(transports=("websocket",), origin_allowed=lambda *_: True)
    assert isinstance(AsyncSocket(server.eio, "one").queue, Outgoing)


async def test_what_waits_is_counted_and_reported_once() -> None:
    overflows: list[Outgoing] = []
    queue = Outgoing(overflows.append)
    half = Packet(MESSAGE, "x" * (OUTGOING_LIMIT_BYTES // 2))
    queue.put_nowait(half)
    queue.put_nowait(half)
    assert (queue.pending_bytes, overflows) == (OUTGOING_LIMIT_BYTES, [])
    queue.put_nowait(half)
    queue.put_nowait(half)
    assert overflows == [queue]
    for _ in range(4):
        await queue.get()
    assert queue.pending_bytes == 0


async def test_a_batch_is_bounded() -> None:
    queue = Outgoing(lambda _: None)
    for _ in range(4):
        queue.put_nowait(Packet(MESSAGE, "x" * (BATCH_BYTES // 2)))
    await queue.get()
    queue.get_nowait()
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
    await queue.get()
    queue.get_nowait()
    assert queue.empty()


def test_an_event_is_written_as_socket_io_writes_it() -> None:
    theirs = socketio.packet.Packet(data=["notification", {"a": "ü\u2028"}, {"seq": 1}]).encode()
    ours = event_packet("notification", '{"a":"\\u00fc\\u2028"}', '{"seq":1}')
    assert ours.encode() == Packet(MESSAGE, theirs).encode()
    assert event_packet("resync", "{}", None).encode() == '42["resync",{}]'


def test_origins() -> None:
    allowed = origin_check(("https://app.example/",), ours=("https://api.example:8443/api",))
    here = {"HTTP_HOST": "10.0.0.1:8000"}
    assert allowed("https://app.example", here)
    assert allowed("https://api.example:8443", here)
    assert allowed("https://10.0.0.1:8000", here)
    assert not allowed("https://app.example.evil", here)
    assert not allowed("http://app.example", here)
    assert not allowed("null", here)
    assert not allowed("null", {})
    assert not allowed("http://[", here)
    assert origin_check(("*",), ours=())("https://anyone.example", here)


def test_a_pace_holds_a_burst_and_refills() -> None:
    now = [0.0]
    pace = Pace(2, 3, clock=lambda: now[0])
    assert [pace.wait_s("ada") for _ in range(4)] == [0, 0, 0, 0.5]
    assert pace.wait_s("bob") == 0
    now[0] = 0.5
    assert [pace.wait_s("ada") for _ in range(2)] == [0, 0.5]
    now[0] = 60.0
    assert [pace.wait_s("ada") for _ in range(4)] == [0, 0, 0, 0.5]
