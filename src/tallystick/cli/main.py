"""The program `tally`: all nouns, and what happens when a command fails."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from tallystick.cli import (
    agreement,
    dataset,
    delivery,
    demo_command,
    engine,
    evidence,
    key,
    ledger,
    network,
    node,
    organisation,
    receipt,
    request,
    zone,
)

app = typer.Typer(
    name="tally",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("demo")(demo_command.demo)
for noun in (
    zone,
    node,
    organisation,
    key,
    dataset,
    request,
    agreement,
    delivery,
    evidence,
    receipt,
    ledger,
    network,
    engine,
):
    app.add_typer(noun.app, name=noun.__name__.rpartition(".")[2])


# What typer makes of Ctrl-C.
_INTERRUPTED = 130


def _show_version(wanted: bool) -> None:
    if wanted:
        from tallystick import __version__

        print(f"tally {__version__}")
        raise typer.Exit


@app.callback()
def tally(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Tallystick: share data between organisations under terms that all can check.

    Commands speak to the running node of --home, or TALLY_HOME, or ./tally-home. Without one, set TALLY_URL and
    TALLY_API_KEY to use a node elsewhere, and TALLY_ZONE to the zone.json that you trust.
    """
    del version


def run(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code; nothing is raised but what ends the process."""
    try:
        code = app(arguments, prog_name="tally", standalone_mode=False)
        sys.stdout.flush()
        if code == _INTERRUPTED:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        return _unread()
    except SystemExit as ended:
        # typer ends the process by itself where it meets a broken pipe.
        if isinstance(ended.__context__, BrokenPipeError):
            return _unread()
        raise
    except KeyboardInterrupt as error:
        return _failed(error)
    except Exception as error:  # the edge of the process: a person gets a line, a developer the trace
        return _failed(error)


def _unread() -> int:
    """Return the exit code where whoever read the output has gone, which is no trouble."""
    # What is still in the buffer must not be complained of.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _failed(error: BaseException) -> int:
    """Say why a command failed, in one line; return its exit code."""
    from tallystick.cli.failures import explain

    if isinstance(error, typer.TyperException):
        return explain(error, usage=error.format_message())
    if isinstance(error, typer.Abort):
        return explain(KeyboardInterrupt())
    return explain(error)


def main() -> None:
    """Run the program."""
    sys.exit(run())
