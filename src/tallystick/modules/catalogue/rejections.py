"""Why the catalogue refuses, from 2001. Numbers keep their meaning for ever."""

from __future__ import annotations

from tallystick.machine import Rejection

BAD_NAME = Rejection(2001, "bad_name", "a dataset's name is its owner's id, a slash and a name in a-z, 0-9, -, . and _")
NOT_OWNER = Rejection(2002, "not_owner", "{dataset} is not a dataset of {organisation}")
DATASET_EXISTS = Rejection(2003, "dataset_exists", "{dataset} exists already; revise it, or choose another name")
UNKNOWN_DATASET = Rejection(2004, "unknown_dataset", "there is no dataset {dataset}")
DATASET_WITHDRAWN = Rejection(2005, "dataset_withdrawn", "{dataset} is withdrawn, and stays so")
BAD_TERMS = Rejection(2006, "bad_terms", "the terms are not of the profile: {reason}")
BAD_TEXT = Rejection(2007, "bad_text", "{field} has control characters, or a space at an end, or is repeated")
BAD_VERSION = Rejection(2008, "bad_version", "the version does not hold together: {reason}")
NOTHING_TO_REVISE = Rejection(2009, "nothing_to_revise", "the revision changes nothing of {dataset}")

REJECTIONS: tuple[Rejection, ...] = (
    BAD_NAME,
    NOT_OWNER,
    DATASET_EXISTS,
    UNKNOWN_DATASET,
    DATASET_WITHDRAWN,
    BAD_TERMS,
    BAD_TEXT,
    BAD_VERSION,
    NOTHING_TO_REVISE,
)
