"""`log/` before an outside judge: the C2SP tlog-tiles checker of the Tessera project reads it and believes nothing of ours.

It fetches the checkpoint, every bundle and every tile, hashes all entries again and compares.
"""

import json
import shutil
import subprocess
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tallystick.proofs.checkpoints import TYPE_ED25519, encode_vkey, key_name
from tests.support.components import require
from tests.support.damage import flipped, replaced
from tests.support.recorded import make_recorded_home

SIZE = 56 + 700


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A home whose history fills tiles and leaves partial ones."""
    return make_recorded_home(tmp_path_factory.mktemp("logged") / "home", batch=700)


@pytest.fixture
def home(logged, tmp_path):
    return shutil.copytree(logged, tmp_path / "home")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def server(home):
    """Serve the log as any member's web server could; gives its address."""
    made = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(home / "log")))
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}/"
    made.shutdown()
    thread.join()
    made.server_close()


def orderer_vkey(home):
    """Return the verifier key of the orderer, taken from the zone's trust file as an outsider would."""
    trust = json.loads((home / "zone.json").read_bytes())
    orderer = founding_orderer(trust)
    name = key_name(orderer["organisation"], trust["chain"])
    return trust["chain"], encode_vkey(name, TYPE_ED25519, bytes.fromhex(orderer["key"]))


def founding_orderer(trust):
    """Return the founding member that orders, with its key, from a trust file."""
    (name,) = trust["versions"][0]["validators"]
    return next(each for each in trust["versions"][0]["joined"] if each["organisation"] == name)


def judge(home, url):
    """Return whether the outside checker accepts the log, and what it said.

    Its exit code says nothing: it is 0 after a failure too. Its verdict is the line that it logs. With fewer workers than
    there are files it waits for ever after one that is bad.
    """
    chain, vkey = orderer_vkey(home)
    key = home / "orderer.vkey"
    key.write_text(vkey)
    command = [require("tessera-fsck"), "--ui=false", "--N=64", f"--origin={chain}", f"--public_key={key}"]
    done = subprocess.run([*command, f"--storage_url={url}"], capture_output=True, text=True, timeout=60, check=True)
    said = done.stdout + done.stderr
    accepted = f"Successfully fsck'd log with size {SIZE} and root" in said
    assert accepted != ("fsck failed" in said), said
    return accepted, said


def test_log_is_accepted_by_an_outside_checker(home, server):
    """Full tiles, partial tiles and bundles over 700 entries pass, over HTTP and from the folder."""
    names = sorted(str(path.relative_to(home / "log")) for path in (home / "log").rglob("*") if path.is_file())
    assert {"tile/0/000", "tile/0/001", "tile/entries/001", f"tile/entries/002.p/{SIZE % 256}"} <= set(names)
    for url in (server, f"file://{home / 'log'}/"):
        accepted, said = judge(home, url)
        assert accepted, said


FILES = [
    "checkpoint",
    "tile/0/000",
    "tile/0/001",
    f"tile/0/002.p/{SIZE % 256}",
    "tile/1/000.p/2",
    "tile/entries/000",
    f"tile/entries/002.p/{SIZE % 256}",
]


@pytest.mark.parametrize("file", FILES)
def test_damaged_log_is_refused_by_an_outside_checker(home, server, file):
    """One changed byte, a missing or a shortened file: refused."""
    path = home / "log" / file
    size = path.stat().st_size
    for at in (size // 3, size - 2):
        with flipped(path, at, 1):
            assert not judge(home, server)[0], at
    with replaced(path, path.read_bytes()[:-1]):
        assert not judge(home, server)[0]
    moved = path.rename(path.with_name("gone"))
    assert not judge(home, server)[0]
    moved.rename(path)
    assert judge(home, server)[0]


def test_log_of_another_key_is_refused(home, server):
    """Who knows another orderer's key does not accept this log."""
    trust = json.loads((home / "zone.json").read_bytes())
    orderer = founding_orderer(trust)
    other = next(each for each in trust["versions"][0]["joined"] if each["organisation"] != orderer["organisation"])
    orderer["key"] = other["key"]
    (home / "zone.json").write_text(json.dumps(trust))
    assert not judge(home, server)[0]
