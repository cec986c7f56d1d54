"""The composition root: configuration, homes, processes, start and stop.

Rules of this room:

- It wires the other rooms together and decides nothing that they decide.
- The core and the office are processes of their own; only the core writes `ledger.db`.
- Nothing connects, listens or reads configuration at import.
"""
