"""What each process and command loads: start-up is mostly imports, so what is not needed must not be loaded.

Names are held here and not times, which differ from machine to machine.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.tracked import ROOT

PROOFS = Path(__file__).parents[1] / "vectors" / "proofs"
WEB = ("aiohttp", "fastapi", "httpx", "starlette", "uvicorn")
NODE = ("tallystick.node", "tallystick.store", "tallystick.machine", "tallystick.modules", "sqlite3", "structlog")
TALLY = "from tallystick.cli.main import run; assert run({arguments!r}) == {code}"

LOADED = {
    "help": (
        TALLY.format(arguments=["--help"], code=0),
        (*WEB, *NODE, "asyncio", "cryptography", "msgspec", "nacl", "rich", "tallystick.sdk"),
        ("tallystick.cli.receipt",),
    ),
    "import of the client": (
        "import tallystick.sdk",
        (*WEB, *NODE, "cryptography", "msgspec", "nacl", "tallystick.proofs", "tallystick.dataplane.client"),
        ("tallystick.sdk",),
    ),
    "verifying a receipt": (
        TALLY.format(
            arguments=[
                "receipt",
                "verify",
                str(PROOFS / "accepted-2.receipt.json"),
                "--zone",
                str(PROOFS / "zone.json"),
            ],
            code=0,
        ),
        (*WEB, *NODE, "asyncio", "rich", "tallystick.sdk.session", "tallystick.keys.stores", "cryptography.x509"),
        ("tallystick.proofs.receipts",),
    ),
    "supervisor": (
        "import tallystick.node.supervisor_main",
        (
            *(*WEB, "asyncio", "cryptography", "nacl", "pydantic", "rich", "sqlite3", "ssl", "structlog", "typer"),
            *("tallystick.cli", "tallystick.codec", "tallystick.keys", "tallystick.machine", "tallystick.store"),
        ),
        ("tallystick.node.supervisor",),
    ),
    "starting a node": (
        TALLY.format(arguments=["node", "run", "--home", "no-such-home"], code=3),
        (*WEB, "sqlite3", "tallystick.sdk", "tallystick.store", "tallystick.machine", "tallystick.modules"),
        ("tallystick.node.supervisor_main",),
    ),
    "core": (
        "import tallystick.node.core_main",
        (
            *WEB,
            "pydantic",
            "rich.console",
            "typer",
            "tallystick.api",
            "tallystick.cli",
            "tallystick.office",
            "tallystick.sdk",
        ),
        ("tallystick.node.core",),
    ),
    "office": (
        "import tallystick.node.office_main",
        (
            "httpx",
            "pandas",
            "pyarrow",
            "rich.console",
            "typer",
            "tallystick.cli",
            "tallystick.node.core",
            "tallystick.sdk",
        ),
        ("tallystick.api",),
    ),
    "process that checks signatures": (
        "import tallystick.ordering.verifier_main",
        (*WEB, *NODE, "asyncio", "cryptography", "msgspec", "tallystick.ordering.solo", "tallystick.proofs"),
        ("nacl.bindings",),
    ),
}


@pytest.mark.parametrize("what", LOADED)
def test_only_what_is_needed_is_loaded(what: str) -> None:
    """Nothing heavy that a process or command does not use is loaded with it."""
    code, absent, present = LOADED[what]
    code += f"\nimport sys; print([name for name in {(*absent, *present)} if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )

    assert 0 == done.returncode, done.stderr
    # What must be there shows that the code ran and that names are looked up as they are spelt.
    assert str(list(present)) == done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "package", ["tallystick.dataplane", "tallystick.keys", "tallystick.ordering", "tallystick.sdk"]
)
def test_names_that_are_loaded_late_are_all_there(package: str) -> None:
    """Whatever a package lists can be had from it, and anything else is refused as from every other module."""
    code = f"from {package} import *\nimport {package} as it\nassert all(name in dir(it) for name in it.__all__)\nit.nothing"

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )

    assert done.stderr.splitlines()[-1].startswith(f"AttributeError: module '{package}' has no attribute 'nothing'")
