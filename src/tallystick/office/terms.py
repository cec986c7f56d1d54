"""Terms as people give them: a preset's name or an ODRL policy; `modules.catalogue.wording` says what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from tallystick.codec import MalformedError, encode_json
from tallystick.errors import UsageError
from tallystick.modules.catalogue.policy import CONTEXT, PROFILE, Policy, policy_uid
from tallystick.modules.catalogue.presets import PRESETS, preset
from tallystick.modules.catalogue.terms import policy_fault


def resolve_terms(terms: str | Mapping[str, Any] | Policy | None, dataset: str) -> Policy:
    """Return the policy that somebody means.

    Args:
        terms: name of a preset; a policy, of which what follows from the dataset may be left out; None for the default.
        dataset: what it is for.

    Raises:
        UsageError: no such preset, or not a policy that can be the terms of this dataset.
    """
    owner = dataset.partition("/")[0]
    if terms is None or isinstance(terms, str):
        name = terms or "default"
        if name not in PRESETS:
            raise UsageError(
                f"there are no terms called {name}", remedy=f"Use one of {', '.join(PRESETS)}, or a policy of your own."
            )
        return preset(name, owner, dataset)
    if isinstance(terms, Policy):
        policy = terms
    else:
        given = {
            "@context": CONTEXT,
            "@type": "Offer",
            "uid": policy_uid(dataset),
            "profile": PROFILE,
            "assigner": owner,
            "target": dataset,
            "approval": "manual",
        }
        given |= terms
        try:
            policy = msgspec.convert(given, Policy)
            encode_json(policy)
        except (msgspec.ValidationError, MalformedError) as error:
            raise _unfit(str(error)) from None
    fault = policy_fault(policy, dataset)
    if fault is not None:
        raise _unfit(fault)
    return policy


def policy_json(policy: Policy) -> dict[str, Any]:
    """Return a policy as plain JSON values."""
    value: dict[str, Any] = msgspec.to_builtins(policy)
    return value


def _unfit(reason: str) -> UsageError:
    return UsageError(
        f"these terms cannot be used: {reason}",
        remedy=f"Start from a preset ({', '.join(PRESETS)}); `tally dataset show` prints a policy to copy.",
    )
