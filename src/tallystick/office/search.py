"""Finding datasets by words: every word must occur; where and how whole it occurs decides the order."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable

from tallystick.modules.catalogue.records import Dataset

_WHOLE, _BEGINNING, _INSIDE = 10, 6, 2


def split_words(text: str) -> list[str]:
    """Return the words of a text, folded so that case, width and accents of writing do not matter."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(letter if letter.isalnum() else "" if unicodedata.combining(letter) else " " for letter in folded)
    return kept.split()


def score(dataset: Dataset, words: Iterable[str]) -> int:
    """Return how well a dataset answers words; 0 where one of them does not occur."""
    places = (
        (8, split_words(dataset.name.partition("/")[2])),
        (6, split_words(dataset.title)),
        (5, [word for keyword in dataset.keywords for word in split_words(keyword)]),
        (3, split_words(dataset.field)),
        (3, split_words(dataset.owner)),
        (1, split_words(dataset.description)),
    )
    total = 0
    for word in words:
        found = sum(weight * max((_fit(word, each) for each in there), default=0) for weight, there in places)
        if not found:
            return 0
        total += found
    return total or 1


def facets_of(datasets: Iterable[Dataset]) -> dict[str, dict[str, int]]:
    """Return how many datasets there are for each field, owner and keyword, most first."""
    fields: Counter[str] = Counter()
    owners: Counter[str] = Counter()
    keywords: Counter[str] = Counter()
    for dataset in datasets:
        fields[dataset.field] += 1
        owners[dataset.owner] += 1
        keywords.update(dataset.keywords)
    return {"field": _ordered(fields), "owner": _ordered(owners), "keyword": _ordered(keywords)}


def _fit(word: str, other: str) -> int:
    if word == other:
        return _WHOLE
    return _BEGINNING if other.startswith(word) else _INSIDE if word in other else 0


def _ordered(counter: Counter[str]) -> dict[str, int]:
    return dict(sorted(counter.items(), key=lambda item: (-item[1], item[0])))
