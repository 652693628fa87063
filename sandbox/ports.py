"""Free ports on the loopback interface, and who has the others."""

import json
import socket
import time
from pathlib import Path

LOOPBACK = "127.0.0.1"
LEAVING_S = 1.0


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port nobody listens on. Another process may take it first, so a server that fails to bind asks again."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def kept_port(path: Path) -> int:
    """The port noted in the file if it is free, else a new one, noted there for the next start.

    Waits a moment for it, since the server of a desk that was killed may still be leaving.
    """
    if path.exists():
        port = int(json.loads(path.read_text(encoding="ascii")))
        deadline = time.monotonic() + LEAVING_S
        while not (free := is_free(port)) and time.monotonic() < deadline:
            time.sleep(0.05)
        if free:
            return port
    port = free_port()
    path.write_text(json.dumps(port), encoding="ascii")
    return port
