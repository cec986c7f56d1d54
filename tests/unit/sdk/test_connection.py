"""The way to a node: what is asked again, what is sent once, what is not believed, and where a key does not go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgspec
import pytest

from tallystick.errors import (
    AccessError,
    IntegrityError,
    NodeError,
    PeerError,
    QueueFullError,
    RejectedError,
    StorageError,
    UsageError,
)
from tallystick.sdk.connection import Connection, Refusing, dataset_path, segment
from tallystick.sdk.trouble import NotFoundError, NotWitnessedError
from tallystick.views import Job, Recorded
from tests.unit.sdk.simulated import refusal

URL = "http://127.0.0.1:7070"
GOOD = {"transaction": "00", "index": 0, "height": 1, "leaf": 0}


class Server:
    """Answers from a list, the last one for ever; keeps what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []

    def connection(self, url: str = URL, **options: Any) -> Connection:
        """Return a connection to it that does not really sleep."""
        return Connection(
            url,
            "tally_secret",
            timeout_s=5,
            transport=httpx.MockTransport(self._serve),
            sleep=self.slept.append,
            **options,
        )

    def _serve(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def good(value: Any = None) -> httpx.Response:
    """Return an answer."""
    return httpx.Response(200, content=msgspec.json.encode(GOOD if value is None else value))


def test_a_busy_node_is_asked_again_when_it_says_so() -> None:
    """A GET is asked again after as many seconds as the node names, a few times."""
    server = Server(refusal(503, "peer"), httpx.ReadError("cut"), good())

    assert 1 == server.connection().get("/v1/x", Recorded).height
    assert ("Bearer tally_secret", 1.0) == (server.asked[0].headers["authorization"], server.slept[0])
    assert 2 == len(server.slept)


@pytest.mark.parametrize("answer", [refusal(503, "peer"), httpx.ReadTimeout("slow"), httpx.RemoteProtocolError("cut")])
def test_patience_ends(answer: httpx.Response | Exception) -> None:
    """A node that does not come back is given up after a few tries."""
    server = Server(answer)

    with pytest.raises(PeerError):
        server.connection().get("/v1/x", Recorded)
    assert 4 == len(server.asked)


@pytest.mark.parametrize("answer", [refusal(503, "peer"), httpx.ReadError("cut"), httpx.ReadTimeout("slow")])
def test_what_acts_is_sent_once(answer: httpx.Response | Exception) -> None:
    """A POST whose answer was lost is not sent again: it may have been done."""
    for act in (
        lambda connection: connection.post("/v1/x", Recorded, {}),
        lambda connection: connection.patch("/v1/x", Recorded, {}),
        lambda connection: connection.delete("/v1/x", Recorded),
        lambda connection: connection.send("/v1/x", Recorded, b"", "application/cbor"),
    ):
        server = Server(answer)
        with pytest.raises(PeerError):
            act(server.connection())
        assert (1, []) == (len(server.asked), server.slept)


def test_a_key_goes_nowhere_else() -> None:
    """A redirect is not followed, and a key travels in clear to this machine only."""
    server = Server(httpx.Response(307, headers={"Location": "https://elsewhere.example/"}))
    with pytest.raises(PeerError):
        server.connection().get("/v1/x", Recorded)
    assert 1 == len(server.asked)
    for url in ("http://node.example", "http://10.0.0.1:7070"):
        with pytest.raises(UsageError, match="others can read it"):
            server.connection(url)
    for url in ("http://localhost:7070", "http://[::1]:7070", "https://node.example"):
        server.connection(url).close()
    for url in ("node.example", "ftp://node.example", "https://me:word@node.example", "", "http://"):
        with pytest.raises(UsageError, match="address"):
            server.connection(url)


def test_the_environments_proxies_do_not_see_what_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """For this machine a proxy in the environment is passed over."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    connection = Connection(URL, "tally_secret", timeout_s=1)

    assert not connection._client._mounts
    assert not connection._client.trust_env


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"\xff", b'{"height":"1"}', b"[" * 5_000, b'{"transaction":"00","index":0,"height":1}']
)
def test_nonsense_is_not_understood(body: bytes) -> None:
    """An answer that is not what was asked for is a clear error, not a crash."""
    with pytest.raises(PeerError, match="cannot be understood"):
        Server(httpx.Response(200, content=body)).connection().get("/v1/x", Recorded)
    with pytest.raises(PeerError, match="no reason"):
        Server(httpx.Response(500, content=body)).connection().get("/v1/x", Recorded)
    with pytest.raises(PeerError, match="no reason"):
        Server(httpx.Response(409, content=body)).connection().post("/v1/x", Recorded)


def test_an_answer_without_end_is_cut() -> None:
    """What is longer than such an answer can be is refused while it arrives."""

    class Endless(httpx.SyncByteStream):
        given = 0

        def __iter__(self) -> Iterator[bytes]:
            while True:
                self.given += 1
                yield bytes(65_536)

    stream = Endless()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=stream))
    connection = Connection(URL, "k", timeout_s=5, transport=transport)

    with pytest.raises(PeerError, match="longer than"):
        connection.get_bytes("/v1/x", most=1 << 20)
    assert 17 == stream.given


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "usage", UsageError),
        (401, "api_key_refused", AccessError),
        (403, "not_in_force", AccessError),
        (404, "not_found", NotFoundError),
        (413, "too_large", UsageError),
        (422, "malformed", UsageError),
        (422, "note_mismatch", IntegrityError),
        (429, "queue_full", QueueFullError),
        (503, "storage", StorageError),
        (503, "notyetwitnessed", NotWitnessedError),
        (507, "disk_full", StorageError),
        (599, "anything", PeerError),
    ],
)
def test_a_refusal_keeps_its_family_and_name(status: int, name: str, kind: type[NodeError]) -> None:
    """A refusal of the node is raised as what it was there, with its stable name, sentence and remedy."""
    with pytest.raises(kind) as caught:
        Server(refusal(status, name, "no such thing")).connection().post("/v1/x", Recorded)

    known = {"not_found": "not_found", "notyetwitnessed": "not_yet_witnessed"}
    assert (known.get(name, name), "no such thing", "Do something else.") == (
        vars(caught.value).get("name") or type(caught.value).name,  # type: ignore[attr-defined]
        caught.value.message,
        caught.value.remedy,
    )


def test_a_rejection_keeps_its_number() -> None:
    """A numbered rejection arrives with its fields, even where these are called as its own parts are."""
    body = {"code": 3004, "name": "not_open", "message": "it is decided", "fields": {"name": "x", "code": 1}}
    with pytest.raises(RejectedError) as caught:
        Server(httpx.Response(409, content=msgspec.json.encode(body))).connection().post("/v1/x", Recorded)

    assert (3004, "not_open", {"name": "x", "code": 1}) == (caught.value.code, caught.value.name, caught.value.fields)


def test_hostile_text_is_made_printable() -> None:
    """Control characters, line breaks and endless words of a node do not reach a terminal."""
    with pytest.raises(NodeError) as caught:
        Server(refusal(400, "usage", "red \x1b[31m\n" + "long" * 1_000)).connection().post("/v1/x", Recorded)

    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 400


def test_a_job_is_waited_for() -> None:
    """A job is asked about until it ended; its result, or its refusal, is that of the work; progress is told."""
    job = {"id": "job-1", "what": "fetch", "state": "running", "done": 1, "total": 4}
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        told.append((done, total))

    done = {**job, "state": "done", "done": 4, "result": GOOD}
    server = Server(good({**job, "done": 2}), good(done))
    found = server.connection().finish(msgspec.convert(job, Job), Recorded, progress)
    assert (1, [(1, 4), (2, 4), (4, 4)]) == (found.height, told)
    assert "wait=1" == server.asked[0].url.query.decode()

    problem = {"error": "not_in_force", "message": "it has ended", "remedy": "Ask again."}
    for failed, kind in (
        ({"status": 403, "problem": problem}, AccessError),
        ({"status": 409, "problem": {"code": 1, "name": "n", "message": "m", "fields": {}}}, RejectedError),
        ({"status": 0, "problem": None}, PeerError),
    ):
        with pytest.raises(kind):
            Server(good({**job, "state": "failed", **failed})).connection().finish(msgspec.convert(job, Job), Recorded)


def test_nobody_there_is_said_plainly() -> None:
    """Where nothing listens, that is said at once, in the words of who knows what should be there."""
    server = Server(httpx.ConnectError("refused"))

    with pytest.raises(PeerError, match="nothing answers there"):
        server.connection().get("/v1/x", Recorded)
    assert 1 == len(server.asked)
    with pytest.raises(PeerError, match="the node of home does not run"):
        server.connection(absent=Refusing("the node of home does not run", "Start it.")).post("/v1/x", Recorded)


@pytest.mark.parametrize("call", [segment, dataset_path])
@pytest.mark.parametrize("text", ["", ".", "..", "x" * 401])
def test_a_name_cannot_lead_elsewhere(call: Callable[[str], str], text: str) -> None:
    """What would make another path of the request is refused."""
    with pytest.raises(UsageError):
        call(text)
    assert "a%2Fb%3Fc%23" == segment("a/b?c#")
