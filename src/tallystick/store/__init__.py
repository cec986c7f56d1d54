"""The ledger's copy on disk: one SQLite file that anyone may read, and the log's tiles beside it.

Rules of this room:

- It is the only room that knows SQL for the ledger, and it decides nothing: it keeps what the machine computed.
- Blocks, transactions, operations, events and records of one block commit in one SQL transaction.
- `ledger.db` holds only what can be replayed from genesis or is signed by somebody.
- `log/` is derived from `ledger.db` and written after it; what is missing there is written again at the next start.
"""

from tallystick.store.database import LedgerStore
from tallystick.store.faults import DamagedError
from tallystick.store.kept import StoredBlock, StoredOperation
from tallystick.store.opening import open_reader
from tallystick.store.schema import FORMAT_VERSION, ledger_tables_reference
from tallystick.store.tilelog import TileLog

__all__ = [
    "FORMAT_VERSION",
    "DamagedError",
    "LedgerStore",
    "StoredBlock",
    "StoredOperation",
    "TileLog",
    "ledger_tables_reference",
    "open_reader",
]
