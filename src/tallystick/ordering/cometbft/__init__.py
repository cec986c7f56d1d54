"""The distributed engine: CometBFT orders, the ledger executes; they talk ABCI 2.0 over a unix socket.

Rules of this room:

- The engine decides order and time, and nothing else; what a block does is `machine.execute_block`, as under `solo`.
- State, height and app hash are one SQL transaction. What was executed and not committed is gone after a crash, and the
  engine sends the block again.
- Engine and application live and die together: the node watches both as one. If this side stops answering, the engine
  ends with exit code 0.
- `generated/` is made by `tools/generate_abci.py` from the engine's own .proto files.
"""

from tallystick.ordering.cometbft.admission import Admission
from tallystick.ordering.cometbft.app import LedgerApplication
from tallystick.ordering.cometbft.blocks import Committed, Misbehaviour, Sealed
from tallystick.ordering.cometbft.engine import Distributed
from tallystick.ordering.cometbft.rpc import EngineRpc
from tallystick.ordering.cometbft.sealing import HeaderSealer
from tallystick.ordering.cometbft.server import AbciServer, Application
from tallystick.ordering.cometbft.snapshots import SnapshotExchange, SnapshotFolder, SnapshotStore
from tallystick.ordering.cometbft.validators import ValidatorSource
from tallystick.ordering.fairness import Share

__all__ = [
    "AbciServer",
    "Admission",
    "Application",
    "Committed",
    "Distributed",
    "EngineRpc",
    "HeaderSealer",
    "LedgerApplication",
    "Misbehaviour",
    "Sealed",
    "Share",
    "SnapshotExchange",
    "SnapshotFolder",
    "SnapshotStore",
    "ValidatorSource",
]
