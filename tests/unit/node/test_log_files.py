"""The logs of a local network as one stream."""

from __future__ import annotations

import pytest

from tallystick.errors import UsageError
from tallystick.node.log_files import LogFiles

BANK, CITY = "bank", "city"


@pytest.fixture
def network(tmp_path):
    """Two nodes' homes and logs, as far as reading logs needs them."""
    (tmp_path / "passphrase").write_text("x")
    (tmp_path / "logs").mkdir()
    for name in (BANK, CITY):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tally.toml").write_text(f'[node]\norganisation = "{name}"\nrole = "validator"\n')
    return tmp_path


def write(network, name, *lines):
    with (network / "logs" / f"{name}.log").open("a") as file:
        file.writelines(lines)


def at(second, words):
    return f'{{"event": "{words}", "timestamp": "2026-01-01T00:00:{second:02d}Z"}}\n'


def test_lines_of_all_nodes_come_by_their_times(network):
    """A line without a time stays behind the one before it."""
    write(network, BANK, at(1, "a"), "a trace\n", at(5, "e"))
    write(network, CITY, "Starting the node\n", at(3, "c"))
    assert ["Starting the node", "a", "a trace", "c", "e"] == [
        line.line.partition('"event": "')[2][:1] or line.line for line in LogFiles(network).newest(10)
    ]


def test_newest_lines_are_counted_for_each_node_and_more_goes_on_behind_them(network):
    """What was shown is not shown again, and half a line waits for its end."""
    files = LogFiles(network)
    write(network, BANK, at(1, "a"), at(2, "b"))
    assert [BANK] == [line.organisation for line in files.newest(1)]
    assert [] == files.more()
    write(network, CITY, at(4, "c"))
    write(network, BANK, at(3, "d"), '{"event": "hal')
    assert [BANK, CITY] == [line.organisation for line in files.more()]
    write(network, BANK, 'f", "timestamp": "2026"}\n')
    assert ['{"event": "half", "timestamp": "2026"}'] == [line.line for line in files.more()]


def test_folder_that_is_no_network_is_named(tmp_path):
    """The remedy says how to make one."""
    with pytest.raises(UsageError, match="there is no network"):
        LogFiles(tmp_path)
