"""What the machine can do: modules of operations, found by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, Union

from tallystick.codec import StrictDecoder
from tallystick.machine.context import Context
from tallystick.machine.parameters import ACCEPTED, PARAMETERS, USAGE
from tallystick.machine.rejections import Rejection
from tallystick.machine.schema import Collection, Event, Message
from tallystick.machine.state import State

ROLES = ("observer", "registration", "security", "service", "system")
MAX_OPERATION_BYTES = 1 << 20
# Keys of strangers are known as well.
_MAX_KNOWN = 4_096


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing that can be asked of the ledger.

    Attributes:
        message: its struct; the struct's tag is the operation's name.
        role: the role that the signing key must hold, or "" where the operation judges keys itself.
        validate: stateless checks; raises `RejectedError`.
        apply: READ, CHECK, WRITE, EVENTS; raises `RejectedError` before its first write only.
        doc: one line.
    """

    message: type[Message]
    role: str
    validate: Callable[[Any], None]
    apply: Callable[[State, Context, Any], list[Event]]
    doc: str

    @property
    def name(self) -> str:
        """The operation's name, such as `offer_dataset`."""
        return str(self.message.__struct_config__.tag)


@dataclass(frozen=True, slots=True)
class Module:
    """One business area.

    Attributes:
        name: the room's name.
        collections: what it keeps in the state; nobody else writes there.
        operations: what it can do.
        rejections: its numbered refusals.
        events: structs of its events.
        invariants: functions of a read-only state that return a sentence for each broken rule.
    """

    name: str
    collections: tuple[Collection[Any], ...]
    operations: tuple[Operation, ...]
    rejections: tuple[Rejection, ...]
    events: tuple[type[Event], ...]
    invariants: tuple[Callable[[State], list[str]], ...] = ()


class Rights(NamedTuple):
    """What a registered key may do at this height."""

    organisation: str
    roles: tuple[str, ...]
    suspended: bool = False


class Authority(Protocol):
    """Who holds which key; answered by the organisations module."""

    @property
    def collections(self) -> frozenset[str]:
        """The names of the collections that the answer depends on."""

    def find_rights(self, state: State, key: str) -> Rights | None:
        """Return the rights of a key (lower-case hex), or None if it is not registered or no longer valid."""


class KnownRights:
    """Rights of keys over one state: each is looked up once, as long as nothing is written that rights depend on."""

    def __init__(self, authority: Authority, state: State) -> None:
        """Prepare.

        Args:
            authority: answers.
            state: what it is asked about.
        """
        self._authority = authority
        self._state = state
        self._known: dict[bytes, Rights | None] = {}

    def of(self, key: bytes) -> Rights | None:
        """Return what a public key may do now, or None if it is not registered or no longer valid."""
        known = self._known
        if not self._authority.collections.isdisjoint(self._state.touched) or len(known) >= _MAX_KNOWN:
            known.clear()
        if key not in known:
            known[key] = self._authority.find_rights(self._state, key.hex())
        return known[key]


@dataclass(frozen=True)
class Rulebook:
    """All modules of one rules version, checked to be free of clashes."""

    modules: tuple[Module, ...]
    authority: Authority
    operations: dict[type[Message], Operation] = field(init=False, repr=False)
    collections: dict[str, Collection[Any]] = field(init=False, repr=False)
    rejections: dict[int, Rejection] = field(init=False, repr=False)
    decoder: StrictDecoder[Message] = field(init=False, repr=False)
    event_decoder: StrictDecoder[Event] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        operations = {operation.message: operation for module in self.modules for operation in module.operations}
        collections: dict[str, Collection[Any]] = {c.name: c for c in (PARAMETERS, USAGE, ACCEPTED)}
        rejections: dict[int, Rejection] = {}
        names: Sequence[str] = [operation.name for operation in operations.values()]
        if len(names) != len(dict.fromkeys(names)):
            raise ValueError("two operations share a name")
        for module in self.modules:
            for collection in module.collections:
                if collections.setdefault(collection.name, collection) is not collection:
                    raise ValueError(f"two collections are called {collection.name}")
            for rejection in module.rejections:
                if rejections.setdefault(rejection.code, rejection) is not rejection:
                    raise ValueError(f"two rejections have the number {rejection.code}")
        object.__setattr__(self, "operations", operations)
        object.__setattr__(self, "collections", collections)
        object.__setattr__(self, "rejections", rejections)
        union: Any = Union[tuple(operations)]  # noqa: UP007 - built at run time
        object.__setattr__(self, "decoder", StrictDecoder(union, max_bytes=MAX_OPERATION_BYTES))
        events = tuple(event for module in self.modules for event in module.events)
        if events:
            event_union: Any = Union[events]  # noqa: UP007 - built at run time
            object.__setattr__(self, "event_decoder", StrictDecoder(event_union, max_bytes=MAX_OPERATION_BYTES))
