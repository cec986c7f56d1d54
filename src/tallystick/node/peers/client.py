"""Talking to another organisation's node: one session each, its key checked in the handshake, answers bounded.

What goes wrong has a name (see `failures`). Nothing is repeated here: whether the same may be sent again is for the
caller to say.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import aiohttp
import msgspec

from tallystick.codec import MalformedError, decode_json, encode_json
from tallystick.codec.cards import SignedCard
from tallystick.dataplane.certificates import PinCheck, TlsIdentity, UnexpectedPinError, wrong_peer
from tallystick.dataplane.refusals import printable_line
from tallystick.errors import NodeError
from tallystick.node.peers.failures import PeerUnreachableError, odd_answer, rebuild_refusal
from tallystick.node.peers.messages import (
    MAX_ENGINE_BYTES,
    MAX_FORKS_BYTES,
    MAX_HEAD_BYTES,
    MAX_NOTES_BYTES,
    MAX_ONE_BLOCK_BYTES,
    MAX_TRANSACTIONS_BYTES,
    PREFIX,
    EngineHeights,
    EngineSpan,
    EngineTold,
    Head,
    HeaderSigned,
    HeaderSigneds,
    OpenAnswer,
    OpenRequest,
    SignedBlock,
    application_decoder,
    decode_blocks,
    decode_list,
    encode_block,
    encode_list,
    head_decoder,
    opened_decoder,
    signed_decoder,
    span_decoder,
    status_decoder,
    told_decoder,
)
from tallystick.ordering.snapshots import MAX_CHUNK_BYTES, MAX_DESCRIPTION_BYTES

JSON_TYPE = "application/json"
MSGPACK_TYPE = "application/x-msgpack"
ORGANISATION_HEADER = "Tally-Organisation"
CONNECT_SECONDS = 10.0
CALL_SECONDS = 30.0
SUBMIT_SECONDS = 60.0
_SMALL = 16_384
_MAX_ZONE_BYTES = 80 << 20

T = TypeVar("T")


class PeerClient:
    """The node of one organisation."""

    def __init__(self, identity: TlsIdentity, expected: PinCheck, *, address: str, name: str, myself: str = "") -> None:
        """Prepare; nothing connects yet. Must be made in a running event loop.

        Args:
            identity: this node's.
            expected: whether a pin is one that the other side may have.
            address: `host:port`.
            name: whose node it is, for messages.
            myself: this node's organisation.
        """
        self.address = address
        self.name = name
        self._base = f"https://{address}{PREFIX}"
        headers = {ORGANISATION_HEADER: myself} if myself else {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=identity.client_context(expected), limit=16),
            timeout=aiohttp.ClientTimeout(total=None),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            headers=headers,
            read_bufsize=1 << 18,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    # --- before joining ----------------------------------------------------------------------------------------------

    async def zone(self) -> tuple[bytes, bytes]:
        """Return the bytes of the genesis and of the trust file, as the node gives them."""
        value = await self._json("GET", "/zone", most=_MAX_ZONE_BYTES)
        try:
            return bytes.fromhex(value["genesis"]), encode_json(value["trust"])
        except (KeyError, TypeError, ValueError):
            raise odd_answer(self.name, "no zone") from None

    async def apply(self, card: SignedCard) -> str:
        """Send an application; return the fingerprint that the node computed of it."""
        data = await self._call("POST", "/applications", body=encode_json(card))
        return self._decoded(application_decoder.decode, data).fingerprint

    async def application_status(self, fingerprint: str) -> str:
        """Return waiting, admitted or refused."""
        data = await self._call("GET", f"/applications/{fingerprint}")
        return self._decoded(status_decoder.decode, data).status

    # --- the history -------------------------------------------------------------------------------------------------

    async def head(self, *, after: int | None = None, wait_s: int = 0) -> Head:
        """Return what the node knows of the top of the history.

        Args:
            after: wait for a checkpoint of a larger size than this.
            wait_s: at most so long.
        """
        query = {} if after is None else {"after": str(after), "wait": str(wait_s)}
        data = await self._call("GET", "/head", query=query, most=MAX_HEAD_BYTES, seconds=CALL_SECONDS + wait_s)
        return self._decoded(head_decoder.decode, data)

    async def exchange(self, mine: Head) -> Head:
        """Send what this node knows of the top of the history; return what the other knows after it took that."""
        data = await self._call("POST", "/cosignatures", body=encode_json(mine), most=MAX_HEAD_BYTES)
        return self._decoded(head_decoder.decode, data)

    async def blocks(self, start: int, *, limit: int = 1_000, wait_s: int = 0) -> list[SignedBlock]:
        """Return blocks from a height on, as many as fit in a response; none after waiting in vain.

        Args:
            start: height of the first.
            limit: at most so many.
            wait_s: how long the node may wait for the first.
        """
        data = await self._call(
            "GET",
            "/blocks",
            query={"from": str(start), "limit": str(limit), "wait": str(wait_s)},
            most=MAX_ONE_BLOCK_BYTES,
            seconds=CALL_SECONDS + wait_s,
        )
        return self._decoded(decode_blocks, data)

    async def snapshot(self, *, wait_s: int = 0) -> bytes:
        """Return the description of a snapshot that the node has, or takes now; whoever gets it judges it.

        Args:
            wait_s: how long the node may wait for it.

        Raises:
            PeerBusyError: it is being taken; ask again.
        """
        query = {"wait": str(wait_s)}
        seconds = CALL_SECONDS + wait_s
        return await self._call("GET", "/snapshot", query=query, most=MAX_DESCRIPTION_BYTES, seconds=seconds)

    async def snapshot_chunk(self, height: int, index: int) -> bytes:
        """Return one chunk of a snapshot."""
        return await self._call("GET", f"/snapshot/{height}/{index}", most=MAX_CHUNK_BYTES)

    async def give_blocks(self, blocks: Iterable[SignedBlock]) -> int:
        """Give blocks to a restored orderer; return its height after it."""
        body = b"".join(encode_block(*block) for block in blocks)
        value = self._object(await self._call("POST", "/blocks", body=body, kind=MSGPACK_TYPE))
        height = value.get("height")
        if not isinstance(height, int):
            raise odd_answer(self.name, "no height")
        return height

    async def header_signatures(self, first: int) -> tuple[HeaderSigned, ...]:
        """Return the signatures that the node has of headers from a height on."""
        data = await self._call("GET", "/header-signatures", query={"from": str(first)}, most=MAX_HEAD_BYTES)
        return self._decoded(signed_decoder.decode, data).signatures

    async def give_header_signatures(self, signatures: tuple[HeaderSigned, ...]) -> None:
        """Give signatures of headers to the node."""
        await self._call("POST", "/header-signatures", body=encode_json(HeaderSigneds(signatures=signatures)))

    async def engine_span(self) -> EngineSpan:
        """Return which blocks of its own the node's engine has."""
        return self._decoded(span_decoder.decode, await self._call("GET", "/engine"))

    async def engine_beginning(self, height: int) -> EngineTold:
        """Return what a new engine needs to begin behind a block; the node offers it to the engine from now on."""
        body = encode_json(EngineHeights(height=height))
        data = await self._call("POST", "/engine/beginnings", body=body, most=MAX_ENGINE_BYTES)
        return self._decoded(told_decoder.decode, data)

    async def submit(self, transactions: Sequence[bytes]) -> list[dict[str, Any]]:
        """Submit signed transactions to the orderer's node; return what it says became of each."""
        data = await self._call(
            "POST",
            "/transactions",
            body=encode_list(transactions),
            kind=MSGPACK_TYPE,
            most=MAX_TRANSACTIONS_BYTES,
            seconds=SUBMIT_SECONDS,
        )
        try:
            answers = msgspec.msgpack.decode(data, type=list[dict[str, Any]])
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise odd_answer(self.name, "no list of results") from None
        if len(answers) != len(transactions):
            raise odd_answer(self.name, "another number of results than of transactions")
        return answers

    # --- fork proofs -------------------------------------------------------------------------------------------------

    async def forks(self) -> list[bytes]:
        """Return the fork proofs that the node keeps."""
        data = await self._call("GET", "/forks", most=MAX_FORKS_BYTES)
        return self._decoded(lambda raw: decode_list(raw, 1_000), data)

    async def give_forks(self, proofs: Iterable[bytes]) -> None:
        """Give fork proofs to the node."""
        await self._call("POST", "/forks", body=encode_list(proofs), kind=MSGPACK_TYPE)

    # --- notes and deliveries ----------------------------------------------------------------------------------------

    async def send_note(self, note: bytes) -> None:
        """Give the node a sealed note."""
        await self._call("POST", "/notes", body=note, kind="application/octet-stream")

    async def notes(self) -> list[bytes]:
        """Return the sealed notes that wait there for this organisation."""
        data = await self._call("GET", "/notes", most=MAX_NOTES_BYTES * 2)
        return self._decoded(lambda raw: decode_list(raw, 10_000), data)

    async def acknowledge_note(self, identifier: str) -> None:
        """Tell the node that this one has a note; it forgets it."""
        await self._call("DELETE", f"/notes/{identifier}")

    async def open_delivery(self, agreement: str) -> OpenAnswer:
        """Ask the node to open a delivery."""
        body = encode_json(OpenRequest(agreement=agreement))
        data = await self._call("POST", "/deliveries", body=body, most=1 << 17, seconds=SUBMIT_SECONDS)
        return self._decoded(opened_decoder.decode, data)

    # --- one call ----------------------------------------------------------------------------------------------------

    async def _json(self, method: str, path: str, *, most: int) -> dict[str, Any]:
        return self._object(await self._call(method, path, most=most))

    def _object(self, data: bytes) -> dict[str, Any]:
        value = self._decoded(decode_json, data)
        if not isinstance(value, dict):
            raise odd_answer(self.name, "something else than an object")
        return value

    def _decoded(self, decode: Callable[[bytes], T], data: bytes) -> T:
        try:
            return decode(data)
        except MalformedError as error:
            raise odd_answer(self.name, f"what is malformed: {error.reason}") from None

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        kind: str = JSON_TYPE,
        query: dict[str, str] | None = None,
        most: int = _SMALL,
        seconds: float = CALL_SECONDS,
    ) -> bytes:
        """Make one call and return the body of its answer.

        Raises:
            WrongPeerError: the key at the other end is not a registered one; nothing was sent.
            PeerUnreachableError: no answer.
            PeerRefusedError, PeerBusyError, NotOrdererError: the answer is no.
            PeerAnswerError: the answer is not one.
        """
        headers = {} if body is None else {"Content-Type": kind}
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=CONNECT_SECONDS)
        try:
            async with self._session.request(
                method,
                self._base + path,
                data=body,
                params=query,
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                data = await _read(response, most if response.status < 300 else _SMALL)
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            raise self._failure(error) from None
        if data is None:
            raise odd_answer(self.name, "more than it may")
        if not 200 <= status < 300:
            raise rebuild_refusal(self.name, status, data)
        return data

    def _failure(self, error: BaseException) -> NodeError:
        if _is_wrong_pin(error):
            return wrong_peer(self.address)
        reason = "it does not answer in time" if isinstance(error, TimeoutError) else printable_line(error)
        gone = PeerUnreachableError(
            f"the node of {self.name} at {self.address} cannot be reached: {reason or type(error).__name__}",
            remedy="Check the address and that its node runs; this node tries again by itself.",
        )
        gone.sent = not isinstance(error, aiohttp.ClientConnectorError)
        return gone


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes | None:
    """Return a body of at most `most` bytes, or None where it is longer."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    parts, got = [], 0
    async for piece in response.content.iter_any():
        got += len(piece)
        if got > most:
            return None
        parts.append(piece)
    return b"".join(parts)


def _is_wrong_pin(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        found = (seen, *seen.args, getattr(seen, "certificate_error", None), getattr(seen, "os_error", None))
        if any(isinstance(each, (UnexpectedPinError, ssl.SSLCertVerificationError)) for each in found):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
