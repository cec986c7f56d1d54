"""Where a passphrase comes from. The first of these that is there is used, and no other is tried after it:

1. a file that the command names,
2. the environment variable `TALLY_PASSPHRASE`,
3. the file that `TALLY_PASSPHRASE_FILE` names,
4. the systemd credential `tally-passphrase` (`LoadCredential=`, found in `$CREDENTIALS_DIRECTORY`),
5. a question on the terminal; twice where a passphrase is being made.

There is no default. A file that any user can read is refused. An empty variable counts as not set. A new passphrase has
at least 8 characters. Whatever the keyboard, a passphrase counts in its composed form (Unicode NFC).
"""

from __future__ import annotations

import getpass
import os
import sys
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

from tallystick.errors import AccessError, UsageError
from tallystick.keys.files import OTHERS, read_private

VARIABLE = "TALLY_PASSPHRASE"
FILE_VARIABLE = "TALLY_PASSPHRASE_FILE"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
CREDENTIAL = "tally-passphrase"
MIN_LENGTH = 8
MAX_LENGTH = 1_024
_TRIES = 3


def find_passphrase(
    *,
    file: Path | None = None,
    creating: bool = False,
    purpose: str = "this node's keys",
    environment: Mapping[str, str] | None = None,
    ask: Callable[[str], str] | None = None,
) -> str:
    """Return the passphrase from the first source that has one.

    Args:
        file: a file that the user named.
        creating: the passphrase is new: it must be long enough, and a terminal is asked twice.
        purpose: what it opens, for the question.
        environment: where to look instead of the process's own.
        ask: asks instead of the terminal; takes the question, returns the answer.

    Raises:
        AccessError: no source has one, or its file cannot be used.
        UsageError: a new one is too short, or typed differently twice.
    """
    variables = os.environ if environment is None else environment
    passphrase = _given(file, variables)
    if passphrase is not None:
        return check_new_passphrase(passphrase) if creating else passphrase
    if ask is None:
        if not sys.stdin.isatty():
            raise AccessError(
                f"no passphrase for {purpose}, and no terminal to ask on",
                remedy=f"Set {FILE_VARIABLE} to a file that only this user can read (chmod 600), or {VARIABLE}.",
            )
        ask = getpass.getpass
    return _ask_new(ask, purpose) if creating else _clean(_answer(ask, f"Passphrase for {purpose}: "))


def check_new_passphrase(passphrase: str) -> str:
    """Return the composed form of a new passphrase.

    Raises:
        UsageError: shorter than 8 or longer than 1,024 characters.
    """
    composed = _clean(passphrase)
    if not MIN_LENGTH <= len(composed) <= MAX_LENGTH:
        raise UsageError(
            f"a passphrase has {MIN_LENGTH} to {MAX_LENGTH:,} characters",
            remedy="Choose another; a few random words are easy to type and hard to guess.",
        )
    return composed


def read_passphrase_file(path: Path) -> str:
    """Return the passphrase in a file; one line end behind it does not count.

    Raises:
        AccessError: every user can read the file, it is empty, or it is not text.
        StorageError: it is missing or cannot be read.
    """
    data = read_private(path, forbidden=OTHERS)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise AccessError(f"{path} holds no text", remedy="Write the passphrase there as UTF-8 text.") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise AccessError(f"{path} is empty", remedy="Write the passphrase into it.")
    return _clean(text)


def _given(file: Path | None, variables: Mapping[str, str]) -> str | None:
    """Return the passphrase of the first source that asks nobody, or None."""
    if file is not None:
        return read_passphrase_file(file)
    if variables.get(VARIABLE):
        return _clean(variables[VARIABLE])
    if variables.get(FILE_VARIABLE):
        return read_passphrase_file(Path(variables[FILE_VARIABLE]).expanduser())
    if variables.get(CREDENTIALS_VARIABLE):
        credential = Path(variables[CREDENTIALS_VARIABLE]) / CREDENTIAL
        if credential.exists():
            return read_passphrase_file(credential)
    return None


def _ask_new(ask: Callable[[str], str], purpose: str) -> str:
    """Ask for a new passphrase twice; a short one or a slip of the finger may be tried again."""
    for attempt in range(1, _TRIES + 1):
        passphrase = _answer(ask, f"New passphrase for {purpose} (at least {MIN_LENGTH} characters): ")
        try:
            composed = check_new_passphrase(passphrase)
        except UsageError:
            if attempt == _TRIES:
                raise
            continue
        if _clean(_answer(ask, "The same again: ")) == composed:
            return composed
    raise UsageError("the two passphrases differ", remedy="Type the command again, and the same passphrase twice.")


def _answer(ask: Callable[[str], str], question: str) -> str:
    """Return what was typed."""
    try:
        return ask(question)
    except EOFError:
        raise AccessError("no passphrase was typed", remedy=f"Type one, or set {FILE_VARIABLE}.") from None


def _clean(text: str) -> str:
    """Return the composed form of a passphrase, so that it opens the same on every keyboard."""
    return unicodedata.normalize("NFC", text)
