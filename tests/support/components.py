"""Outside programs that tests run: found, or the test fails and names the command that installs them.

A test is never skipped because something is missing: a check that silently does not run is no check. Whoever cannot
install a component says so by name, as in `TALLY_TEST_WITHOUT=network-namespaces,tessera-fsck make test`; then, and
only then, the tests that need it are skipped. A name that is not known is an error.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tallystick.node.engine import find_engine

VARIABLE = "TALLY_TEST_WITHOUT"
# Built by tools/setup.sh, which holds the same version.
TESSERA_VERSION = "v1.0.4"


@dataclass(frozen=True)
class Component:
    """Something outside the project that a test needs.

    Attributes:
        find: returns its path, or None where it is missing or may not be used.
        remedy: the command that installs it.
    """

    find: Callable[[], Path | None]
    remedy: str


def find_program(name: str) -> Path | None:
    """Return the path of a program, looking beside this Python first and in sbin last, or None."""
    places = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    return Path(found) if found else None


@functools.cache
def _find_namespaces() -> Path | None:
    """Return the path of `ip` if this user may make network namespaces with it."""
    ip, unshare = find_program("ip"), find_program("unshare")
    if ip is None or unshare is None:
        return None
    try:
        tried = subprocess.run([str(unshare), "--net", "true"], capture_output=True, check=False, timeout=10)
    except subprocess.TimeoutExpired:
        return None
    return ip if tried.returncode == 0 else None


@functools.cache
def _find_mount() -> Path | None:
    """Return the path of `mount` if this user may mount a file system with it."""
    mount, unshare = find_program("mount"), find_program("unshare")
    if mount is None or unshare is None:
        return None
    # In a namespace of its own, so that trying leaves nothing behind.
    command = [str(unshare), "--mount", str(mount), "-t", "tmpfs", "none", "/tmp"]
    try:
        tried = subprocess.run(command, capture_output=True, check=False, timeout=10)
    except subprocess.TimeoutExpired:
        return None
    return mount if tried.returncode == 0 else None


def _find_tun() -> Path | None:
    """Return the path of the kernel's TUN driver if this user may use it."""
    path = Path("/dev/net/tun")
    return path if os.access(path, os.R_OK | os.W_OK) else None


def _find_log_checker() -> Path | None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / "tallystick" / "bin" / f"tessera-fsck-{TESSERA_VERSION}"
    return program if os.access(program, os.X_OK) else None


def _package(program: str, package: str) -> Component:
    return Component(lambda: find_program(program), f"sudo apt-get install {package}")


COMPONENTS: Mapping[str, Component] = {
    "cometbft": Component(find_engine, "tally engine install"),
    "curl": _package("curl", "curl"),
    "git": _package("git", "git"),
    "go": Component(lambda: find_program("go"), "make setup"),
    "network-namespaces": Component(
        _find_namespaces, "sudo apt-get install iproute2 util-linux, and run the tests as root"
    ),
    "mount": Component(_find_mount, "sudo apt-get install mount util-linux, and run the tests as root"),
    "openssl": _package("openssl", "openssl"),
    "sqlite3": _package("sqlite3", "sqlite3"),
    "tessera-fsck": Component(_find_log_checker, "make components"),
    "tun": Component(_find_tun, "sudo modprobe tun, and run the tests as root"),
}


def left_out(environment: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the names of the components that the tester does without.

    Raises:
        ValueError: a name that is not known.
    """
    names = frozenset(name.strip() for name in environment.get(VARIABLE, "").split(",") if name.strip())
    unknown = sorted(names - COMPONENTS.keys())
    if unknown:
        raise ValueError(f"{VARIABLE} names {', '.join(unknown)}; known are {', '.join(sorted(COMPONENTS))}")
    return names


def require(name: str) -> Path:
    """Return the path of a component's program.

    Skips the test if the tester does without it by name; fails it, with the installing command, if it is missing.

    Raises:
        KeyError: no component has this name.
    """
    component = COMPONENTS[name]
    if name in left_out():
        pytest.skip(f"{VARIABLE} names {name}")
    found = component.find()
    if found is None:
        pytest.fail(f"{name} is missing; type: {component.remedy} (or leave it out: {VARIABLE}={name})", pytrace=False)
    return found
