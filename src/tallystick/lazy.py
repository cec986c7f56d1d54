"""Packages whose names are loaded when they are first used: whoever wants one name does not pay for all.

    if TYPE_CHECKING:
        from tallystick.keys.suites import ED25519
    else:
        __getattr__ = lazy_names(__name__, {"tallystick.keys.suites": ("ED25519",)})

Type checkers, and the contracts on who imports whom, read the first half, so that a name that is not there is found
before anything runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(package: str, names: Mapping[str, tuple[str, ...]]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package (PEP 562).

    Args:
        package: its `__name__`.
        names: what it offers, by the module that each comes from.
    """
    modules = {name: module for module, offered in names.items() for name in offered}

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(modules[name]), name)
        # Found without this function from now on.
        setattr(sys.modules[package], name, value)
        return value

    return load
