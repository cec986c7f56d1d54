"""`tally key`: the organisation's own keys on the ledger, and API keys for people and programs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.options import HOME, HomeOption, JsonOption, at, client, new_file
from tallystick.cli.organisation import own_member
from tallystick.cli.parties import show_recorded
from tallystick.cli.screen import SHORT_HASH, Screen, Word, plain, show_time
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from tallystick.sdk import Zone
    from tallystick.views import ApiKeyView, MemberKey, NewApiKey, OwnKeyChange

app = typer.Typer(
    help="Keys, of two kinds. Ledger keys sign for this organisation: each has a role, is registered on the ledger and "
    "is kept encrypted in the node's home. API keys let people and programs ask this node, and nothing else.",
    no_args_is_help=True,
)

ROLES = "observer, registration, security, service, system"
DAY_MS = 86_400_000
MIN_PREFIX = 8
_COLOURS = {"active": "green", "expired": "yellow", "revoked": "red"}


@app.command()
def create(
    role: Annotated[
        list[str] | None,
        typer.Option("--role", help=f"One for a ledger key, one or more for an API key: {ROLES}."),
    ] = None,
    api: Annotated[
        str | None, typer.Option("--api", metavar="NAME", help="Make an API key instead; say whom or what it is for.")
    ] = None,
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="API key: datasets it is good for, such as city-hospital/*; all by default."),
    ] = None,
    days: Annotated[
        int | None, typer.Option("--days", min=1, max=1096, help="API key: how long it lasts; 90 by default.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="API key: a new file for the secret, in place of the screen.")
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Make a further ledger key of a role; with --api, an API key.

    The secret of an API key is shown this once.
    """
    screen = Screen(as_json)
    if api is None:
        if role is None or len(role) != 1 or scope or days or out:
            raise UsageError(
                "a ledger key has one --role, and no --scope, --days or --out",
                remedy="Give --role ROLE; or --api NAME for an API key.",
            )
        with client(home) as zone:
            _changed(screen, zone.add_key(role[0]), "is registered", home)
        return
    if not role:
        raise UsageError("an API key has a role or more", remedy=f"Give --role for each: {ROLES}.")
    expires = None if days is None else time.time_ns() // 1_000_000 + days * DAY_MS
    with client(home) as zone:
        made = _create_api_key(zone, api, role, scope or ["*"], expires, out)
    key: dict[str, Any] = plain(made.key)
    screen.document({"key": key, "secret": made.secret} if out is None else {"key": key, "file": str(out)})
    screen.fields(
        [
            ("API key", made.key.id),
            ("for", made.key.name),
            ("roles", ", ".join(made.key.roles)),
            ("good for", ", ".join(made.key.scopes)),
            ("until", show_time(made.key.expires_at)),
            ("secret", made.secret if out is None else f"in {out}, readable by you alone"),
        ]
    )
    screen.line("The secret is kept nowhere else: hand it over by a safe channel, as TALLY_API_KEY.")
    screen.next(f"tally key revoke {made.key.id}{at(home)}   (when it is not needed any more)")


def _create_api_key(
    zone: Zone, name: str, roles: list[str], scopes: list[str], expires: int | None, out: Path | None
) -> NewApiKey:
    """Make an API key; where its secret goes to a file, that is made first: a secret without a place would be lost."""
    if out is None:
        return zone.create_api_key(name, roles, tuple(scopes), expires)
    with new_file(out, mode=0o600) as file:
        made = zone.create_api_key(name, roles, tuple(scopes), expires)
        file.write(made.secret.encode() + b"\n")
    return made


@app.command("list")
def list_(home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """List this organisation's ledger keys and API keys.

    Never their secrets.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        member = own_member(zone)
        keys = zone.api_keys()
    screen.document({"ledger_keys": member.keys, "api_keys": keys})
    screen.line("Ledger keys: they sign for this organisation.")
    screen.table(
        ("key", "roles", "added", "held here"),
        (
            (each.key[:SHORT_HASH], ", ".join(each.roles), show_time(each.added_at), "yes" if each.held_here else "no")
            for each in member.keys
        ),
    )
    screen.line()
    screen.line("API keys: with them people and programs ask this node.")
    screen.table(
        ("id", "for", "roles", "good for", "until", "status"),
        (
            (
                each.id,
                each.name,
                ", ".join(each.roles),
                ", ".join(each.scopes),
                show_time(each.expires_at),
                Word(each.status, _COLOURS[each.status]),
            )
            for each in keys
        ),
        empty="None yet.",
    )
    first = member.keys[0].key[:SHORT_HASH] if member.keys else "ID"
    screen.next(f"tally key show {first}{at(home)}")


KeyArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID|HEX",
        help=f"An API key's id, or a ledger key: its first {MIN_PREFIX} digits or more of hex will do.",
    ),
]


@app.command()
def show(key: KeyArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Show one key whole; never a secret."""
    screen = Screen(as_json)
    with client(home) as zone:
        api_key, ledger_key = _resolve(zone, key)
    if api_key is not None:
        screen.document(api_key)
        screen.fields(
            [
                ("API key", api_key.id),
                ("for", api_key.name),
                ("roles", ", ".join(api_key.roles)),
                ("good for", ", ".join(api_key.scopes)),
                ("made", show_time(api_key.created_at)),
                ("until", show_time(api_key.expires_at)),
                ("status", Word(api_key.status, _COLOURS[api_key.status])),
            ]
        )
        screen.next(f"tally key revoke {api_key.id}{at(home)}")
    elif ledger_key is not None:
        screen.document(ledger_key)
        screen.fields(
            [
                ("ledger key", ledger_key.key),
                ("roles", ", ".join(ledger_key.roles)),
                ("added", show_time(ledger_key.added_at)),
                ("held here", "yes" if ledger_key.held_here else "no"),
            ]
        )
        screen.next(f"tally key rotate {ledger_key.roles[0]} --key {ledger_key.key[:SHORT_HASH]}{at(home)}")


@app.command()
def rotate(
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"Of the ledger key to replace: {ROLES}.")],
    key: Annotated[
        str | None, typer.Option("--key", metavar="HEX", help="Which, where there are several of that role.")
    ] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Replace a ledger key by a fresh one.

    What the old one signed stays valid.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        old = None if key is None else _ledger_key(zone, key).key
        _changed(screen, zone.rotate_key(role, old), "is registered", home)


@app.command()
def revoke(key: KeyArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Revoke a ledger key or an API key.

    An API key is refused from this moment, and what a ledger key signs from now on does not count.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        api_key, ledger_key = _resolve(zone, key)
        if ledger_key is not None:
            _changed(screen, zone.revoke_key(ledger_key.key), "is revoked", home)
        elif api_key is not None:
            gone = zone.revoke_api_key(api_key.id)
            screen.document(gone)
            screen.line(f"The API key {gone.id} ({gone.name}) is revoked.")
            screen.next(f"tally key list{at(home)}")


def _resolve(zone: Zone, text: str) -> tuple[ApiKeyView | None, MemberKey | None]:
    """Return the API key or the ledger key that somebody means.

    Raises:
        UsageError: there is none, or it could be several.
    """
    api_key = next((each for each in zone.api_keys() if each.id == text), None)
    starts = len(text) >= MIN_PREFIX and [each for each in own_member(zone).keys if each.key.startswith(text.lower())]
    found = starts or []
    if len(found) + (api_key is not None) > 1:
        raise UsageError(f"several keys begin with {text}", remedy="Give more of it; tally key list --json shows all.")
    if not found and api_key is None:
        raise UsageError(f"this organisation has no key {text}", remedy="See them: tally key list")
    return api_key, found[0] if found else None


def _ledger_key(zone: Zone, text: str) -> MemberKey:
    _, found = _resolve(zone, text)
    if found is None:
        raise UsageError(f"{text} is an API key", remedy="Name a ledger key: tally key list")
    return found


def _changed(screen: Screen, change: OwnKeyChange, what: str, home: Path) -> None:
    screen.document(change)
    screen.line(f"The {change.role} key {change.key} {what}.")
    if change.replaces:
        screen.line(f"It replaces {change.replaces}, which is retired.")
    show_recorded(screen, change.recorded)
    screen.next(f"tally key list{at(home)}")
