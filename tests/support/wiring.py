"""Who reaches whom at which address in a local network, changed before its nodes start.

A node dials the engine of another at the address that its `tally.toml` names for that engine's id, before the one that
the ledger names: so each end of each link can be led elsewhere, or to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from tallystick.node.config import FILE_NAME, render_settings
from tallystick.node.engine_home import read_engine_keys
from tallystick.node.files import write_atomically
from tallystick.node.homes import Home

NOBODY = "127.0.0.1:9"
"""Where nobody listens (the port of the discard protocol, which no test uses)."""


def rewrite(home: Home, **sections: Mapping[str, Any]) -> Home:
    """Change keys of a node's configuration; return the home with what it then says.

    Args:
        home: whose node does not run.
        sections: by name of a section, the keys that change and their values.
    """
    settings = home.settings
    changed = {name: replace(getattr(settings, name), **values) for name, values in sections.items()}
    write_atomically(home.path / FILE_NAME, render_settings(replace(settings, **changed)).encode())
    return Home(home.path)


def engine_at(home: Home, address: str = "") -> str:
    """Return a validator's engine as others name it, `id@host:port`.

    Args:
        home: of the validator.
        address: where to dial it, instead of where it listens.
    """
    return f"{read_engine_keys(home.keys_path).node}@{address or home.settings.engine.listen}"
