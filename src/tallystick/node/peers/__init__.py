"""Between organisations' nodes: blocks, signatures, transactions, notes and deliveries over mutual TLS with pinned keys.

Rules of this room:

- A peer is the organisation that has registered the TLS key it proves to hold, in this node's own copy of the ledger.
  Addresses and names in certificates mean nothing.
- Nothing is believed because of who brought it: blocks, checkpoints and signatures go to the core, which checks them.
- A source that brings what does not verify is left for another; only what the orderer itself signed raises the alarm.
- Cosignatures travel directly between the nodes. A node that nobody can connect to makes all connections itself.
- What others send is bounded in size, time and number, and is answered by a JSON error with a remedy, never more.
"""
