"""What the engine's light client asks, answered by this node itself from what other members' nodes told.

The engine asks servers over the web for headers, validators and parameters when it begins in the middle. It knows no
mutual TLS and no members; so this node asks for it, and answers at unix sockets in its home. Each socket tells what
another member told, where there are two, and the engine compares them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from aiohttp import web

from tallystick.node.engine_beginning import SERVERS
from tallystick.node.homes import Home
from tallystick.ordering.cometbft.light import Told

Answers = dict[tuple[str, int], bytes]


class _Request(msgspec.Struct):
    id: msgspec.Raw
    method: str
    params: dict[str, Any] = {}


_decoder = msgspec.json.Decoder(_Request)


def answers_of(height: int, told: Told) -> Answers:
    """Return the answers to all that a light client asks when it begins behind a block."""
    found: Answers = {("consensus_params", height + 1): told.parameters.encode()}
    for at, (commit, validators) in enumerate(zip(told.commits, told.validators, strict=True), start=height):
        found["commit", at] = commit.encode()
        found["validators", at] = validators.encode()
    return found


class LightServer:
    """Answers at the sockets."""

    def __init__(self, home: Home) -> None:
        """Prepare; nothing listens yet."""
        self._paths = [home.light_path(number) for number in range(SERVERS)]
        self._answers: list[Answers] = [{} for _ in self._paths]
        self._runners: list[web.AppRunner] = []

    async def serve(self, height: int, told: Sequence[Told]) -> None:
        """Answer with what was told of a height, a member's words at each socket, in turns."""
        self._answers = [answers_of(height, told[number % len(told)]) for number in range(len(self._paths))]
        if self._runners:
            return
        for number, path in enumerate(self._paths):
            app = web.Application()
            app.router.add_post("/", partial(self._answer, number))
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            self._runners.append(runner)
            path.unlink(missing_ok=True)
            # Nobody but this user may connect, from the first moment on.
            before = os.umask(0o177)
            try:
                await web.UnixSite(runner, str(path)).start()
            finally:
                os.umask(before)

    async def close(self) -> None:
        """Stop answering."""
        runners, self._runners = self._runners, []
        for runner in runners:
            await runner.cleanup()
        for path in self._paths if runners else ():
            path.unlink(missing_ok=True)

    async def _answer(self, number: int, request: web.Request) -> web.Response:
        try:
            asked = _decoder.decode(await request.read())
            height = int(asked.params.get("height", 0))
        except (msgspec.MsgspecError, ValueError, TypeError):
            return web.Response(status=400, text="not a request that this node knows")
        found = self._answers[number].get((asked.method, height))
        # In the engine's own words, by which it tells a server that lacks a block from one that is broken.
        lacks = {"code": -32603, "message": "Internal error", "data": f"height {height} is not available"}
        body = {"error": lacks} if found is None else {"result": msgspec.Raw(found)}
        data = msgspec.json.encode({"jsonrpc": "2.0", "id": asked.id, **body})
        return web.Response(body=data, content_type="application/json")
