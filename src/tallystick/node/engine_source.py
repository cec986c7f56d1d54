"""The engine's source as it is compiled: the pinned module, with four of its constants put right and one program more.

Two of them cost processor time (docs/adr/0012), two cost time on the way back to each other (docs/adr/0015). They
change nothing that engines say to each other or keep, so that a corrected engine and an uncorrected one work together.
The program checks signatures, with the library with which engines check votes (docs/adr/0013). What the engine calls
itself names what was done to its source.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from tallystick import ordering
from tallystick.errors import IntegrityError

CORRECTIONS = "tallystick.3"
"""Number of what is done to the source; whatever changes in it is another engine."""
VERIFIER = "verifier_main"
"""Name of the program that checks signatures."""
VERIFIER_SOURCE = Path(ordering.__file__).with_name(f"{VERIFIER}.go")
"""Its source, in Go; lies beside that of the slower one, in Python."""


@dataclass(frozen=True, slots=True)
class Correction:
    """One change of one line.

    Attributes:
        path: of the file, from the module's root.
        found: what the file holds exactly once.
        made: what stands there instead.
    """

    path: str
    found: str
    made: str


_CORRECTIONS = (
    # A time of 20 ms that lacks its unit: the timer that makes requests to the application go out spins at 20 ns.
    Correction(
        "abci/client/socket_client.go",
        'timer.NewThrottleTimer("socketClient", flushThrottleMS)',
        'timer.NewThrottleTimer("socketClient", flushThrottleMS*time.Millisecond)',
    ),
    # How often an engine looks at its own state to gossip of it, which it does every 25 ms or less often.
    Correction(
        "consensus/reactor.go", "time.NewTicker(100 * time.Microsecond)", "time.NewTicker(5 * time.Millisecond)"
    ),
    # How often an engine tries to reach another again every few seconds. After that it waits three times as long each
    # time, up to sixteen hours, and then gives up.
    Correction("p2p/switch.go", "reconnectAttempts = 20", "reconnectAttempts = 1 << 30"),
    # By how much, at random, the first attempt and each further one is put off, so that thousands do not come at once.
    Correction(
        "p2p/switch.go", "dialRandomizerIntervalMilliseconds = 3000", "dialRandomizerIntervalMilliseconds = 300"
    ),
)


def write_corrected(module: Path, target: Path) -> None:
    """Copy a module's source, put it right, and add the program that checks signatures.

    Args:
        module: its root; whose checksum was found good.
        target: a folder that does not exist yet.

    Raises:
        IntegrityError: a correction does not fit the source.
        OSError: the disk refuses.
    """
    # Not `copytree`: folders of Go's module cache are read-only, and their copies could not be removed.
    for folder, _, files in os.walk(module):
        place = target / Path(folder).relative_to(module)
        place.mkdir()
        for name in files:
            shutil.copyfile(Path(folder) / name, place / name)
    for correction in _CORRECTIONS:
        path = target / correction.path
        text = path.read_text() if path.is_file() else ""
        if text.count(correction.found) != 1:
            raise IntegrityError(
                f"the engine's source has no place for its correction of {correction.path}",
                remedy="Use a release of Tallystick that fits the engine's version, and report this.",
            )
        path.write_text(text.replace(correction.found, correction.made))
    command = target / "cmd" / VERIFIER
    command.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(VERIFIER_SOURCE, command / "main.go")
