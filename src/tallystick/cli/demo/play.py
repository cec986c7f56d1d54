"""The demo itself: which scenes there are, in which order, and how it ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from tallystick.cli.demo import (
    another_history,
    frauds,
    scenes_network,
    scenes_proofs,
    scenes_sharing,
    scenes_zone,
    two_histories,
)
from tallystick.cli.demo.stage import Stage, number_word, own_settings
from tallystick.cli.demo.summary import introduce, shown, sum_up
from tallystick.cli.demo.telling import Teller
from tallystick.cli.failures import DONE, complain, describe, exit_code
from tallystick.codec.canonical import MalformedError
from tallystick.errors import TallystickError

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_WATCH_SECONDS = 0.5


def play(directory: Path | None, *, validators: int = 0, serve: bool, as_json: bool) -> int:
    """Play the demo in a new folder and return the exit code.

    Args:
        directory: empty or absent; by default one named after the time, in the current folder.
        validators: how many order together; 0 for the embedded engine, on which one does.
        serve: leave the nodes running until they are told to stop.
        as_json: print one JSON document instead of the story.

    Returns:
        0 if all of it held; 1 if something was not as it must be, 3 for trouble with a node or this machine.

    Raises:
        KeyboardInterrupt: it was told to stop; the nodes are stopped.
    """
    teller = Teller(as_json)
    with own_settings(), _stopped_like_ctrl_c():
        stage: Stage | None = None
        try:
            stage = Stage(directory or Path(f"tally-demo-{datetime.now(UTC):%Y%m%d-%H%M%S}"), validators)
            introduce(stage, teller)
            if validators:
                _perform_together(stage, teller)
            else:
                _perform(stage, teller)
            if serve:
                stage.start()
            else:
                stage.stop()
            sum_up(stage, teller, serve=serve)
            teller.document(ok=True, directory=str(stage.directory), problem=None)
            if serve:
                _keep_running(stage)
            return DONE
        except (TallystickError, MalformedError) as error:
            return _fail(stage, teller, error)
        finally:
            _stop(stage)


def _perform(stage: Stage, teller: Teller) -> None:
    """Play all scenes; each leaves the stage as the next one needs it."""
    with teller.scene("zone", f"{stage.hospital.name} makes a zone") as scene:
        scenes_zone.make_zone(stage, teller, scene)
    with teller.scene("join", "Three organisations join it") as scene:
        scenes_zone.join_all(stage, teller, scene)
    asked = _ask(stage, teller)
    before = two_histories.set_aside(stage)
    _share(stage, teller, asked)
    with teller.scene("two-histories", "Third fraud: whoever orders tells two histories") as scene:
        two_histories.tell_two_histories(stage, teller, scene, asked, before)


def _perform_together(stage: Stage, teller: Teller) -> None:
    """Play all scenes where several order together."""
    count = number_word(stage.validators)
    with teller.scene("zone", f"{count.capitalize()} organisations make a zone") as scene:
        scenes_network.make_zone(stage, teller, scene)
    with teller.scene("join", f"All {count} order together") as scene:
        scenes_network.order_together(stage, teller, scene)
    _share(stage, teller, _ask(stage, teller))
    with teller.scene("lost-validator", f"One of {count} is killed, and comes back") as scene:
        scenes_network.lose_one(stage, teller, scene)
    with teller.scene("two-histories", f"Third fraud: one of {count} that order signs another history") as scene:
        another_history.sign_another_history(stage, teller, scene)


def _ask(stage: Stage, teller: Teller) -> scenes_sharing.Asked:
    """Play the scenes in which data is offered and asked for."""
    with teller.scene("offer", "Two tables are offered, each under its terms") as scene:
        scenes_sharing.offer_tables(stage, teller, scene)
    with teller.scene("request", "They are found, and asked for") as scene:
        return scenes_sharing.ask_for_them(stage, teller, scene)


def _share(stage: Stage, teller: Teller, asked: scenes_sharing.Asked) -> None:
    """Play what comes of it, the proofs, and the frauds with files."""
    with teller.scene("decide", "One request is approved, one is rejected") as scene:
        agreement = scenes_sharing.decide(stage, teller, scene, asked)
    with teller.scene("deliver", "The tables are delivered, encrypted, and verified") as scene:
        scenes_sharing.deliver(stage, teller, scene)
    with teller.scene("evidence", "Evidence of documents") as scene:
        scenes_proofs.record_evidence(stage, teller, scene)
    with teller.scene("terminate", "The agreement is ended") as scene:
        scenes_sharing.end_agreement(stage, teller, scene, agreement)
    with teller.scene("receipts", "A receipt of everything that was recorded") as scene:
        scenes_proofs.export_receipts(stage, teller, scene)
    with teller.scene("check", "Every copy of the record is checked from its beginning") as scene:
        scenes_zone.check_all(stage, teller, scene)
    with teller.scene("altered-ledger", "First fraud: a digit in a ledger") as scene:
        frauds.alter_ledger(stage, teller, scene, agreement)
    with teller.scene("altered-receipt", "Second fraud: another name in a receipt") as scene:
        frauds.alter_receipt(stage, teller, scene, asked)


def _fail(stage: Stage | None, teller: Teller, error: TallystickError | MalformedError) -> int:
    """Stop the nodes, and say in which scene the demo ended and why."""
    _stop(stage)
    text = describe(error)
    scene = teller.scenes[-1] if teller.scenes else None
    if scene is not None and not scene.held:
        text = text.replace("error: ", f"error: in scene {len(teller.scenes)} ({scene.name}): ", 1)
    teller.document(ok=False, directory="" if stage is None else str(stage.directory), problem=text)
    complain(text)
    if stage is not None:
        complain(f"The nodes are stopped; what they wrote is in {shown(stage.logs)}.")
    return exit_code(error)


def _stop(stage: Stage | None) -> None:
    """Stop the nodes; whoever is in a hurry now would leave some behind."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if stage is not None:
        stage.stop()


def _keep_running(stage: Stage) -> None:
    """Wait until somebody stops the demo.

    Raises:
        PeerError: a node has ended.
    """
    try:
        while True:
            for player in stage.players.values():
                player.check_running()
            time.sleep(_WATCH_SECONDS)
    except KeyboardInterrupt:
        return


@contextmanager
def _stopped_like_ctrl_c() -> Iterator[None]:
    """Let other requests to stop end the demo as Ctrl-C does, so that no node is left behind."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
