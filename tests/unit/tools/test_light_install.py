"""The light install, without a node's libraries, is enough to find, fetch and verify."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tools.tracked import ROOT

# What the extra "node" adds, and what is optional: an analyst has none of it.
NODE_ONLY = ("aiohttp", "fastapi", "httptools", "prometheus_client", "structlog", "uvicorn", "uvloop", "starlette")
OPTIONAL = ("pandas", "pyarrow")
BLOCKED = textwrap.dedent(
    """
    import importlib.abc, sys
    class Absent(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] in {names!r}:
                raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    sys.meta_path.insert(0, Absent())
    """
).format(names=set(NODE_ONLY + OPTIONAL))


@pytest.mark.parametrize(
    "code",
    [
        "import tallystick; tallystick.connect",
        "from tallystick.sdk import *",
        "import sys; sys.argv = ['tally', '--help']; from tallystick.cli.main import run; assert run(['--help']) == 0",
        "from tallystick.cli.main import run; assert run(['receipt', 'verify', '--help']) == 0",
        "from tallystick.cli.main import run; assert run(['receipt', 'verify', 'none', '--zone', 'none']) == 2",
    ],
)
def test_what_an_analyst_needs_runs_without_what_a_node_needs(code: str) -> None:
    """Neither the client nor verifying needs a library of the extra `node`."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED + code], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )
    assert 0 == done.returncode, done.stderr


def test_node_command_names_what_is_missing() -> None:
    """Where a node's libraries are missing, running a node says which install has them, without a stack trace."""
    code = BLOCKED + "import sys; from tallystick.cli.main import run; sys.exit(run(['node', 'run', '--home', 'none']))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd=ROOT
    )
    assert 3 == done.returncode
    assert "tallystick[node]" in done.stderr
    assert "Traceback" not in done.stderr
