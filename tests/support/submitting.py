"""A patient client of a node that may die at any moment: it sends the same bytes until it knows what became of them."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Any, Protocol

import httpx
import msgspec

from tallystick.keys import OpenKeys
from tallystick.machine import Message, build_transaction, decode_transaction
from tallystick.merkle import EMPTY_ROOT
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops.record_evidence import RecordEvidence
from tallystick.node.homes import Home
from tallystick.node.operator_key import OperatorFile
from tallystick.store import LedgerStore

EXPIRES_MS = 1_800_000
_CBOR = {"Content-Type": "application/cbor"}


class Node(Protocol):
    """What a submitter needs of a node."""

    home: Home

    @property
    def organisation(self) -> str:
        """Whose node it is."""

    def operator(self) -> OperatorFile:
        """Return address and key of its API."""


class Author:
    """Signs transactions of an organisation that has seen the empty history, as any program with its keys may."""

    def __init__(self, home: Home, keys: OpenKeys) -> None:
        self._organisation = home.settings.node.organisation
        self._keys = keys
        store = LedgerStore(home.ledger_path, rulebook(), read_only=True)
        self._genesis = store.genesis_hash
        store.close()

    def sign(self, *operations: Message, role: str = "service") -> bytes:
        """Return a transaction of these operations, good for half an hour."""
        signer = self._keys.signer(role)
        return build_transaction(
            operations,
            organisation=self._organisation,
            key=signer.public_key,
            sign=signer.sign,
            external_aad=self._genesis,
            expires=time.time_ns() // 1_000_000 + EXPIRES_MS,
            nonce=secrets.token_hex(16),
            seen_size=0,
            seen_root=EMPTY_ROOT,
        )

    def identify(self, raw: bytes) -> str:
        """Return the id of a transaction."""
        return decode_transaction(raw, self._genesis).id.hex()


def open_door(node: Node, seconds: float = 20.0) -> httpx.Client:
    """Return plain HTTP to hand transactions in at a node.

    Raises:
        OSError: the node is not up, and has not said where it listens.
    """
    try:
        operator = node.operator()
    except msgspec.DecodeError as error:
        raise OSError(f"{node.organisation} writes its address just now") from error
    headers = {"Authorization": f"Bearer {operator.key}", **_CBOR}
    return httpx.Client(base_url=operator.url, headers=headers, trust_env=False, timeout=seconds)


class Submitter(threading.Thread):
    """Records one piece of evidence after the other at one node.

    Attributes:
        acknowledged: (height, leaf) of what the node said to be recorded, by transaction id.
        refused: answers that no fault explains.
    """

    def __init__(self, node: Node, keys: OpenKeys) -> None:
        super().__init__(daemon=True)
        self.node = node
        self.acknowledged: dict[str, tuple[int, int]] = {}
        self.refused: list[tuple[int, Any]] = []
        self.ended = threading.Event()
        self._author = Author(node.home, keys)

    def _transaction(self) -> bytes:
        return self._author.sign(RecordEvidence(root=secrets.token_hex(32), count=1))

    def run(self) -> None:
        """Submit until told to end."""
        raw = self._transaction()
        while not self.ended.is_set():
            try:
                with open_door(self.node) as http:
                    while not self.ended.is_set():
                        raw = self._submit(http, raw)
            except (OSError, httpx.TransportError):
                time.sleep(0.05)

    def _submit(self, http: httpx.Client, raw: bytes) -> bytes:
        """Send bytes, and return what is to be sent next."""
        answer = http.post("/v1/transactions", content=raw)
        try:
            body = answer.json()
        except ValueError:
            self.refused.append((answer.status_code, answer.text))
            return raw
        if answer.status_code == 200 and body["outcomes"] == [{"code": 0}]:
            self.acknowledged[body["id"]] = (body["height"], body["first_leaf"])
            return self._transaction()
        if body.get("name") == "repeated":
            # An earlier answer was lost with the process that gave it.
            return self._transaction()
        if answer.status_code == 401:
            raise httpx.TransportError("a restarted node has another operator's key")
        if answer.status_code not in (429, 503, 504):
            self.refused.append((answer.status_code, body))
        time.sleep(0.05)
        return raw

    def end(self) -> None:
        """Stop submitting.

        Raises:
            AssertionError: the node refused something that no fault explains.
        """
        self.ended.set()
        self.join(30)
        assert self.refused == [], self.refused
