"""The addresses on which a process and those that it started listen, also stage by stage."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from threading import Event, Thread
from typing import NamedTuple

import psutil


class Listening(NamedTuple):
    """Addresses with their ports, such as ``127.0.0.1:8265``.

    An actor's task renames its process, so addresses are told without the process's name.

    Attributes:
        loopback: those that only this machine reaches.
        reachable: those that other machines can reach.
    """

    loopback: set[str]
    reachable: set[str]


def listening(pid: int) -> Listening:
    """Return the TCP addresses on which a process, or one that it started, listens."""
    found = Listening(set(), set())
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                for socket in process.net_connections("tcp"):
                    if socket.status == psutil.CONN_LISTEN:
                        address = ip_address(socket.laddr.ip)
                        local = getattr(address, "ipv4_mapped", None) or address
                        kind = found.loopback if local.is_loopback else found.reachable
                        kind.add(f"{socket.laddr.ip}:{socket.laddr.port}")
    return found


@contextmanager
def watched_stages() -> Iterator[dict[str, Listening]]:
    """Look once a second at every stage that this process has started; yields what was seen."""
    seen: dict[str, Listening] = {}
    ended = Event()

    def watch() -> None:
        while not ended.wait(1):
            for name, pid in _running_stages():
                loopback, reachable = listening(pid)
                known = seen.setdefault(name, Listening(set(), set()))
                known.loopback.update(loopback)
                known.reachable.update(reachable)

    watcher = Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def _running_stages() -> Iterator[tuple[str, int]]:
    for process in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            match process.cmdline():
                case [_, "-m", "stages", name]:
                    yield name, process.pid
