"""`tally dataset`: offer data, find what others offer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tallystick.cli.options import HOME, HomeOption, JsonOption, at, client, full_name, read_terms
from tallystick.cli.parties import show_recorded, show_terms
from tallystick.cli.screen import Screen, Word, count_of, show_size, show_time
from tallystick.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tallystick.views import DatasetView

app = typer.Typer(help="Datasets: what organisations offer, under which terms.", no_args_is_help=True)

FIELDS = (
    "agriculture, education, energy, environment, finance, health, manufacturing, other, public-administration, "
    "trade-finance, transport"
)
DatasetArgument = Annotated[
    str,
    typer.Argument(metavar="NAME", help="Its name, such as city-hospital/discharges-2024; one's own without the id."),
]
TermsOption = Annotated[
    str | None,
    typer.Option(
        "--terms",
        metavar="PRESET|FILE",
        help="research-90d, internal-use-1y, open-within-zone, or a file with an ODRL policy. By default: a named "
        "recipient, manual approval, 90 days, no onward sharing.",
    ),
]


def existing(path: Path) -> Path:
    """Return the absolute path of a file or folder.

    Raises:
        UsageError: there is none.
    """
    if not path.exists():
        raise UsageError(f"there is no {path}", remedy="Name a file or folder of this machine.")
    return path.absolute()


@app.command()
def offer(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file or folder; it stays where it is.")],
    name: Annotated[str, typer.Option("--name", help="Of the dataset, such as discharges-2024.")],
    title: Annotated[str, typer.Option("--title", help="One line for people.")],
    terms: TermsOption = None,
    field: Annotated[str, typer.Option("--field", help=f"The field of work: {FIELDS}.")] = "other",
    description: Annotated[str, typer.Option("--description", help="What it holds.")] = "",
    keyword: Annotated[list[str] | None, typer.Option("--keyword", help="To find it by; may be repeated.")] = None,
    licence: Annotated[str, typer.Option("--licence", help="Under which you hold or publish it.")] = "",
    source: Annotated[str, typer.Option("--source", help="Where it comes from.")] = "",
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Offer a file or folder to the zone.

    Its fingerprint is taken and recorded; the data stays where it is.
    """
    screen = Screen(as_json)
    path, policy = existing(file), terms and read_terms(terms)
    with client(home) as zone, screen.progress(f"fingerprint of {path.name}") as progress:
        made = zone.offer(
            path,
            name=name,
            title=title,
            field=field,
            description=description,
            keywords=tuple(keyword or ()),
            licence=licence,
            source_name=source,
            terms=policy,
            progress=progress,
        )
    screen.document(made)
    screen.line(f"{made.name} is offered: {_measure(made)}. The data stays at {path}.")
    show_terms(screen, made.terms_summary)
    show_recorded(screen, made.recorded)
    screen.next(f"tally dataset show {made.name}{at(home)}")


@app.command()
def revise(
    name: DatasetArgument,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Data of a new version, a file or folder.")
    ] = None,
    title: Annotated[str | None, typer.Option("--title", help="Another title.")] = None,
    terms: TermsOption = None,
    field: Annotated[str | None, typer.Option("--field", help=f"Another field of work: {FIELDS}.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="Another description.")] = None,
    keyword: Annotated[
        list[str] | None, typer.Option("--keyword", help="Other keywords, in place of all before; may be repeated.")
    ] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="Another licence.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="Another source.")] = None,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Change an own dataset, or add a version.

    What was before stays on the record.
    """
    given: dict[str, Any] = {
        "source": None if file is None else existing(file),
        "title": title,
        "field": field,
        "description": description,
        "keywords": tuple(keyword) if keyword else None,
        "licence": licence,
        "source_name": source,
        "terms": terms and read_terms(terms),
    }
    changes = {key: value for key, value in given.items() if value is not None}
    if not changes:
        raise UsageError("nothing was given to change", remedy="Give --file, --title, --terms or another option.")
    screen = Screen(as_json)
    with client(home) as zone, screen.progress(f"revising {name}") as progress:
        made = zone.revise(full_name(zone, name), progress=progress, **changes)
    screen.document(made)
    screen.line(f"{made.name} is revised; version {made.latest.version}: {_measure(made)}.")
    show_recorded(screen, made.recorded)
    screen.next(f"tally dataset show {made.name}{at(home)}")


@app.command()
def find(
    words: Annotated[list[str] | None, typer.Argument(metavar="WORDS", help="All of which must be in it.")] = None,
    field: Annotated[str | None, typer.Option("--field", help=f"Only of this field of work: {FIELDS}.")] = None,
    owner: Annotated[str, typer.Option("--owner", help="Only of this organisation.")] = "",
    keyword: Annotated[str, typer.Option("--keyword", help="Only with this keyword.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="How many.")] = 50,
    offset: Annotated[int, typer.Option("--offset", min=0, help="How many to pass over.")] = 0,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Find datasets by words, field, owner or keyword."""
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.find(" ".join(words or ()), field=field, owner=owner, keyword=keyword, limit=limit, offset=offset)
    screen.document({"datasets": found.datasets, "total": found.total, "facets": found.facets})
    _table(screen, found.datasets, "Nothing of that kind is offered.")
    if found.total > len(found.datasets):
        screen.line(f"{len(found.datasets)} of {found.total}; see more with --offset, or say more words.")
    for facet, counts in found.facets.items():
        if found.total > 1 and len(counts) > 1:
            screen.line(f"by {facet}: " + ", ".join(f"{value} {number}" for value, number in counts.items()))
    if found.datasets:
        screen.next(f"tally dataset show {found.datasets[0].name}{at(home)}")
    else:
        screen.next(f"tally dataset list --all{at(home)}")


@app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="Those of all organisations.")] = False,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """List this organisation's datasets, withdrawn ones too."""
    screen = Screen(as_json)
    datasets: list[DatasetView] = []
    with client(home) as zone:
        owner = "" if all_ else zone.organisation
        while True:
            found = zone.find(owner=owner, withdrawn=True, limit=200, offset=len(datasets))
            datasets += found.datasets
            if not found.datasets or len(datasets) >= found.total:
                break
    screen.document(datasets)
    _table(screen, datasets, "No datasets yet.")
    if datasets:
        screen.next(f"tally dataset show {datasets[0].name}{at(home)}")
    else:
        screen.next(f"tally dataset offer FILE --name NAME --title TITLE{at(home)}")


@app.command()
def show(name: DatasetArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Show a dataset: its terms, versions and columns."""
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.dataset(full_name(zone, name))
    screen.document(found)
    screen.fields(
        [
            ("dataset", found.name),
            ("title", found.title),
            ("owner", "you" if found.mine else found.owner),
            ("status", _status(found)),
            ("field", found.field),
            ("description", found.description),
            ("keywords", ", ".join(found.keywords)),
            ("licence", found.licence),
            ("source", found.source),
            ("offered", show_time(found.offered_at)),
            ("changed", show_time(found.changed_at)),
            ("withdrawn", show_time(found.withdrawn_at)),
            ("size", _measure(found)),
            ("kind", found.latest.media_type),
            ("fingerprint", found.latest.fingerprint),
        ]
    )
    show_terms(screen, found.terms_summary)
    if found.latest.columns:
        screen.line("columns:")
        screen.table(("name", "type"), found.latest.columns)
    if len(found.versions) > 1:
        screen.line("versions:")
        screen.table(
            ("version", "published", "size", "fingerprint"),
            (
                (each.version, show_time(each.published_at), show_size(each.size), each.fingerprint)
                for each in found.versions
            ),
        )
    if found.mine:
        screen.next(f"tally request list --direction received{at(home)}")
    else:
        screen.next(f'tally request send {found.name} --purpose "..."{at(home)}')


@app.command()
def preview(
    name: DatasetArgument,
    rows: Annotated[int, typer.Option("--rows", min=1, max=200, help="How many.")] = 20,
    home: HomeOption = HOME,
    as_json: JsonOption = False,
) -> None:
    """Show the first rows of an own or received table."""
    screen = Screen(as_json)
    with client(home) as zone:
        found = zone.preview(full_name(zone, name), rows)
    screen.document(found)
    screen.table([column for column, _ in found.columns], found.rows, empty="The table has no rows.", upper=False)
    of = "" if found.total_rows is None else f" of {found.total_rows:,}"
    where = "your own data" if found.origin == "own" else "what was received"
    screen.line(f"{found.dataset}, version {found.version}, {found.file}: {len(found.rows)}{of} rows of {where}.")
    screen.next(f"tally dataset show {found.dataset}{at(home)}")


@app.command()
def withdraw(name: DatasetArgument, home: HomeOption = HOME, as_json: JsonOption = False) -> None:
    """Withdraw an own dataset.

    Nobody can request it any more; agreements in force stay.
    """
    screen = Screen(as_json)
    with client(home) as zone:
        made = zone.withdraw(full_name(zone, name))
    screen.document(made)
    screen.line(f"{made.name} is withdrawn: it can no longer be requested. Agreements in force stay.")
    show_recorded(screen, made.recorded)
    screen.next(f"tally agreement list --dataset {made.name}{at(home)}")


def _status(dataset: DatasetView) -> Word:
    return Word(dataset.status, "green" if dataset.status == "offered" else "yellow")


def _measure(dataset: DatasetView) -> str:
    latest = dataset.latest
    parts = [show_size(latest.size), count_of(latest.files, "file")]
    if latest.rows is not None:
        parts.append(count_of(latest.rows, "row"))
    if latest.columns:
        parts.append(count_of(len(latest.columns), "column"))
    return ", ".join(parts)


def _table(screen: Screen, datasets: Iterable[DatasetView], empty: str) -> None:
    screen.table(
        ("name", "title", "field", "version", "size", "rows", "status", "changed"),
        (
            (
                each.name,
                each.title,
                each.field,
                each.latest.version,
                show_size(each.latest.size),
                "" if each.latest.rows is None else f"{each.latest.rows:,}",
                _status(each),
                show_time(each.changed_at),
            )
            for each in datasets
        ),
        empty=empty,
    )
