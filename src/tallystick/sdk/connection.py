"""The way to a node: HTTP, and nothing that is about the ledger.

Rules:

- Redirects are not followed: an API key goes to the address that was given and to no other.
- A key goes over plain http to this machine only; proxies of the environment are not used for this machine.
- Every answer has a limit in bytes; what is longer is refused while it arrives.
- A GET is asked again where the node says 429 or 503 or the connection broke, a few times. Anything else is sent once:
  whoever asks again is to know what became of the first.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from tallystick.codec import MalformedError, check_dataset_name
from tallystick.errors import NodeError, PeerError, UsageError
from tallystick.sdk.trouble import job_refusal, not_understood, refusal
from tallystick.views import Job

JSON_MEDIA = "application/json"
MAX_ANSWER_BYTES = 64 << 20
MAX_SMALL_BYTES = 8 << 20
TRIES = 4
CONNECT_SECONDS = 10.0
_MOST_PAUSE_SECONDS = 5.0
_JOB_WAIT_SECONDS = 20

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""`progress(done, total)`: bytes so far and in all, where the node counts them."""


class Refusing(NamedTuple):
    """How to say that nothing answers at an address."""

    message: str
    remedy: str


class Connection:
    """A node's API, with one key."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        timeout_s: float,
        absent: Refusing | None = None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: of the node's API.
            api_key: secret.
            timeout_s: how long to wait for an answer.
            absent: what to say where nothing listens.
            transport: instead of the network.
            sleep: waits.

        Raises:
            UsageError: the address is not one, or the key would travel where others can read it.
        """
        parsed = _parse(url)
        local = is_loopback(parsed.host)
        if parsed.scheme == "http" and not local:
            raise UsageError(
                f"the API key would travel to {parsed.host} where others can read it",
                remedy="Use https, or a tunnel to the node's own machine such as `ssh -L`.",
            )
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self.sleep = sleep
        self._absent = absent
        self._client = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {api_key}", "Accept": JSON_MEDIA},
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_SECONDS, timeout_s)),
            follow_redirects=False,
            trust_env=not local,
            transport=transport,
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    # --- asking ------------------------------------------------------------------------------------------------------

    def get(self, path: str, kind: type[T] | Any, /, *, most: int = MAX_ANSWER_BYTES, **query: Any) -> Any:
        """Ask for something and return it as what it is to be.

        Args:
            path: from `/v1/` on.
            kind: type of the answer.
            most: of the answer, bytes.
            query: what is None or empty is left out.

        Raises:
            NodeError: it was refused, or is not of that type.
        """
        return read(self.get_bytes(path, most=most, **query), kind)

    def get_bytes(self, path: str, /, *, most: int = MAX_SMALL_BYTES, tries: int = TRIES, **query: Any) -> bytes:
        """Ask for something and return exactly its bytes.

        Raises:
            NodeError: it was refused.
        """
        for attempt in range(1, tries + 1):
            pause = min(0.1 * 2**attempt, _MOST_PAUSE_SECONDS)
            try:
                status, headers, body = self._send("GET", path, params=_query(query), limit=most)
            except _BrokenError as broken:
                if attempt == tries:
                    raise broken.error from None
            else:
                if status < 300:
                    return body
                if status not in (429, 503) or attempt == tries:
                    raise refusal(status, body)
                pause = _retry_after(headers.get("retry-after"), pause)
            self.sleep(pause)
        raise AssertionError("unreachable")

    def post(self, path: str, kind: type[T] | Any, body: Mapping[str, Any] | None = None) -> Any:
        """Ask for something to be done, once.

        Raises:
            NodeError: it was refused, or the answer was lost: then it may have been done.
            RejectedError: the rules of the zone refuse it.
        """
        return self._act("POST", path, kind, body)

    def patch(self, path: str, kind: type[T] | Any, body: Mapping[str, Any]) -> Any:
        """Change something; as `post`."""
        return self._act("PATCH", path, kind, body)

    def delete(self, path: str, kind: type[T] | Any) -> Any:
        """Take something back; as `post`."""
        return self._act("DELETE", path, kind, None)

    def send(self, path: str, kind: type[T] | Any, content: bytes, media: str) -> Any:
        """Send bytes of a media type, once; as `post`."""
        return read(self._once("POST", path, content, media), kind)

    @contextmanager
    def stream(self, path: str, /, *, start: int = 0, **query: Any) -> Iterator[Iterator[bytes]]:
        """Yield the pieces of a file as they arrive, from a byte on.

        Raises:
            NodeError: it was refused, or the connection broke.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        try:
            with self._client.stream("GET", path, params=_query(query), headers=headers) as answer:
                if answer.status_code != (206 if start else 200):
                    # Only the first piece: what a refusal says is short, and a file that was not asked for is not read.
                    raise refusal(answer.status_code, next(answer.iter_bytes(), b""))
                yield answer.iter_bytes()
        except httpx.HTTPError as error:
            raise self._broken(error) from None

    # --- jobs --------------------------------------------------------------------------------------------------------

    def finish(self, job: Job, kind: type[T] | Any, progress: Progress | None = None) -> Any:
        """Wait for the end of a job and return its result.

        Args:
            job: as it was when it began.
            kind: type of its result.
            progress: told of bytes.

        Raises:
            NodeError, RejectedError: as the work itself would have been refused.
        """
        wait = 1 if progress is not None else max(1, min(_JOB_WAIT_SECONDS, int(self.timeout_s / 2)))
        while True:
            if progress is not None and job.total:
                progress(job.done, job.total)
            if job.state == "done":
                return convert(job.result, kind)
            if job.state == "failed":
                raise job_refusal(job.status, job.problem)
            job = self.get(f"/v1/jobs/{segment(job.id)}", Job, wait=wait)

    # --- below -------------------------------------------------------------------------------------------------------

    def _act(self, method: str, path: str, kind: Any, body: Mapping[str, Any] | None) -> Any:
        return read(
            self._once(method, path, None if body is None else msgspec.json.encode(body, enc_hook=str), JSON_MEDIA),
            kind,
        )

    def _once(self, method: str, path: str, content: bytes | None, media: str) -> bytes:
        try:
            status, _, answer = self._send(method, path, content=content, media=media, limit=MAX_ANSWER_BYTES)
        except _BrokenError as broken:
            raise broken.error from None
        if status >= 300:
            raise refusal(status, answer)
        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        limit: int,
        params: tuple[tuple[str, str], ...] | None = None,
        content: bytes | None = None,
        media: str = "",
    ) -> tuple[int, httpx.Headers, bytes]:
        headers = {"Content-Type": media} if content is not None else {}
        try:
            with self._client.stream(method, path, params=params, content=content, headers=headers) as answer:
                pieces: list[bytes] = []
                size = 0
                for piece in answer.iter_bytes():
                    size += len(piece)
                    if size > limit:
                        raise not_understood(f"it is longer than {limit} bytes")
                    pieces.append(piece)
                return answer.status_code, answer.headers, b"".join(pieces)
        except httpx.ConnectError as error:
            raise self._broken(error) from None
        except httpx.HTTPError as error:
            raise _BrokenError(self._broken(error)) from None

    def _broken(self, error: httpx.HTTPError) -> NodeError:
        if isinstance(error, httpx.ConnectError) and self._absent is not None:
            return PeerError(self._absent.message, remedy=self._absent.remedy)
        if isinstance(error, httpx.ConnectError):
            what, remedy = "nothing answers there", "Check the address, and that the node runs: `tally node status`."
        elif isinstance(error, httpx.TimeoutException):
            what = f"no answer within {self.timeout_s:g} seconds"
            remedy = "Ask again; what was recorded stays recorded: `tally ledger log`."
        else:
            what, remedy = "the connection broke", "Ask again; what was recorded stays recorded: `tally ledger log`."
        return PeerError(f"{self.url}: {what}", remedy=remedy)


class _BrokenError(Exception):
    """A connection that broke, which a GET may try again."""

    def __init__(self, error: NodeError) -> None:
        super().__init__(error.message)
        self.error = error


def read(data: bytes, kind: Any) -> Any:
    """Return an answer as what it is to be.

    Raises:
        PeerError: it is something else.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise not_understood("it is not of the form that was expected") from None


def convert(value: Any, kind: Any) -> Any:
    """Return plain values as what they are to be; as `read`."""
    try:
        return msgspec.convert(value, kind)
    except (msgspec.MsgspecError, RecursionError):
        raise not_understood("it is not of the form that was expected") from None


def segment(text: str) -> str:
    """Return text as one part of a path.

    Raises:
        UsageError: it cannot be one.
    """
    if text in ("", ".", "..") or len(text) > 400:
        raise UsageError(f"{text!r} names nothing", remedy="Give an id as the lists show it, such as req-7kq2.")
    return quote(text, safe="")


def dataset_path(name: str) -> str:
    """Return the path of a dataset.

    Raises:
        UsageError: that is no name of one.
    """
    try:
        return f"/v1/datasets/{check_dataset_name(name)}"
    except MalformedError:
        raise UsageError(
            f"{name!r} is no name of a dataset", remedy="Give it as owner/name, such as city-hospital/discharges-2024."
        ) from None


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine, by its name alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _parse(url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise UsageError(
            f"{url!r} is no address of a node's API",
            remedy="Give it such as http://127.0.0.1:7070, without a key in it.",
        )
    return parsed


def _query(values: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for name, value in values.items():
        if value is True:
            found.append((name, "true"))
        elif value is not None and value is not False and value != "":
            found.append((name, str(value)))
    return tuple(found)


def _retry_after(text: str | None, otherwise: float) -> float:
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 4:
        return otherwise
    return min(max(float(text), 0.05), _MOST_PAUSE_SECONDS)
