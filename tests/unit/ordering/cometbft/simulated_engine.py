"""The other side of a validator's core, in memory: one engine with a mempool that decides a block when it is told to.

It speaks what the real one speaks, ABCI over the application's socket and JSON-RPC over its own, and nothing more.
"""

import asyncio
import base64

from aiohttp import web

from tallystick.ordering.cometbft.generated import abci_pb2 as abci
from tallystick.ordering.cometbft.server import frame, take_frame


class SimulatedEngine:
    """One engine.

    Attributes:
        mempool: transactions that were admitted, oldest first.
        refuse: why it takes nothing itself, whatever the application says; None as long as it takes all.
    """

    def __init__(self, rpc, application):
        """Prepare.

        Args:
            rpc: path of its own socket.
            application: path of the application's.
        """
        self.rpc, self.application = rpc, application
        self.mempool = []
        self.refuse = None
        self.height = 0

    async def start(self):
        """Connect to the application and listen."""
        self.reader, self.writer = await asyncio.open_unix_connection(str(self.application))
        app = web.Application()
        app.router.add_post("/", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        self.rpc.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(self.rpc)).start()
        self.height = (await self.ask(info=abci.RequestInfo())).info.last_block_height

    async def stop(self):
        """Be gone; the mempool with it."""
        await self._runner.cleanup()
        self.writer.close()
        self.mempool.clear()

    async def ask(self, **request):
        """Return the application's answer to one request."""
        self.writer.write(frame(abci.Request(**request)))
        buffer = bytearray()
        while (taken := take_frame(buffer, 0)) is None:
            buffer += await self.reader.read(1 << 16)
        return abci.Response.FromString(taken[0])

    async def decide(self, time, *more):
        """Make a block of what waits, and of other transactions, and return the results."""
        transactions = [*self.mempool, *more]
        self.mempool.clear()
        self.height += 1
        request = abci.RequestFinalizeBlock(txs=transactions, height=self.height)
        request.time.FromMilliseconds(time)
        answer = await self.ask(finalize_block=request)
        await self.ask(commit=abci.RequestCommit())
        return list(answer.finalize_block.tx_results)

    async def _answer(self, request):
        calls = await request.json()
        return web.json_response([await self._broadcast(call) for call in calls])

    async def _broadcast(self, call):
        assert "broadcast_tx_async" == call["method"]
        raw = base64.b64decode(call["params"]["tx"])
        head = {"jsonrpc": "2.0", "id": call["id"]}
        said = self.refuse or ("tx already exists in cache" if raw in self.mempool else None)
        if said is not None:
            return {**head, "error": {"code": -32603, "message": "Internal error", "data": said}}
        checked = (await self.ask(check_tx=abci.RequestCheckTx(tx=raw))).check_tx
        if checked.code == 0:
            self.mempool.append(raw)
        # What the application said is not in the answer: the real engine gives it before it asks.
        return {**head, "result": {"code": 0, "codespace": "", "log": ""}}
