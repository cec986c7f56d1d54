"""What a provider's node answers, and what goes wrong on the way, as the few errors that a fetch knows how to take.

Rule: a lost connection and a failing node are cuts, to be tried again; a refusal is an error with the provider's reason,
cut to one printable line.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import aiohttp
import msgspec

from tallystick.dataplane.certificates import UnexpectedPinError
from tallystick.dataplane.refusals import AccessRefusedError, PeerAnswerError, SourceChangedError, printable_line
from tallystick.errors import PeerError

MAX_ERROR_BYTES = 16_384


class CutError(Exception):
    """The attempt ended before its time; the next may go further."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Answer:
    """A response, with everything that can go wrong on the way turned into a cut or a wrong peer."""

    def __init__(self, session: aiohttp.ClientSession, address: str, span: str) -> None:
        headers = {"Range": span} if span else {}
        self._request = session.get(address, headers=headers, allow_redirects=False)

    async def __aenter__(self) -> aiohttp.ClientResponse:
        try:
            return await self._request.__aenter__()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _translated(error) from error

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        # Closed rather than returned: an answer that was not read to its end would hold the connection.
        await self._request.__aexit__(None, None, None)
        if isinstance(error, (aiohttp.ClientError, TimeoutError, ConnectionError)):
            raise _translated(error) from error


def _translated(error: BaseException) -> BaseException:
    """Return the unexpected key or unusable certificate behind a library's error, or a cut."""
    behind = list(_behind(error))
    for found in behind:
        if isinstance(found, UnexpectedPinError):
            return found
    for found in behind:
        reason = getattr(found, "verify_message", "")
        if isinstance(found, ssl.SSLCertVerificationError) and reason:
            return PeerAnswerError(
                f"the peer's TLS certificate is not usable: {printable_line(reason)}",
                remedy="Compare the clocks of both nodes; a node renews its certificate while it runs.",
            )
    return CutError(printable_line(error) or type(error).__name__)


def _behind(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything that led to it, also what aiohttp keeps in its arguments."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        yield from (each for each in seen.args if isinstance(each, BaseException))
        seen = seen.__cause__ or seen.__context__


async def check_status(response: aiohttp.ClientResponse, expected: int) -> None:
    """Turn every answer but the expected one into an error with the provider's reason."""
    if response.status == expected:
        return
    said = printable_line("no reason given")
    details: dict[str, object] = {}
    raw = await response.content.read(MAX_ERROR_BYTES)
    try:
        decoded = msgspec.json.decode(raw)
    except ValueError:
        decoded = None
    if isinstance(decoded, dict):
        details = decoded
        said = printable_line(details.get("message", said))
    remedy = printable_line(details.get("remedy", "")) or "Ask the provider's data officer."
    if response.status in (429, 503):
        retry = response.headers.get("Retry-After", "")
        raise CutError(said, min(60.0, float(retry)) if retry.isdecimal() else 1.0)
    if response.status in (401, 403):
        raise AccessRefusedError(f"the provider refuses: {said}", remedy=remedy)
    if response.status == 409 and details.get("error") == SourceChangedError.name:
        changed = SourceChangedError(
            f"the provider cannot deliver: {said}", remedy="Ask the provider for a new version."
        )
        changed.file = printable_line(details.get("file", ""))
        chunk = details.get("chunk", -1)
        changed.chunk = chunk if isinstance(chunk, int) else -1
        raise changed
    if response.status >= 500:
        raise CutError(f"the provider's node failed with status {response.status}")
    raise odd_answer(f"status {response.status}, {said}")


def odd_answer(what: str) -> PeerError:
    """Return the refusal of an answer that the protocol does not foresee."""
    return PeerAnswerError(f"the provider answers {what}", remedy="Check that both nodes run a current version.")
