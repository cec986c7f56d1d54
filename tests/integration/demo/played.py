"""A demo that has been played, and what its tests ask of it."""

from __future__ import annotations

import functools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

from tallystick.cli.main import run
from tallystick.node.homes import Home
from tallystick.proofs.checkpoints import TYPE_ED25519, encode_vkey, key_name
from tests.support.components import require

ORGANISATIONS = ("city-agency", "city-hospital", "harbour-bank", "river-university")
TALLY = [sys.executable, "-m", "tallystick.cli"]


class Demo(NamedTuple):
    """A demo that has been played."""

    directory: Path
    document: dict[str, Any]

    def facts(self, scene: str) -> dict[str, Any]:
        """Return what came of a scene."""
        return next(each["facts"] for each in self.document["scenes"] if each["name"] == scene)


def play(directory: Path, *options: str) -> Demo:
    """Play a demo as a user types it; it must exit 0."""
    command = [*TALLY, "demo", "--dir", directory, "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert 0 == done.returncode, done.stderr + done.stdout
    return Demo(directory, json.loads(done.stdout))


def pids_of(directory: Path) -> list[int]:
    """Return the processes that have a path under a folder in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(directory) + b"/" in command:
                found.append(int(entry.name))
    return found


def says(capsys, *arguments: object) -> tuple[int, str]:
    """Run a command in this process; return its exit code and what it complained of."""
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    return code, capsys.readouterr().err


def verify_in_the_documented_loop(directory: Path) -> None:
    """Run the loop that the documentation gives to scripts; it ends with 0 at each receipt."""
    loop = 'for r in "$1"/receipts/*.receipt.json; do "$2" -m tallystick.cli receipt verify "$r" --zone "$1"/zone.json'
    done = subprocess.run(
        ["sh", "-ec", f"{loop} || exit 9; done", "sh", directory, sys.executable], capture_output=True, text=True
    )
    assert 0 == done.returncode, done.stdout + done.stderr


def receipts_without_gap(directory: Path) -> bool:
    """Tell whether there is a receipt of every operation of the history."""
    with closing(sqlite3.connect(directory / "river-university" / "ledger.db")) as ledger:
        (operations,) = ledger.execute("SELECT count(*) FROM operations").fetchone()
    leaves = {json.loads(path.read_bytes())["leaf_index"] for path in directory.glob("receipts/*.receipt.json")}
    return operations > 0 and set(range(operations)) == leaves


def change_one_byte(ledger_path: Path, table: str, column: str) -> None:
    """Change the byte in the middle of a value, in the middle row of a table."""
    with closing(sqlite3.connect(ledger_path)) as ledger:
        rows = [row for (row,) in ledger.execute(f"SELECT rowid FROM {table}")]
        chosen = rows[len(rows) // 2]
        (value,) = ledger.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (chosen,)).fetchone()
        data = bytearray(value.encode() if isinstance(value, str) else value)
        data[len(data) // 2] ^= 1
        changed = data.decode() if isinstance(value, str) else bytes(data)
        ledger.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (changed, chosen))
        ledger.commit()


def check_log_from_outside(home: Path, signer: str, scratch: Path) -> None:
    """Let a checker of C2SP tlog-tiles logs that others wrote look at `log/`: it accepts it, and not with a byte changed.

    Args:
        home: of the log.
        signer: organisation that signed its checkpoint.
        scratch: empty folder.
    """
    program = require("tessera-fsck")
    trust = Home(home).read_trust()
    public = scratch / "signer.vkey"
    public.write_text(encode_vkey(key_name(signer, trust.chain), TYPE_ED25519, trust.latest.members[signer]))
    log = scratch / "log"
    shutil.copytree(home / "log", log)
    handler = functools.partial(QuietHandler, directory=str(log))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        command = [program, "--ui=false", f"--storage_url=http://127.0.0.1:{server.server_port}/"]
        command += [f"--public_key={public}", f"--origin={trust.chain}", "--logtostderr"]
        good = subprocess.run(command, capture_output=True, text=True, timeout=60)
        # Of the partial tiles, the one that the checkpoint is about: the others are of earlier checkpoints.
        tile = max((path for path in log.glob("tile/0/**/*") if path.is_file()), key=lambda path: path.stat().st_size)
        damaged = bytearray(tile.read_bytes())
        damaged[7] ^= 1
        tile.write_bytes(damaged)
        bad = subprocess.run(command, capture_output=True, text=True, timeout=60)
        server.shutdown()
    # It exits with 0 whatever it finds; what it writes says whether it has accepted the log.
    assert "Successfully fsck'd log with size" in good.stderr
    assert "Successfully" not in bad.stderr
    assert f"failed: {tile.relative_to(log)}" in bad.stderr


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
