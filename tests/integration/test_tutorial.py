"""docs/tutorial/two-organisations.md, word for word: typed on two machines that only a cable joins."""

import os
import re
import time
from pathlib import Path

import pytest

from tests.support.components import find_program
from tests.support.namespaces import Machine, two_networks

pytestmark = pytest.mark.timeout(240)
PAGE = Path(__file__).parents[2] / "docs" / "tutorial" / "two-organisations.md"
PROMPT = re.compile(r"(hospital|university)\$ (.*)")
# What another run names differently and later commands refer to.
NAMED = re.compile(r"\b(?:req|agr|dlv)-[0-9a-z]+\b|(?<=--fingerprint )[0-9a-f]{64}\b")
# What is not the same in two runs, and what it is compared as.
CHANGING = (
    (NAMED, "NAME"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"\b[0-9a-f]{8,}\b"), "HEX"),
    (re.compile(r"\d+(\.\d+)? (bytes|KiB)"), "SIZE"),
    (re.compile(r" +"), " "),
)
# A person types the next command after some seconds; what has to travel between the machines meanwhile does here too.
PATIENCE_SECONDS = 60.0


def steps():
    """Return (machine, command, lines shown) of every command of the page, in order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            typed = PROMPT.fullmatch(line)
            if typed:
                found.append((typed[1], typed[2], []))
            else:
                found[-1][2].append(line)
    return found


def compared(line, home):
    line = line.replace(str(home), "~")
    for pattern, name in CHANGING:
        line = pattern.sub(name, line)
    return line.strip()


def missing(shown, output, home):
    """Return the first line of the page that the output does not have, in this order; None if it has all."""
    actual = [compared(line, home) for line in output.splitlines()]
    at = 0
    skipping = False
    for line in shown:
        if line == "…":
            skipping = True
            continue
        wanted = compared(line, home)
        places = [place for place in range(at, len(actual)) if actual[place] == wanted]
        if not places or (places[0] != at and not skipping):
            return line
        at = places[0] + 1
        skipping = False
    return None


@pytest.fixture
def machines(tmp_path):
    """The two machines; `scp FILE university:` copies from one folder to the other, for want of a login to a machine."""
    tools = tmp_path / "bin"
    tools.mkdir()
    copy = tools / "scp"
    copy.write_text(f'#!/bin/sh\ncp "$1" "{tmp_path}/${{2%:}}/"\n')
    copy.chmod(0o755)
    environment = {"PATH": f"{tools}:{find_program('tally').parent}:{os.environ['PATH']}"}
    with two_networks() as places:
        opened = []
        try:
            for name, (namespace, address) in zip(("hospital", "university"), places, strict=True):
                opened.append(Machine(name, address, tmp_path / name, namespace, environment))
            yield {machine.name: machine for machine in opened}
        finally:
            for machine in opened:
                machine.close()


def test_tutorial_works_word_for_word(machines):
    """Every command of the page ends well and prints what the page shows."""
    actual = {}
    for name, command, shown in steps():
        machine = machines[name]
        for written, real in actual.items():
            command = command.replace(written, real)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            done = machine.enter(command)
            wrong = missing(shown, done.output, machine.folder)
            if (done.code == 0 and wrong is None) or time.monotonic() > deadline or not may_repeat(command):
                break
            time.sleep(0.2)
        logs = "\n".join(each.enter("tail -n 5 node.log").output for each in machines.values())
        assert (0, None) == (done.code, wrong), f"{name}$ {command}\n{done.output}\n{logs}"
        for written, real in zip(NAMED.findall("\n".join(shown)), NAMED.findall(done.output), strict=False):
            actual.setdefault(written, real)
    for machine in machines.values():
        assert "" == machine.enter("kill %1; wait").output


def may_repeat(command):
    """Tell whether a person who looks too early would simply look again."""
    return any(word in command.split() for word in ("status", "find", "show", "fetch", "export", "check"))


def test_page_shows_every_step():
    """The page has the commands of the whole way, and is short enough to be read."""
    typed = " ".join(command for _, command, _ in steps())
    for noun in (
        "zone create",
        "node run",
        "zone invite",
        "node join",
        "organisation admit",
        "dataset offer",
        "dataset find",
        "request send",
        "request approve",
        "delivery fetch",
        "receipt export",
        "receipt verify",
        "ledger check",
    ):
        assert f"tally {noun}" in typed
    assert 200 > len(PAGE.read_text(encoding="utf-8").splitlines())
