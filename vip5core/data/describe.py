"""Summary statistics of a dataset, to read before spending GPU hours on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from vip5core.data.candidates import explain_lists
from vip5core.data.dataset import Dataset
from vip5core.data.leak import Leak, measure_leak
from vip5core.vocabulary import SPLITS

#: Upper ends of the bins of history lengths.
_LENGTHS = (4, 5, 7, 10, 15, 20, 30, 50, 100)


@dataclass(frozen=True)
class Ascent:
    """How many of the pairs of a tie are in ascending order of the raw ids.

    Attributes:
        pairs: the number of pairs.
        ascending: the number of those in ascending order.
        p_value: of the two-sided binomial test that a pair is as likely to ascend as to descend; None for pairs that
            share items, which are not independent.
    """

    pairs: int
    ascending: int
    p_value: float | None = None

    @classmethod
    def tested(cls, pairs: int, ascending: int) -> Ascent:
        """With its p-value: of pairs that share no item."""
        return cls(pairs, ascending, float(binomtest(ascending, pairs).pvalue) if pairs else 1.0)


@dataclass(frozen=True)
class Description:
    """Summary statistics of a dataset.

    Attributes:
        users, items, interactions: the number of each.
        density: the share of all user-item pairs that are interactions.
        history_lengths: the mean, median and maximum length of a history, with the held-out items.
        length_classes: bins of history lengths (`up to 4`, `5`, `6 to 7`, …), with the number of users in each.
        first, last: the dates of the first and the last interaction; None if the source has no times.
        tied_pairs, tied_ends: how often ties came from the source in ascending order of the raw ids: of all, and of
            those of a user's last two interactions; see `vip5core.data.ties`.
        top_decile: the share of training interactions with the most popular tenth of the items.
        with_further, with_further_url: the number of items with more than one picture, and with addresses of several.
        with_image, with_url, with_title, with_description: the share of items that have one.
        with_explanation: the share of interactions that have an explanation.
        explanations: the number of explanations in each split.
        explanation_words: the median number of words in an explanation.
        aspects: the number of different aspects that explanations are about, and the most frequent ones.
        candidates: what about the candidate lists is not as asked; empty if all is.
        leak: how well the detector of `vip5core.data.leak` predicts the test items.
    """

    users: int
    items: int
    interactions: int
    density: float
    history_lengths: tuple[float, float, int]
    length_classes: list[tuple[str, int]]
    first: str | None
    last: str | None
    tied_pairs: Ascent
    tied_ends: Ascent
    top_decile: float
    with_further: int
    with_further_url: int
    with_image: float
    with_url: float
    with_title: float
    with_description: float
    with_explanation: float
    explanations: dict[str, int]
    explanation_words: float
    aspects: tuple[int, list[str]]
    candidates: str
    leak: Leak


def describe(dataset: Dataset) -> Description:
    """Compute the summary statistics of a dataset."""
    interactions, items, explanations = dataset.interactions, dataset.items, dataset.explanations
    lengths = interactions.groupby("user").size().to_numpy()
    popularity = np.sort(dataset.training_popularity[1:])[::-1]
    order = dataset.manifest.tie_order
    aspects = explanations["aspect"].value_counts()
    first, last = (
        pd.to_datetime([interactions["timestamp"].min(), interactions["timestamp"].max()], unit="s")
        .strftime("%Y-%m-%d")
        .tolist()
        if dataset.manifest.has_times
        else (None, None)
    )
    return Description(
        users=dataset.n_users,
        items=dataset.n_items,
        interactions=len(interactions),
        density=len(interactions) / (dataset.n_users * dataset.n_items),
        history_lengths=(float(lengths.mean()), float(np.median(lengths)), int(lengths.max())),
        length_classes=_count_lengths(lengths),
        first=first,
        last=last,
        tied_pairs=Ascent(order.pairs, order.ascending),
        tied_ends=Ascent.tested(order.ends, order.ends_ascending),
        top_decile=float(popularity[: max(1, len(popularity) // 10)].sum() / popularity.sum()),
        with_further=int((items["further_sha256"].map(len) > 0).sum()),
        with_further_url=int((items["url_pictures"].map(len) > 0).sum()),
        with_image=float(items["image_sha256"].notna().mean()),
        with_url=float((items["image_urls"].map(len) > 0).mean()),
        with_title=dataset.manifest.counts["items_with_title"] / dataset.n_items,
        with_description=float((items["description"] != "").mean()),
        with_explanation=len(explanations[["user", "item"]].drop_duplicates()) / len(interactions),
        explanations={split: int((explanations["split"] == split).sum()) for split in SPLITS},
        explanation_words=float(explanations["explanation"].str.split().map(len).median())
        if len(explanations)
        else 0.0,
        aspects=(len(aspects), aspects.index[:12].tolist()),
        candidates=explain_lists(dataset.manifest.counts, dataset.manifest.candidates, dataset.manifest.drops),
        leak=measure_leak(dataset),
    )


def _count_lengths(lengths: np.ndarray) -> list[tuple[str, int]]:
    ends = [0, *_LENGTHS, max(int(lengths.max()), _LENGTHS[-1] + 1)]
    counts, _ = np.histogram(lengths, bins=[end + 0.5 for end in ends])
    rows = []
    for low, high, count in zip(ends, ends[1:], counts.tolist(), strict=False):
        several = f"{low + 1} to {high}" if low else f"up to {high}"
        rows.append((f"over {low}" if high == ends[-1] else str(high) if low + 1 == high else several, count))
    return rows
