"""The page of all errors says what the code refuses with."""

from __future__ import annotations

import pytest

from tallystick.machine.rejections import Rejection
from tools.generate_errors_reference import describe, generate

_EMPTY = Rejection(9001, "empty_notice", "a notice says something")
_LIMIT = Rejection(9002, "notice_limit", "{organisation} has | posted")


def test_page_lists_rejections_by_number() -> None:
    """Each rejection of a module is a row with number, name and text, in the order of the numbers."""
    page = describe([("notices", (_LIMIT, _EMPTY))], [], {})

    rows = (
        "| 9001 | `empty_notice` | a notice says something |\n| 9002 | `notice_limit` | {organisation} has \\| posted |"
    )
    assert f"### notices\n\n| number | name | text |\n|---|---|---|\n{rows}\n" in page


def test_page_lists_refusals_by_family() -> None:
    """A named refusal stands under its family, with the exit code that it leads to; a reason beside its remedy."""
    page = describe([], [("wrong_peer", "PeerError", "Another key.")], {"other_zone": "Check the zone."})

    family = page.split("### PeerError (exit code 3)")[1].split("###")[0]
    assert "| `wrong_peer` | Another key. |" in family
    assert "| `other_zone` | Check the zone. |" in page


def test_number_used_twice_is_refused() -> None:
    """Two rejections of one number make no page."""
    with pytest.raises(ValueError, match="share a number"):
        describe([("notices", (_EMPTY,)), ("others", (_EMPTY,))], [], {})


def test_refusal_of_no_family_is_refused() -> None:
    """A refusal whose family is not described makes no page."""
    with pytest.raises(ValueError, match="of no family: OddError"):
        describe([], [("odd", "OddError", "Odd.")], {})


def test_page_of_the_project_names_what_users_meet() -> None:
    """Rejections of the machine and of the modules, refusals of every room and reasons of proofs are all there."""
    page = generate()

    for name in ("malformed", "request_already_decided", "bad_root", "wrong_peer", "card_mismatch", "unreachable"):
        assert f"`{name}` |" in page
    assert "| `not_yet_witnessed` | Wait" in page
