"""Tallystick: a record neither side can alter alone.

    import tallystick

    with tallystick.connect(home="tally-home") as zone:
        print(zone.status().height)

`connect` is loaded when it is first used, so that `import tallystick` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tallystick.errors import TallystickError
    from tallystick.sdk import Zone, connect, verify_receipt

__version__ = "0.1.0"
__all__ = ["TallystickError", "Zone", "__version__", "connect", "verify_receipt"]

_FROM_SDK = frozenset({"TallystickError", "Zone", "connect", "verify_receipt"})


def __getattr__(name: str) -> Any:
    if name in _FROM_SDK:
        from tallystick import sdk

        return getattr(sdk, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
