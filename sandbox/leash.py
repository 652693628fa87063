"""Become another program that ends when whoever started it ends, and that never runs with more rights than it needs.

Run as `python -I -S sandbox/leash.py PARENT_PID SIGNAL IDENTITY COMMAND…`; it imports nothing of ours so that it costs
15 ms. It is a program and not a `preexec_fn`, because Python code between fork and exec can deadlock in a process that
has threads.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
NOBODY = 65534

AS_ONESELF = "oneself"
IN_NAMESPACE = "namespace"
AS_NOBODY = "nobody"


def leashed(command: list[str], *, farewell: signal.Signals, identity: str = AS_ONESELF) -> list[str]:
    """The command that runs `command` so that it receives `farewell` when the calling process dies.

    The link is to the calling thread: call it from the main one. Only Linux can do it; elsewhere it is a plain exec.
    """
    here = str(Path(__file__).resolve())
    return [sys.executable, "-I", "-S", here, str(os.getpid()), str(int(farewell)), identity, *command]


def _enter_namespace() -> None:
    """Appear as an ordinary user, known by name, to oneself; to the kernel and its files one stays who one is."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "no user namespace to be had")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1", encoding="ascii")


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def main() -> None:
    """Take on the identity, tie the leash, and become the command."""
    parent, farewell, identity, *command = sys.argv[1:]
    if identity == IN_NAMESPACE:
        _enter_namespace()
    elif identity == AS_NOBODY:
        _become_nobody()
    # After the change of identity, because the kernel forgets the signal at one.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(farewell), 0, 0, 0)
        if os.getppid() != int(parent):  # the parent died before the leash was tied
            sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606  (no shell is wanted)
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
