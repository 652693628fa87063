"""The embedded Redis: kept or forgotten as asked, and closed to others."""

import socket
import subprocess
from pathlib import Path

import pytest
import redis

from sandbox import redis as subject
from sandbox.redis import Redis, RedisUnavailable

pytestmark = pytest.mark.enable_socket


def remember(url: str, value: str) -> None:
    with redis.Redis.from_url(url) as client:
        client.set("word", value)


def recall(url: str) -> object:
    with redis.Redis.from_url(url, decode_responses=True) as client:
        return client.get("word")


def test_desk_remembers_across_a_restart_on_the_same_address(tmp_path: Path) -> None:
    with Redis(tmp_path / 'with "quotes" and space') as server:
        url = server.url
        remember(url, "kept")
        assert server.restart() == url
        assert recall(url) == "kept"


def test_total_loss_forgets_everything_and_keeps_the_address(tmp_path: Path) -> None:
    with Redis(tmp_path) as server:
        url, pid = server.url, server.pid
        remember(url, "lost")
        assert server.kill_with_total_loss() == url
        assert server.pid != pid
        assert recall(url) is None


def test_tests_keep_nothing(tmp_path: Path) -> None:
    with Redis(tmp_path, append_only=False) as server:
        remember(server.url, "gone")
        server.restart()
        assert recall(server.url) is None


def test_nobody_enters_without_the_password(tmp_path: Path) -> None:
    with Redis(tmp_path, append_only=False) as server:
        password = (tmp_path / "password").read_text()
        with pytest.raises(redis.AuthenticationError):
            recall(f"redis://127.0.0.1:{server.port}/0")
        for name in ("password", "redis.conf"):
            assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        assert password not in subprocess.run(["ps", "-ef"], capture_output=True, text=True, check=True).stdout


def test_port_taken_meanwhile_is_exchanged(tmp_path: Path) -> None:
    with Redis(tmp_path, append_only=False) as server:
        first = server.url
    with socket.create_server(("127.0.0.1", server.port)), server:
        assert server.url != first
        assert recall(server.url) is None


def test_without_any_redis_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_candidates", list)
    with pytest.raises(RedisUnavailable, match="Set REDIS_URL"):
        subject.server_binary.__wrapped__()
