"""Clients of a real zone that treat parts of its ledger as registers, and write down what they asked and what they saw.

    name of an organisation    written by `rename_organisation`; read from a node's own copy
    latest evidence of a chain swapped by `supersede_evidence`, which is refused unless the replaced one is the latest;
                               read as a record with its proof

Any node takes a transaction of any organisation that has signed it; so every client writes every register, each time at
another node. A read that is to be linearizable first records something at the node and waits until that is acknowledged.
"""

from __future__ import annotations

import random
import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import httpx

from tallystick.keys import OpenKeys
from tallystick.machine import Message
from tallystick.modules import rulebook
from tallystick.modules.evidence.ops import RecordEvidence, SupersedeEvidence
from tallystick.modules.evidence.rejections import ALREADY_SUPERSEDED
from tallystick.modules.organisations.ops import RenameOrganisation
from tallystick.node.operator_key import OperatorFile
from tallystick.store import LedgerStore
from tests.support.linearizable import UNKNOWN, Operation
from tests.support.networks import NetworkNode
from tests.support.submitting import Author

CHAIN = "chain"
_PATIENCE_SECONDS = 6.0
# Operations in one transaction; a zone takes 1,000.
_AT_ONCE = 500


class Seen(NamedTuple):
    """What one node showed or acknowledged of a register.

    Attributes:
        node: which.
        register: an organisation, by its name.
        called: when it was asked.
        returned: when it answered.
        value: that it showed, or acknowledged to be written.
    """

    node: str
    register: str
    called: float
    returned: float
    value: str


class NoAnswerError(Exception):
    """A node gave no answer in time: whether it did what it was asked is not known."""


class Stage:
    """The registers of a zone, and who may write them.

    Attributes:
        names: organisations whose names are registers.
        identifiers: of the evidence that the chain is made of; the first is its first value.
        unused: of those, which no client has tried to add yet.
    """

    def __init__(self, nodes: Sequence[NetworkNode], links: int) -> None:
        """Record the evidence that the chain will be made of.

        Args:
            nodes: all of the zone.
            links: how many swaps may be tried.
        """
        self.nodes = nodes
        self.keys: dict[str, OpenKeys] = {node.organisation: node.keys() for node in nodes}
        self.authors = {node.organisation: Author(node.home, self.keys[node.organisation]) for node in nodes}
        self.names = [nodes[0].organisation, nodes[1].organisation]
        self.owner = nodes[0].organisation
        self._lock = threading.Lock()
        operations = [RecordEvidence(root=secrets.token_hex(32), count=1) for _ in range(links + 1)]
        self.identifiers = self._record(nodes[0], operations)
        self.unused = self.identifiers[1:]

    def _record(self, node: NetworkNode, operations: Sequence[Message]) -> list[str]:
        with Door(node) as door:
            author = self.authors[self.owner]
            for at in range(0, len(operations), _AT_ONCE):
                assert door.submit(author, author.sign(*operations[at : at + _AT_ONCE]), 60.0) == 0
        store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
        wanted = {operation.root for operation in operations if isinstance(operation, RecordEvidence)}
        found = [str(key) for key, root in store.query("SELECT key, root FROM evidence") if root in wanted]
        store.close()
        assert len(found) == len(operations)
        return found

    def next_link(self) -> str:
        """Return evidence that no client has tried to add to the chain."""
        with self._lock:
            return self.unused.pop()

    def first_values(self) -> list[Operation]:
        """Return writes of what the registers held before any client began."""
        held = {name: name.replace("-", " ").title() for name in self.names} | {CHAIN: self.identifiers[0]}
        return [Operation(name, "write", -2.0, -1.0, value=value, result=True) for name, value in held.items()]


class Door:
    """A node's API as a client uses it that gives up after some seconds.

    Attributes:
        node: whose.
        acknowledged: (height, leaf) of what it said to be recorded, by transaction.
    """

    def __init__(self, node: NetworkNode) -> None:
        self.node = node
        self.acknowledged: dict[str, tuple[int, int]] = {}
        self._http: httpx.Client | None = None

    def __enter__(self) -> Door:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the connection go; the next request opens another, with the key that the node has then."""
        if self._http is not None:
            self._http.close()
            self._http = None

    def _send(self, method: str, path: str, seconds: float, **options: Any) -> httpx.Response | None:
        """Return an answer; None where the node gave none, or one that asks for patience."""
        try:
            if self._http is None:
                operator: OperatorFile = self.node.operator()
                headers = {"Authorization": f"Bearer {operator.key}", "Content-Type": "application/cbor"}
                self._http = httpx.Client(base_url=operator.url, headers=headers, trust_env=False)
            answer = self._http.request(method, path, timeout=max(0.1, seconds), **options)
        except (OSError, ValueError, httpx.TransportError):
            self.close()
            return None
        if answer.status_code == 401:
            self.close()
            return None
        return None if answer.status_code in (429, 503, 504) else answer

    def submit(self, author: Author, raw: bytes, seconds: float) -> Any:
        """Send a transaction until it is known what became of it.

        Returns:
            The code of the first operation that was refused, 0 where none was; UNKNOWN where it is on the ledger and no
            more is known.

        Raises:
            NoAnswerError: nothing is known.
            AssertionError: it was refused as no fault explains.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            answer = self._send("POST", "/v1/transactions", left, content=raw)
            if answer is None:
                time.sleep(0.05)
                continue
            body = answer.json()
            if answer.status_code == 200:
                self.acknowledged[body["id"]] = (body["height"], body["first_leaf"])
                return next((each["code"] for each in body["outcomes"] if each["code"]), 0)
            assert body.get("name") == "repeated", (answer.status_code, body)
            found = self._send("GET", f"/v1/operations/{author.identify(raw)}/0", left)
            return UNKNOWN if found is None or found.status_code != 200 else found.json()["outcome"]
        raise NoAnswerError

    def get(self, path: str, seconds: float) -> Any:
        """Return what an address answers.

        Raises:
            NoAnswerError: it does not.
        """
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            answer = self._send("GET", path, left)
            if answer is not None:
                assert answer.status_code == 200, (path, answer.status_code, answer.text)
                return answer.json()
            time.sleep(0.05)
        raise NoAnswerError


class RegisterClient(threading.Thread):
    """Writes, swaps and reads, one after the other, at nodes and registers drawn by chance.

    Attributes:
        history: what it asked and saw, for the judge.
        seen: what nodes showed and acknowledged of the registers that are names.
        written: transaction by value written.
        failed: what no fault explains, or None.
    """

    def __init__(self, stage: Stage, number: int, seed: int) -> None:
        super().__init__(daemon=True)
        self._stage = stage
        self._name = f"client {number}"
        self._chance = random.Random(seed)
        self._doors = [Door(node) for node in stage.nodes]
        self._count = 0
        self._known_link = stage.identifiers[0]
        self.history: list[Operation] = []
        self.seen: list[Seen] = []
        self.written: dict[str, str] = {}
        self.failed: BaseException | None = None
        self.ended = threading.Event()

    @property
    def acknowledged(self) -> dict[str, tuple[int, int]]:
        """(height, leaf) of what any node said to be recorded, by transaction."""
        return {name: place for door in self._doors for name, place in door.acknowledged.items()}

    def run(self) -> None:
        """Go on until told to end."""
        actions = (self._write, self._write, self._swap, self._read_name, self._read_link, self._look, self._look)
        try:
            while not self.ended.is_set():
                self._chance.choice(actions)(self._chance.choice(self._doors))
        except Exception as error:
            self.failed = error
        finally:
            for door in self._doors:
                door.close()

    def _note(self, register: str, kind: Any, called: float, answered: bool, **what: Any) -> float:
        returned = time.monotonic()
        ended = returned if answered else None
        self.history.append(Operation(register, kind, called, ended, process=self._name, **what))
        return returned

    def _write(self, door: Door) -> None:
        register = self._chance.choice(self._stage.names)
        self._count += 1
        value = f"{self._name} wrote {self._count}"
        author = self._stage.authors[register]
        raw = author.sign(RenameOrganisation(name=value), role="registration")
        self.written[value] = author.identify(raw)
        called = time.monotonic()
        try:
            outcome = door.submit(author, raw, _PATIENCE_SECONDS)
        except NoAnswerError:
            self._note(register, "write", called, False, value=value)
            return
        assert outcome in (0, UNKNOWN), outcome
        returned = self._note(register, "write", called, True, value=value, result=True)
        self.seen.append(Seen(door.node.organisation, register, called, returned, value))

    def _swap(self, door: Door) -> None:
        expected, value = self._known_link, self._stage.next_link()
        author = self._stage.authors[self._stage.owner]
        raw = author.sign(SupersedeEvidence(evidence=expected, by=value))
        what = {"value": value, "expected": expected}
        called = time.monotonic()
        try:
            outcome = door.submit(author, raw, _PATIENCE_SECONDS)
        except NoAnswerError:
            self._note(CHAIN, "swap", called, False, **what)
            return
        assert outcome in (0, ALREADY_SUPERSEDED.code, UNKNOWN), outcome
        result = outcome if outcome is UNKNOWN else outcome == 0
        self._note(CHAIN, "swap", called, True, **what, result=result)
        if result is True:
            self._known_link = value

    def _record_something(self, door: Door) -> None:
        """Make the node's copy at least as new as this moment; see docs/design/consistency.md.

        Raises:
            NoAnswerError: it did not become so in time.
        """
        author = self._stage.authors[door.node.organisation]
        raw = author.sign(RecordEvidence(root=secrets.token_hex(32), count=1))
        door.submit(author, raw, _PATIENCE_SECONDS)

    def _read_name(self, door: Door) -> None:
        register = self._chance.choice(self._stage.names)
        called = time.monotonic()
        try:
            self._record_something(door)
            value = self._look_at(door, register)
        except NoAnswerError:
            return
        self._note(register, "read", called, True, result=value)

    def _read_link(self, door: Door) -> None:
        called = time.monotonic()
        try:
            self._record_something(door)
            link = self._known_link
            while record := door.get(f"/v1/records/supersessions/{link}", _PATIENCE_SECONDS)["value"]:
                link = record["by"]
        except NoAnswerError:
            return
        self._known_link = link
        self._note(CHAIN, "read", called, True, result=link)

    def _look(self, door: Door) -> None:
        try:
            self._look_at(door, self._chance.choice(self._stage.names))
        except NoAnswerError:
            return

    def _look_at(self, door: Door, register: str) -> str:
        """Read a node's own copy, whatever its age."""
        called = time.monotonic()
        value: str = door.get(f"/v1/organisations/{register}", _PATIENCE_SECONDS)["name"]
        self.seen.append(Seen(door.node.organisation, register, called, time.monotonic(), value))
        return value


def places_of(written: Mapping[str, str], node: NetworkNode) -> dict[str, int]:
    """Return the place in the history of each value that reached it.

    Args:
        written: transaction by value.
        node: whose copy is asked.
    """
    store = LedgerStore(node.home.ledger_path, rulebook(), read_only=True)
    found = {value: store.find_transaction(bytes.fromhex(identifier)) for value, identifier in written.items()}
    store.close()
    return {value: place[1] for value, place in found.items() if place is not None and place[1] is not None}


def steps_back(seen: Sequence[Seen], places: Mapping[str, int]) -> list[tuple[Seen, Seen]]:
    """Return pairs of which a node first showed or acknowledged the newer value and later, asked again, an older one.

    Args:
        seen: what nodes showed and acknowledged.
        places: of values in the history; a value that is not there was there before all of it.
    """
    found = []
    for later in seen:
        place = places.get(later.value, -1)
        for earlier in seen:
            same = (earlier.node, earlier.register) == (later.node, later.register)
            if same and earlier.returned < later.called and places.get(earlier.value, -1) > place:
                found.append((earlier, later))
    return found
