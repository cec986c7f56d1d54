"""Two machines on one: each a network namespace joined by a virtual cable, a folder of its own, and a shell to type into."""

from __future__ import annotations

import builtins
import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.support.components import require

_NETWORK = "10.77.7"


class Typed(NamedTuple):
    """What came of a command."""

    code: int
    output: str


class Machine:
    """One machine; `enter` types a line into its shell, which lives from the first to the last."""

    def __init__(self, name: str, address: str, folder: Path, namespace: str, environment: Mapping[str, str]) -> None:
        """Open a shell.

        Args:
            name: for people.
            address: its IP address.
            folder: where it works, and its home.
            namespace: its network.
            environment: added to a nearly empty one.
        """
        self.name = name
        self.address = address
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        basic = {"HOME": str(folder), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "dumb", "COLUMNS": "120"}
        self._shell = subprocess.Popen(
            [str(require("network-namespaces")), "netns", "exec", namespace, "bash", "--noprofile", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**basic, **environment},
            start_new_session=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._count = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            self._lines.put(line.decode("utf-8", "replace"))

    def enter(self, command: str, seconds: float = 60.0) -> Typed:
        """Type a command, which may have several lines, and return its exit code and what it printed.

        Raises:
            AssertionError: it does not end.
        """
        assert self._shell.stdin is not None
        self._count += 1
        end = f"--end-of-{self._count}--"
        self._shell.stdin.write(f"{command}\nprintf '\\n%s %d\\n' {end} $?\n".encode())
        self._shell.stdin.flush()
        printed: list[str] = []
        while True:
            try:
                line = self._lines.get(timeout=seconds)
            except queue.Empty:
                raise AssertionError(f"{self.name}$ {command}\ndoes not end; so far:\n{''.join(printed)}") from None
            if line.startswith(end):
                return Typed(int(line.split()[1]), "".join(printed).strip("\n"))
            printed.append(line)

    def close(self) -> None:
        """End the shell and what it left running in the background."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGTERM)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._shell.pid, signal.SIGKILL)
        self._shell.wait()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: builtins.type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def two_networks() -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Yield (namespace, address) of two machines with a cable between them and nothing else.

    Each has its own loopback, so that both may listen at the same port of 127.0.0.1.
    """
    ip = str(require("network-namespaces"))
    names = [f"tally-{os.getpid()}-{end}" for end in "ab"]
    cables = [f"tt{os.getpid() % 100_000}{end}" for end in "ab"]
    places = [(name, f"{_NETWORK}.{number}") for number, name in enumerate(names, start=1)]

    def run(*words: str) -> None:
        subprocess.run([ip, *words], check=True, capture_output=True)

    try:
        for name in names:
            run("netns", "add", name)
        run("link", "add", cables[0], "netns", names[0], "type", "veth", "peer", "name", cables[1], "netns", names[1])
        for (name, address), cable in zip(places, cables, strict=True):
            run("-n", name, "address", "add", f"{address}/24", "dev", cable)
            run("-n", name, "link", "set", cable, "up")
            run("-n", name, "link", "set", "lo", "up")
        yield places[0], places[1]
    finally:
        for name in names:
            subprocess.run([ip, "netns", "delete", name], check=False, capture_output=True)
