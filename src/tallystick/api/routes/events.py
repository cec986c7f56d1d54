"""What happened on the ledger, as it happens."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from starlette.responses import Response, StreamingResponse

from tallystick.api.problems import malformed
from tallystick.api.routes.forms import Count, Limit, Seconds
from tallystick.api.routing import Call, Form, Routes
from tallystick.ledger import LedgerEvent
from tallystick.office.refusals import ApiKeyError
from tallystick.views import Events, EventView

routes = Routes("events")
SSE_MEDIA = "text/event-stream"
KEEP_ALIVE_SECONDS = 15.0
_AT_A_TIME = 500


class EventsQuery(Form):
    """From where: behind an event's number, or from a block on; how many, and how long to wait for the first."""

    after: Count | None = None
    from_height: Count | None = None
    limit: Limit = 1_000
    wait: Seconds = 0


_encoder = msgspec.json.Encoder()


def _view(event: LedgerEvent) -> EventView:
    return EventView(sequence=event.sequence, leaf=event.leaf, event=event.body)


@routes.add("GET", "/v1/events", returns=Events, query=EventsQuery)
async def list_events(call: Call) -> Events | Response:
    """Events, oldest first; with `Accept: text/event-stream` a stream of server-sent events that does not end.

    A stream goes on behind `Last-Event-ID`, as browsers send it when they connect again, and ends with its API key.
    """
    ledger, query = call.services.ledger, call.query
    streams = SSE_MEDIA in call.request.headers.get("accept", "")
    start = _start(call, streams)
    if streams:
        return StreamingResponse(_stream(call, start), media_type=SSE_MEDIA, headers={"Cache-Control": "no-store"})
    found = ledger.events(start, query.limit)
    if not found and query.wait:
        await call.services.next_block(query.wait)
        found = ledger.events(start, query.limit)
    return Events(events=tuple(map(_view, found)), next=found[-1].sequence if found else start)


def _start(call: Call, streams: bool) -> int:
    query: EventsQuery = call.query
    last = call.request.headers.get("last-event-id")
    if streams and last is not None:
        if not last.isascii() or not last.isdecimal() or len(last) > 15:
            raise malformed("Last-Event-ID is the number of an event", "Last-Event-ID")
        return int(last)
    if query.after is not None and query.from_height is not None:
        raise malformed("give one of them", "query.after, query.from_height")
    if query.from_height is not None:
        return call.services.ledger.store.last_event_before(query.from_height)
    return query.after or 0


def _may_go_on(call: Call) -> bool:
    """Tell whether the key that a stream was begun with is still good."""
    try:
        call.gate.who(call.request.headers.get("authorization"))
    except ApiKeyError:
        return False
    return True


async def _stream(call: Call, start: int) -> AsyncIterator[bytes]:
    services, ledger = call.services, call.services.ledger
    yield b"retry: 2000\n\n"
    while True:
        found = ledger.events(start, _AT_A_TIME)
        if not found:
            await services.next_block(KEEP_ALIVE_SECONDS)
            found = ledger.events(start, _AT_A_TIME)
        if not _may_go_on(call):
            return
        if not found:
            yield b": still here\n\n"
            continue
        for event in found:
            start = event.sequence
            yield b"id: %d\nevent: ledger\ndata: " % start + _encoder.encode(_view(event)) + b"\n\n"
