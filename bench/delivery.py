"""Delivery of 1 GiB on loopback, as a share of `curl` fetching the same file from a plain TLS server in the same run.

Everything is included that a delivery does: the provider reads, verifies each chunk against the fingerprint, encrypts
and sends over mutual TLS; the consumer checks the key, decrypts, verifies each chunk, writes, puts on disk and renames.
The ceiling is curl writing to a file from aiohttp on uvloop, which sends the file as it is over TLS 1.3. Provider,
consumer and plain server are processes of their own; their peak memory is as the kernel counts it.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.figures import AT_LEAST, LESS_THAN, figure
from tallystick.dataplane import Grant, TlsIdentity, build_package, new_content_key, seal_package, take_fingerprint
from tallystick.dataplane.client import DeliveryClient, Order
from tallystick.dataplane.server import DeliveryServer
from tallystick.errors import AccessError

MIB = 1 << 20
PASSWORD = b"bench"
SHARE_GOAL, MEMORY_GOAL_MIB = 0.25, 150


class OneDelivery:
    """Grants one delivery to one key."""

    def __init__(self, grant: Grant, pin: str) -> None:
        self._grant, self._pin = grant, pin

    async def authorise(self, peer_pin: str, delivery_id: str) -> Grant:
        """See `AccessPolicy`."""
        if (peer_pin, delivery_id) != (self._pin, self._grant.delivery):
            raise AccessError("no such delivery for you", remedy="Check the id.")
        return self._grant


def peak_mib() -> float:
    """Return this process's peak resident memory, MiB; `getrusage` would count what started it as well."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024, 1)


async def _listen(app: web.Application, identity: TlsIdentity) -> None:
    """Serve until standard input closes; say on standard output where, and at the end how much memory it took."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=identity.server_context())
    await site.start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"peak_mib": peak_mib()}), flush=True)
    await runner.cleanup()


def serve_plain(home: Path) -> None:
    """Serve the file as it is over TLS."""

    async def content(_: web.Request) -> web.FileResponse:
        return web.FileResponse(home / "data.bin", chunk_size=256 * 1024)

    app = web.Application()
    app.router.add_get("/data.bin", content)
    uvloop.run(_listen(app, TlsIdentity(home / "plain", "plain", PASSWORD)))


def serve_delivery(home: Path) -> None:
    """Serve the file as a delivery to the consumer whose public key and pin are given on the first line of input."""
    consumer = json.loads(sys.stdin.readline())
    started = time.perf_counter()
    sidecar = take_fingerprint(home / "data.bin")
    fingerprint_s = time.perf_counter() - started
    delivery, key = secrets.token_hex(16), new_content_key()
    package = build_package(sidecar, delivery=delivery, agreement="agr-bench", content_key=key, expires_ms=0)
    sealed = seal_package(package, bytes.fromhex(consumer["public_key"]))
    grant = Grant(delivery, "agr-bench", "consumer", home / "data.bin", sidecar, key, sealed)
    identity = TlsIdentity(home / "provider", "provider", PASSWORD)
    server = DeliveryServer(OneDelivery(grant, consumer["pin"]))
    app = web.Application()
    app.add_routes(server.routes())
    told = {"delivery": delivery, "pin": identity.pin, "fingerprint_s": fingerprint_s}
    print(json.dumps(told), flush=True)
    uvloop.run(_listen(app, identity))


def fetch(home: Path) -> None:
    """Fetch the delivery that is described on the second line of input, after telling key and pin."""
    identity = TlsIdentity(home / "consumer", "consumer", PASSWORD)
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw().hex()
    print(json.dumps({"public_key": public, "pin": identity.pin}), flush=True)
    told = json.loads(sys.stdin.readline())
    order = Order(f"https://127.0.0.1:{told['port']}", told["delivery"], "agr-bench")
    client = DeliveryClient(identity, {told["pin"]}.__contains__)
    started = time.perf_counter()
    uvloop.run(client.fetch(order, home / "inbox", private.private_bytes_raw()))
    print(json.dumps({"seconds": time.perf_counter() - started, "peak_mib": peak_mib()}), flush=True)


def _start(role: str, home: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.delivery", role, str(home)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _tell(process: subprocess.Popen[str], value: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(value) + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"a process of the bench ended early with {process.wait()}")
    heard: dict[str, Any] = json.loads(line)
    return heard


def _stop(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdin is not None
    process.stdin.close()
    last = _hear(process)
    process.wait(timeout=30)
    return last


def measure_ceiling(home: Path) -> tuple[float, float]:
    """Return the seconds that curl takes, and the plain server's peak memory in MiB."""
    server = _start("plain", home)
    port = _hear(server)["port"]
    target = home / "curl.bin"
    command = ["curl", "--insecure", "--silent", "--show-error", "--fail", "--tlsv1.3", "-o", str(target)]
    started = time.perf_counter()
    subprocess.run([*command, f"https://127.0.0.1:{port}/data.bin"], check=True)
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds, _stop(server)["peak_mib"]


def measure_delivery(home: Path) -> dict[str, float]:
    """Return the seconds that a delivery takes, and the peak memory of both sides."""
    consumer, provider = _start("fetch", home), _start("provider", home)
    _tell(provider, _hear(consumer))
    told = _hear(provider)
    _tell(consumer, {**told, **_hear(provider)})
    found = _hear(consumer)
    consumer.wait(timeout=30)
    provider_peak = _stop(provider)["peak_mib"]
    (home / "inbox" / "data.bin").unlink()
    return {
        "seconds": found["seconds"],
        "fingerprint_s": told["fingerprint_s"],
        "consumer_peak_mib": found["peak_mib"],
        "provider_peak_mib": provider_peak,
    }


async def run(folder: Path, *, short: bool) -> None:
    """Measure both in turns; the best of either counts, and the largest memory of any round."""
    mib, rounds = (64, 1) if short else (1024, 3)
    with (folder / "data.bin").open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
        os.fsync(file.fileno())
    ceilings, deliveries = [], []
    for _ in range(rounds):
        ceilings.append(measure_ceiling(folder)[0])
        deliveries.append(measure_delivery(folder))
    best = min(deliveries, key=lambda found: found["seconds"])
    size = mib * MIB / 1e6
    figure(
        "delivery",
        size / best["seconds"],
        "MB/s",
        ceiling=size / min(ceilings),
        ceiling_name="curl from a plain TLS server",
        goal=SHARE_GOAL,
        rule=AT_LEAST,
        mib=mib,
        rounds=[round(size / found["seconds"], 1) for found in deliveries],
        fingerprint=size / best["fingerprint_s"],
    )
    for side in ("provider", "consumer"):
        peak = max(found[f"{side}_peak_mib"] for found in deliveries)
        figure(f"delivery_{side}_memory", peak, "MiB", goal=MEMORY_GOAL_MIB, rule=LESS_THAN, mib=mib)


def main() -> int:
    """Run one of the processes of the bench."""
    role, home = sys.argv[1:]
    {"plain": serve_plain, "provider": serve_delivery, "fetch": fetch}[role](Path(home))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
