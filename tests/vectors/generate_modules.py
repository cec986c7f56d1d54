"""Golden vectors of the modules' operations: `python -m tests.vectors.generate_modules [--check]`.

Every module has `tests/vectors/<module>/cases.py` with `CASES`, a list of `Case`; each becomes the file
`tests/vectors/<module>/<operation>/<case>.json`:

    description   one sentence
    before        [[collection, key, record], ...]: the whole state before, sorted
    context       chain, height, time, organisation, key, roles, transaction, index
    operation     the message
    rejection     {code, name, message, fields}, or null where it is accepted
    writes        [[collection, key, record], ...], sorted; none where it is refused
    events        in order

Nothing is random: the files come out the same every time, and another implementation can replay them. A changed file
means changed rules, and those need a new rules version.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tallystick.codec import decode_json, encode_json
from tallystick.errors import RejectedError
from tallystick.machine import Context, Message, Rulebook, State
from tallystick.machine.parameters import PARAMETERS, PARAMETERS_KEY
from tests.support.zones import MemoryReader, Simulator, plain, run_operation

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Step:
    """The operation that a case is about.

    Attributes:
        organisation: who signs.
        message: what is asked.
        options: those of `Simulator.run`.
    """

    organisation: str
    message: Message
    options: dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One vector.

    Attributes:
        operation: name of the operation, and of the folder.
        name: of the file, without its ending.
        description: one sentence.
        scenario: brings a fresh zone to where the operation is asked for, and returns it.
        zone: makes the fresh zone.
    """

    operation: str
    name: str
    description: str
    scenario: Callable[[Simulator], Step]
    zone: Callable[[], Simulator] = Simulator


def step(organisation: str, message: Message, **options: Any) -> Step:
    """Return the last step of a scenario; options are those of `Simulator.run`."""
    return Step(organisation, message, options)


def make_vector(case: Case) -> dict[str, Any]:
    """Play a case and return its vector."""
    zone = case.zone()
    last = case.scenario(zone)
    before = dict(zone.reader.records)
    rejection: dict[str, Any] | None = None
    events: list[dict[str, Any]] = []
    writes: list[tuple[str, str, bytes | None]] = []
    zone.last_context = None
    try:
        events = [plain(event) for event in zone.run(last.organisation, last.message, **last.options)]
        writes = zone.last_writes
    except RejectedError as error:
        rejection = describe(error)
    context: Context | None = zone.last_context
    if context is None:
        raise ValueError(f"{case.operation}/{case.name}: the machine refused it before the operation was tried")
    message = plain(last.message)
    if message["type"] != case.operation:
        raise ValueError(f"{case.operation}/{case.name}: its last step is {message['type']}")
    return {
        "before": [[*where, decode_json(before[where])] for where in sorted(before)],
        "context": {
            "chain": context.chain,
            "height": context.height,
            "index": context.index,
            "key": context.key,
            "organisation": context.organisation,
            "roles": list(context.roles),
            "time": context.time,
            "transaction": context.transaction.hex(),
        },
        "description": case.description,
        "events": events,
        "operation": message,
        "rejection": rejection,
        "writes": show_writes(writes),
    }


def replay(rules: Rulebook, vector: dict[str, Any]) -> dict[str, Any]:
    """Run a vector's operation on its state; return what came of it: rejection, writes and events."""
    state = State(MemoryReader({(c, k): encode_json(record) for c, k, record in vector["before"]}))
    told = vector["context"]
    context = Context(
        chain=told["chain"],
        height=told["height"],
        time=told["time"],
        organisation=told["organisation"],
        key=told["key"],
        roles=tuple(told["roles"]),
        transaction=bytes.fromhex(told["transaction"]),
        index=told["index"],
        parameters=state.get(PARAMETERS, PARAMETERS_KEY),
    )
    try:
        events = run_operation(rules, state, context, encode_json(vector["operation"]))
    except RejectedError as error:
        return {"events": [], "rejection": describe(error), "writes": show_writes(state.writes())}
    return {
        "events": [plain(event) for event in events],
        "rejection": None,
        "writes": show_writes(state.writes()),
    }


def describe(error: RejectedError) -> dict[str, Any]:
    """Return a rejection as plain JSON values."""
    return {"code": error.code, "fields": error.fields, "message": error.message, "name": error.name}


def show_writes(writes: list[tuple[str, str, bytes | None]]) -> list[list[Any]]:
    """Return the writes of an operation as plain JSON values."""
    return [[collection, key, None if value is None else decode_json(value)] for collection, key, value in writes]


def find_cases() -> Iterator[tuple[str, Case]]:
    """Yield (module, case) of every module that has cases."""
    for file in sorted(FOLDER.glob("*/cases.py")):
        module = importlib.import_module(f"tests.vectors.{file.parent.name}.cases")
        for case in module.CASES:
            yield file.parent.name, case


def render(vector: dict[str, Any]) -> str:
    """Return a vector as text: canonical JSON in lines, one record, event or field a line."""
    lines = ["{"]
    for name in sorted(vector):
        value = vector[name]
        comma = "" if name == max(vector) else ","
        if isinstance(value, list) and value:
            lines.append(f' "{name}": [')
            lines += [
                f"  {encode_json(item).decode()}{',' if at < len(value) - 1 else ''}" for at, item in enumerate(value)
            ]
            lines.append(f" ]{comma}")
        else:
            lines.append(f' "{name}": {encode_json(value).decode()}{comma}')
    return "\n".join([*lines, "}"]) + "\n"


def generate() -> dict[Path, str]:
    """Return the text of every vector by its path."""
    texts: dict[Path, str] = {}
    for module, case in find_cases():
        path = FOLDER / module / case.operation / f"{case.name}.json"
        if path in texts:
            raise ValueError(f"two cases are {case.operation}/{case.name}")
        texts[path] = render(make_vector(case))
    return texts


def stored_vectors() -> list[Path]:
    """Return the vector files of modules that have cases."""
    return sorted(path for cases in FOLDER.glob("*/cases.py") for path in cases.parent.glob("*/*.json"))


def main(arguments: list[str]) -> int:
    """Write the vectors, or with `--check` only compare."""
    texts = generate()
    stale = [path for path in stored_vectors() if path not in texts]
    changed = [path for path, text in texts.items() if not path.exists() or path.read_text("utf-8") != text]
    if "--check" in arguments:
        for path in [*changed, *stale]:
            print(f"{path.relative_to(FOLDER)}: not what its case gives")
        return 1 if changed or stale else 0
    for path in stale:
        path.unlink()
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path], "utf-8")
    print(f"{len(texts)} vectors, {len(changed)} written, {len(stale)} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
