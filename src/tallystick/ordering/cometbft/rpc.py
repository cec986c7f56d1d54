"""Asking the engine that this node supervises, over a unix socket in its home: sending transactions, looking how it is.

Nobody else can reach that socket, and nothing that the zone relies on is taken from it.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import msgspec

from tallystick.errors import PeerError

TIMEOUT_SECONDS = 30.0
# How many calls, and of how many bytes of transactions, go into one request.
MAX_BATCH = 100
MAX_BATCH_BYTES = 4 << 20
# What the engine's section `rpc` must say for such requests: its own defaults are 10 and a million.
RPC_SETTINGS = {"max_request_batch_size": MAX_BATCH, "max_body_bytes": 2 * MAX_BATCH_BYTES}
_RESTART = "See with `tally node status` whether the engine runs; its log says why not."
_decoder = msgspec.json.Decoder()


class Admitted(NamedTuple):
    """What became of a transaction that was sent.

    Attributes:
        code: 0 where the mempool has it.
        codespace: whose code it is; `engine` where the engine itself refused.
        log: why not.
    """

    code: int
    codespace: str
    log: str


class EngineStatus(NamedTuple):
    """How the engine is.

    Attributes:
        height: last block that it knows.
        app_hash: in that block's header, hex.
        catching_up: whether it is still fetching blocks.
        first: first block that it still has.
    """

    height: int
    app_hash: str
    catching_up: bool
    first: int = 0


class EnginePeer(NamedTuple):
    """Another engine that is connected.

    Attributes:
        node: id of its engine, hex, which it has proved.
        name: how it calls itself: its organisation, unless it lies.
    """

    node: str
    name: str


class EngineRpc:
    """A client of one engine."""

    def __init__(self, socket: Path) -> None:
        """Prepare a client.

        Args:
            socket: of the engine's RPC.
        """
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    def open(self) -> None:
        """Open the connections; must be called in a running event loop."""
        connector = aiohttp.UnixConnector(str(self._socket), limit=16)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS), read_bufsize=1 << 18
        )

    async def close(self) -> None:
        """Close them."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, transactions: Sequence[bytes], *, wait: bool = True) -> list[Admitted]:
        """Offer transactions to the mempool, many in a request; return what became of each, in order.

        Admitted is not recorded: the block is. A transaction that is in the mempool already counts as admitted, and the
        `log` then says so.

        Args:
            transactions: their bytes.
            wait: for what the application says of each; without, 0 and no log only say that it will be asked.

        Raises:
            PeerError: the engine does not answer.
        """
        answers: list[Any] = []
        method = "broadcast_tx_sync" if wait else "broadcast_tx_async"
        for batch in _batches(transactions):
            answers += await self._call([(method, {"tx": base64.b64encode(raw).decode()}) for raw in batch])
        return [_admitted(answer) for answer in answers]

    async def status(self) -> EngineStatus:
        """Return how the engine is."""
        sync = (await self._one("status"))["sync_info"]
        return EngineStatus(
            int(sync["latest_block_height"]),
            sync["latest_app_hash"].lower(),
            sync["catching_up"],
            int(sync["earliest_block_height"]),
        )

    async def peers(self) -> list[EnginePeer]:
        """Return the engines that are connected to it."""
        found = (await self._one("net_info"))["peers"]
        return [EnginePeer(peer["node_info"]["id"].lower(), peer["node_info"]["moniker"]) for peer in found]

    async def mempool(self) -> tuple[int, int]:
        """Return how many pieces are in its mempool, and of how many bytes."""
        found = await self._one("num_unconfirmed_txs")
        return int(found["n_txs"]), int(found["total_bytes"])

    async def light_block(self, height: int) -> tuple[bytes, bytes]:
        """Return what a light client asks of a height: the signed header, and the validators with their turns, as JSON."""
        commit = await self._one("commit", height=str(height))
        validators = await self._one("validators", height=str(height), page="1", per_page="100")
        return msgspec.json.encode(commit), msgspec.json.encode(validators)

    async def parameters(self, height: int) -> bytes:
        """Return what the engines have agreed on for a height: sizes, and how long evidence counts, as JSON."""
        return msgspec.json.encode(await self._one("consensus_params", height=str(height)))

    async def transactions(self, height: int) -> tuple[bytes, ...]:
        """Return the transactions of a block, as they were decided."""
        block = (await self._one("block", height=str(height)))["block"]
        return tuple(base64.b64decode(raw) for raw in block["data"]["txs"] or ())

    async def _one(self, method: str, **params: str) -> Any:
        answer = (await self._call([(method, params)]))[0]
        if "error" in answer:
            error = answer["error"]
            raise PeerError(f"the engine refuses {method}: {error.get('data') or error['message']}", remedy=_RESTART)
        return answer["result"]

    async def _call(self, calls: Sequence[tuple[str, dict[str, str]]]) -> list[Any]:
        """Make calls in one request; return their answers in order."""
        if self._session is None:
            raise PeerError("the node is not connected to its engine", remedy=_RESTART)
        if not calls:
            return []
        numbers = [next(self._numbers) for _ in calls]
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in zip(numbers, calls, strict=True)
        ]
        try:
            async with self._session.post("http://engine/", data=msgspec.json.encode(body)) as response:
                answers = _decoder.decode(await response.read())
        except (aiohttp.ClientError, OSError, TimeoutError, msgspec.MsgspecError) as error:
            reason = str(error) or type(error).__name__
            raise PeerError(f"the engine does not answer at {self._socket}: {reason}", remedy=_RESTART) from None
        # A lone request in a batch is answered without the brackets.
        found = {answer.get("id"): answer for answer in (answers if isinstance(answers, list) else [answers])}
        if any(number not in found for number in numbers):
            # A request that is refused as a whole is answered once, without a number.
            said = [
                str(item["error"].get("data") or item["error"]["message"]) for item in found.values() if "error" in item
            ]
            raise PeerError(f"the engine at {self._socket} refuses a request: {'; '.join(said)}", remedy=_RESTART)
        return [found[number] for number in numbers]


def _batches(transactions: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Yield transactions in the portions that go into one request."""
    batch: list[bytes] = []
    size = 0
    for raw in transactions:
        if batch and (len(batch) == MAX_BATCH or size + len(raw) > MAX_BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(raw)
        size += len(raw)
    if batch:
        yield batch


def _admitted(answer: dict[str, Any]) -> Admitted:
    error = answer.get("error")
    if error is None:
        result = answer["result"]
        return Admitted(result["code"], result["codespace"], result["log"])
    said = str(error.get("data") or error["message"])
    if "already exists in cache" in said:
        return Admitted(0, "", said)
    return Admitted(1, "engine", said)
