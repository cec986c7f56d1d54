"""A node behind an HTTP transport, over a real ledger: everything it says is true until a test makes it lie.

The ledger is a `RecordedZone`, its views are made by the node's own code; only the network is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
from msgspec.structs import replace

from tallystick.codec import decode_json
from tallystick.dataplane import take_fingerprint
from tallystick.ledger import Ledger, NotYetWitnessedError
from tallystick.merkle import TileReader, consistency_path, state_key
from tallystick.modules.deliveries.ops import RecordDeliveryReceived
from tallystick.modules.organisations.queries import find_engine, find_organisation, get_zone, keys_of
from tallystick.modules.organisations.records import Engine
from tallystick.office.commitments import commitments_in
from tallystick.office.describing import agreement_view, dataset_view, delivery_view, request_view
from tallystick.proofs import Cosignature, build_record_proof, decode_header, sign_header
from tallystick.sdk import Zone, connect
from tallystick.store import TileLog
from tallystick.views import (
    ConsistencyProof,
    Contents,
    DeliveredFile,
    EngineView,
    FetchedDelivery,
    Job,
    MemberKey,
    MemberView,
    PrivateValues,
    Problem,
    Status,
)
from tests.support.market import DATASET, agree, content, offer, send
from tests.support.recorded import RecordedZone
from tests.support.zones import HOSPITAL, UNIVERSITY

URL = "http://127.0.0.1:7070"
KEY = "tally_test"
Lie = Callable[[Any], Any]


def refusal(status: int, error: str, message: str = "no") -> httpx.Response:
    """Return a refusal as a node gives it."""
    problem = Problem(error=error, message=message, remedy="Do something else.")
    headers = {"Retry-After": "1"} if status == 503 else {}
    return httpx.Response(status, content=msgspec.json.encode(problem), headers=headers)


class SimulatedNode:
    """A node of an organisation, by default the university's, which asks and receives.

    Attributes:
        zone: what it has recorded.
        lies: by path, what is done to the JSON of an answer; or to the bytes of a file.
        answers: by method and path, answers that are given instead, one after the other.
        asked: every request that came, as (method, path).
        data: what the deliveries carry: a file or folder.
    """

    def __init__(self, zone: RecordedZone, organisation: str = UNIVERSITY, *, data: Path | None = None) -> None:
        self.zone = zone
        self.organisation = organisation
        self.data = data
        self.salt = ""
        self.lies: dict[str, Lie] = {}
        self.answers: dict[tuple[str, str], list[httpx.Response]] = {}
        self.asked: list[tuple[str, str]] = []
        self.slept: list[float] = []
        self.header: dict[str, Any] = {}

    # --- the client's side -------------------------------------------------------------------------------------------

    def connect(self, **options: Any) -> Zone:
        """Return a client of this node that knows the zone's trust file; it does not really sleep."""
        options = {"trust": self.trust_bytes(), "transport": self.transport()} | options
        zone = connect(URL, KEY, clock_ms=lambda: self.zone.time, **options)
        zone._connection.sleep = self.slept.append
        return zone

    def transport(self) -> httpx.MockTransport:
        """Return what stands for the network."""
        return httpx.MockTransport(self._serve)

    def trust_bytes(self) -> bytes:
        """Return `zone.json`."""
        return (self.zone.folder / "zone.json").read_bytes()

    def lie(self, path: str, change: Lie) -> None:
        """Change what is answered at a path from now on."""
        self.lies[path] = change

    # --- the node's side ---------------------------------------------------------------------------------------------

    def _serve(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.asked.append((request.method, path))
        given = self.answers.get((request.method, path))
        if given:
            return given.pop(0)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return refusal(401, "api_key_refused")
        try:
            answer = self._answer(request, path)
        except NotYetWitnessedError as error:
            return refusal(503, "notyetwitnessed", error.message)
        if isinstance(answer, httpx.Response):
            return answer
        if answer is None:
            return refusal(404, "not_found", f"there is nothing at {path}")
        data = answer if isinstance(answer, bytes) else msgspec.json.encode(answer)
        change = self.lies.get(path)
        if change is not None:
            if path.endswith("/content"):
                data = change(data)
            else:
                data = msgspec.json.encode(change(msgspec.json.decode(data)), order="sorted")
        return httpx.Response(200, content=data)

    def _answer(self, request: httpx.Request, path: str) -> Any:
        query = request.url.params
        parts = path.split("/")[2:]
        if parts == ["zone"]:
            return self.trust_bytes()
        if parts == ["status"]:
            return self._status()
        if parts == ["consistency"]:
            return self.consistency(int(query["first"]), int(query["second"]))
        if parts[0] == "records":
            return self.prove(parts[1], "/".join(parts[2:]))
        if parts[0] == "receipts":
            ledger = self.ledger()
            return ledger.receipt(ledger.leaf_of(parts[1], int(query.get("index", 0))))
        if parts[0] == "jobs" or (request.method == "POST" and parts == ["deliveries"]):
            return Job(id="job-1", what="fetch", state="done", result=self._fetched())
        if parts[0] == "deliveries" and parts[2:] == ["files"]:
            return self._contents(parts[1])
        if parts[0] == "deliveries" and parts[2:] == ["content"]:
            return self._content(query["file"], request)
        return self._view(parts)

    def _status(self) -> Status:
        last = self.zone.store.last_block()
        assert last is not None
        return Status(
            organisation=self.organisation,
            role="replica",
            height=last.height,
            time=last.time,
            size=last.size,
            root=last.history_root.hex(),
            witnessed=last.size,
            trust_version=1,
            chain=self.zone.chain,
            copy_height=last.height,
            lag=0,
            version="0",
            key="key-1",
            roles=("service",),
        )

    def _view(self, parts: list[str]) -> Any:
        state, me, now = self.zone.state, self.organisation, self.zone.time
        kind, name = parts[0], "/".join(parts[1:])
        if kind == "datasets":
            found = state.find(_collection("datasets"), name)
            return found and dataset_view(state, found, me, all_versions=True)
        private = tuple(
            PrivateValues(about=each.about, author=each.author, commitment=each.value, status="waiting")
            for each in commitments_in(state, f"{kind}/{name}") or ()
        )
        if kind == "requests":
            found = state.find(_collection("requests"), name)
            return found and request_view(state, name, found, me, now, private=private)
        if kind == "agreements":
            found = state.find(_collection("agreements"), name)
            return found and agreement_view(state, name, found, now, private=private)
        if kind == "deliveries":
            found = state.find(_collection("deliveries"), name)
            return found and delivery_view(name, found, me, None, private=private)
        if kind == "organisations":
            return self._member(name)
        return None

    def _member(self, name: str) -> MemberView | None:
        state = self.zone.state
        record = find_organisation(state, name)
        if record is None:
            return None
        zone = get_zone(state)
        return MemberView(
            id=name,
            name=record.name,
            status=record.status,
            address=record.address,
            orders=name == zone.orderer,
            validates=name in zone.validators,
            encryption=record.encryption,
            tls_pins=record.tls_pins,
            admitted_at=record.admitted_at,
            suspended_at=record.suspended_at,
            keys=tuple(
                MemberKey(key=key, roles=each.roles, added_at=each.added_at, held_here=False)
                for key, each in keys_of(state, name)
            ),
            mine=name == self.organisation,
            engine=_engine_view(find_engine(state, name)),
        )

    # --- proofs ------------------------------------------------------------------------------------------------------

    def ledger(self) -> Ledger:
        """Return the door of the node to its copy."""
        return Ledger(
            self.zone.store,
            None,  # type: ignore[arg-type] # nothing is submitted
            organisation=self.organisation,
            signer=self.zone.system,
            tiles=TileLog(self.zone.folder / "log").read,
            trust=lambda: self.zone._trust.trust,
            clock_ms=lambda: self.zone.time,
        )

    def prove(self, collection: str, key: str) -> bytes:
        """Return the proof of a record under the last header; `header` changes that, signed again by who orders."""
        store, tree = self.zone.store, self.zone.ledger.tree
        last = store.last_block()
        assert last is not None
        value = store.read(collection, key)
        places = {state_key(c, k): raw for (c, k), raw in self.zone.reader.records.items()}
        proof = tree.proof(state_key(collection, key), lambda place: _sha256(places[place]))
        version = self.zone._trust.trust.version_at(last.size)
        header = replace(decode_header(last.header), **self.header)
        return build_record_proof(
            collection=collection,
            key=key,
            value=None if value is None else decode_json(value),
            proof=proof,
            state_root=last.state_root,
            history_root=last.history_root,
            size=last.size,
            header=header,
            header_signatures=[sign_header(header, name, self.zone.system(name)) for name in self.zone.ordering],
            cosignatures=[
                Cosignature(organisation=name, signature=signature.hex(), time=time_s)
                for name, time_s, signature in store.cosignatures(last.size)
                if name in version.members and name not in version.validators
            ],
        )

    def consistency(self, first: int, second: int) -> Any:
        """Return the proof that one history begins with the other, in this copy."""
        roots = [self.zone.store.history_root(size) for size in (first, second)]
        if first > second or first < 1 or None in roots:
            return refusal(400, "usage", "there is no such history here")
        node = TileReader(TileLog(self.zone.folder / "log").read, second).node
        path = [] if first == second else consistency_path(first, second, node)
        return ConsistencyProof(
            first=first,
            first_root=(roots[0] or b"").hex(),
            second=second,
            second_root=(roots[1] or b"").hex(),
            path=tuple(step.hex() for step in path),
        )

    # --- data --------------------------------------------------------------------------------------------------------

    def _fetched(self) -> Any:
        (name, delivery), *_ = reversed(list(self.zone.state.scan(_collection("deliveries"))))
        return msgspec.to_builtins(
            FetchedDelivery(
                delivery=name,
                agreement=delivery.agreement,
                dataset=delivery.dataset,
                version=delivery.version,
                path=str(self.data),
                files=1,
                bytes=delivery.bytes,
                root=delivery.root,
            )
        )

    def _contents(self, name: str) -> Contents:
        delivery = self.zone.get(_collection("deliveries"), name)
        assert self.data is not None
        single = self.data.is_file()
        files = [self.data] if single else sorted(each for each in self.data.rglob("*") if each.is_file())
        return Contents(
            delivery=name,
            dataset=delivery.dataset,
            version=delivery.version,
            kind="file" if single else "folder",
            name=self.data.name,
            path=str(self.data),
            files=tuple(
                DeliveredFile(
                    path=each.name if single else each.relative_to(self.data).as_posix(), size=each.stat().st_size
                )
                for each in files
            ),
            fingerprint=delivery.fingerprint,
            salt=self.salt,
        )

    def _content(self, file: str, request: httpx.Request) -> Any:
        assert self.data is not None
        data = (self.data if self.data.is_file() else self.data / file).read_bytes()
        start = request.headers.get("range", "").removeprefix("bytes=").removesuffix("-")
        return httpx.Response(206, content=data[int(start) :]) if start else data


def _collection(name: str) -> Any:
    from tallystick.modules.agreements.records import AGREEMENTS, REQUESTS
    from tallystick.modules.catalogue.records import DATASETS
    from tallystick.modules.deliveries.records import DELIVERIES

    return {each.name: each for each in (AGREEMENTS, REQUESTS, DATASETS, DELIVERIES)}[name]


def _sha256(data: bytes) -> bytes:
    from tallystick.codec import sha256

    return sha256(data)


def _engine_view(engine: Engine | None) -> EngineView | None:
    if engine is None:
        return None
    return EngineView(
        consensus=engine.consensus, node=engine.node, address=engine.address, announced_at=engine.announced_at
    )


def a_market(folder: Path, data: Path | None = None) -> tuple[SimulatedNode, dict[str, str]]:
    """Return the university's node in a zone with a dataset, an agreement and a delivery, and their ids.

    Args:
        folder: for the ledger; must not exist.
        data: what the dataset is; without, a fingerprint of nothing.
    """
    zone = RecordedZone(folder)
    zone.run(HOSPITAL, zone.engine(HOSPITAL))
    node = SimulatedNode(zone, data=data)
    changes: dict[str, Any] = {}
    if data is not None:
        found = take_fingerprint(data).fingerprint
        node.salt = found.salt.hex()
        changes = {"fingerprint": found.root.hex(), "size": found.size, "chunks": found.chunks, "files": found.files}
    made = content(**changes)
    offer(zone, version=made)
    agreement = agree(zone)
    delivery = send(zone, agreement, fingerprint=made.fingerprint, bytes=made.size, chunks=made.chunks)
    zone.run(UNIVERSITY, RecordDeliveryReceived(delivery=delivery, root=made.fingerprint))
    zone.publish()
    request = zone.get(_collection("agreements"), agreement).request
    return node, {
        "dataset": DATASET,
        "agreement": agreement,
        "request": request,
        "delivery": delivery,
        "owner": HOSPITAL,
    }
