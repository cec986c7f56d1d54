"""Where a passphrase comes from, in which order, and what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick.errors import AccessError, StorageError, UsageError
from tallystick.keys import find_passphrase, read_passphrase_file


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., Path]:
    """Write a passphrase file."""

    def write(text: str | bytes, mode: int = 0o600, name: str = "secret") -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        path.chmod(mode)
        return path

    return write


def answers(*texts: str) -> Callable[[str], str]:
    """Return something to ask that gives these answers, one a question."""
    waiting = iter(texts)

    def ask(question: str) -> str:
        assert question.endswith(": ")
        return next(waiting)

    return ask


def never(question: str) -> str:
    """Fail, for a question that must not be asked."""
    raise AssertionError(question)


def test_sources_in_their_order(secret: Callable[..., Path], tmp_path: Path) -> None:
    """The named file comes before the variable, it before the named file variable, then the credential, then a question."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    secret("from credential", name="credentials/tally-passphrase")
    named = secret("from file", name="named")
    environment = {
        "TALLY_PASSPHRASE": "from variable",
        "TALLY_PASSPHRASE_FILE": str(secret("from file variable", name="variable")),
        "CREDENTIALS_DIRECTORY": str(credentials),
    }

    assert "from file" == find_passphrase(file=named, environment=environment, ask=never)
    for expected, name in [
        ("from variable", "TALLY_PASSPHRASE"),
        ("from file variable", "TALLY_PASSPHRASE_FILE"),
        ("from credential", "CREDENTIALS_DIRECTORY"),
    ]:
        assert expected == find_passphrase(environment=environment, ask=never)
        del environment[name]
    assert "from terminal" == find_passphrase(environment=environment, ask=answers("from terminal"))


def test_a_credential_folder_without_ours_is_passed_over(tmp_path: Path) -> None:
    """Credentials of other services do not matter, and empty variables count as not set."""
    environment = {"CREDENTIALS_DIRECTORY": str(tmp_path), "TALLY_PASSPHRASE": "", "TALLY_PASSPHRASE_FILE": ""}

    assert "typed" == find_passphrase(environment=environment, ask=answers("typed"))


def test_the_process_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another environment, that of the process is read."""
    monkeypatch.setenv("TALLY_PASSPHRASE", "from process")

    assert "from process" == find_passphrase(ask=never)


@pytest.mark.parametrize(
    ("content", "passphrase"),
    [
        ("word word", "word word"),
        ("word\n", "word"),
        ("word\r\n", "word"),
        ("word\n\n", "word\n"),
        (" word ", " word "),
        ("e\u0301", "é"),
    ],
)
def test_one_line_end_does_not_count(secret: Callable[..., Path], content: str, passphrase: str) -> None:
    """The line end that editors add is dropped; nothing else is."""
    assert passphrase == read_passphrase_file(secret(content))


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o602, 0o666, 0o777])
def test_files_that_every_user_can_touch_are_refused(secret: Callable[..., Path], mode: int) -> None:
    """A passphrase file open to everybody is refused with the command that closes it."""
    path = secret("passphrase", mode)

    for refuse in (
        lambda: find_passphrase(file=path),
        lambda: find_passphrase(environment={"TALLY_PASSPHRASE_FILE": str(path)}),
    ):
        with pytest.raises(AccessError, match="other users") as caught:
            refuse()
        assert f"Type: chmod o= {path}" == caught.value.remedy


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o600, 0o640])
def test_files_that_a_group_can_read_pass(secret: Callable[..., Path], mode: int) -> None:
    """Secrets of containers and of systemd are often readable by a group."""
    assert "passphrase" == read_passphrase_file(secret("passphrase", mode))


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "is empty"), (b"\n", "is empty"), (b"\xff\xfe", "holds no text")]
)
def test_files_without_a_passphrase_are_refused(secret: Callable[..., Path], content: bytes, reason: str) -> None:
    """An empty file, and one that is not text, are refused by name."""
    with pytest.raises(AccessError, match=reason):
        read_passphrase_file(secret(content))


def test_a_named_file_that_is_missing_is_not_passed_over(tmp_path: Path) -> None:
    """If the first source cannot be used, no other is tried."""
    with pytest.raises(StorageError, match="is not there"):
        find_passphrase(file=tmp_path / "none", environment={"TALLY_PASSPHRASE": "other one"}, ask=never)
    with pytest.raises(StorageError, match="is not there"):
        find_passphrase(environment={"TALLY_PASSPHRASE_FILE": str(tmp_path / "none")}, ask=never)


def test_without_a_terminal_the_remedy_names_the_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service without any source stops at once and says what to set."""
    monkeypatch.setattr("sys.stdin", io.StringIO("not a terminal\n"))

    with pytest.raises(AccessError, match="no terminal to ask on") as caught:
        find_passphrase(environment={})
    assert "TALLY_PASSPHRASE_FILE" in caught.value.remedy


def test_a_closed_terminal_is_an_error() -> None:
    """End of input is not an empty passphrase."""

    def closed(_: str) -> str:
        raise EOFError

    with pytest.raises(AccessError, match="no passphrase was typed"):
        find_passphrase(environment={}, ask=closed)


def test_a_new_passphrase_is_asked_twice() -> None:
    """A new passphrase is taken when it was typed the same twice and is long enough; slips may be repeated."""
    for typed in [
        ("long enough", "long enough"),
        ("short", "long enough", "long enough"),
        ("long enough", "long enougj", "long enough", "long enough"),
        ("pa\u0302ssphrase", "p\u00e2ssphrase"),
    ]:
        assert typed[-1] == find_passphrase(environment={}, ask=answers(*typed), creating=True)


@pytest.mark.parametrize(
    ("typed", "reason"),
    [(("short", "short", "short"), "characters"), (("long enough", "other one") * 3, "the two passphrases differ")],
)
def test_three_tries_are_enough(typed: tuple[str, ...], reason: str) -> None:
    """After three tries it is given up, with the last reason."""
    with pytest.raises(UsageError, match=reason):
        find_passphrase(environment={}, ask=answers(*typed), creating=True)


def test_a_new_passphrase_from_elsewhere_must_be_long_enough(secret: Callable[..., Path]) -> None:
    """The least length holds for every source when a passphrase is new, and for none when it is not."""
    environment = {"TALLY_PASSPHRASE": "short"}

    assert "short" == find_passphrase(environment=environment, ask=never)
    with pytest.raises(UsageError, match="8 to 1,024 characters"):
        find_passphrase(environment=environment, creating=True, ask=never)
    with pytest.raises(UsageError, match="8 to 1,024 characters"):
        find_passphrase(file=secret("short\n"), creating=True, ask=never)
