"""Candidate lists of direct recommendation: drawn once, stored with the dataset, the same for every trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from vip5core.data.raw import Drop, DropLedger
from vip5core.vocabulary import CANDIDATES

#: What the ledger calls a negative that came with the source.
NEGATIVE = "negative"


def choose_negatives(
    provided: Mapping[str, Sequence[str]],
    user_of: Mapping[str, int],
    item_of: Mapping[str, int],
    interactions: pd.DataFrame,
    ledger: DropLedger,
) -> dict[int, list[int]]:
    """The negatives that came with a source, by user: distinct items of the dataset that the user does not have.

    Args:
        provided: raw item ids by raw user id.
        user_of: the number of each user of the dataset, by raw id.
        item_of: the number of each item of the dataset, by raw id.
        interactions: a table with the columns user, item (numbers) and split.
        ledger: takes those that are left out.
    """
    histories = interactions.groupby("user")["item"].agg(set)
    held_out = interactions[interactions["split"] != "train"].groupby("user")["item"].agg(set)
    chosen: dict[int, list[int]] = {}
    for raw_user, raw_items in provided.items():
        user = user_of.get(raw_user)
        if user is None:
            continue
        usable = chosen[user] = []
        faults = {
            "is the user's held-out item": held_out.get(user, set()),
            "is in the user's history": histories[user],
            "is in its list before": set(),
        }
        for raw_item in raw_items:
            item = item_of.get(raw_item, 0)
            fault = next((fault for fault, items in faults.items() if item in items), "")
            if fault or not item:
                where = f"user {raw_user}, item {raw_item}"
                ledger.add(NEGATIVE, f"{fault or 'is no item of the dataset'}: left out", where)
            else:
                usable.append(item)
                faults["is in its list before"].add(item)
    return chosen


def count_lists(lists: pd.DataFrame, size: int, provided: Mapping[int, Sequence[int]]) -> dict[str, int]:
    """How many lists came with the source or are not as long as asked, for the manifest."""
    lengths = lists["candidates"].map(len)
    return {
        "lists_with_provided_negatives": len(provided),
        "provided_lists_filled_by_drawing": sum(len(negatives) < size - 1 for negatives in provided.values()),
        "candidate_lists": len(lists),
        "short_candidate_lists": int((lengths < size).sum()),
        "shortest_candidate_list": int(lengths.min()),
    }


def explain_lists(counts: Mapping[str, int], size: int, drops: Sequence[Drop]) -> str:
    """What about the candidate lists of a manifest is not as asked, in one line; empty if all is."""
    left_out = sum(drop.count for drop in drops if drop.what == NEGATIVE)
    filled, short = (counts.get(name, 0) for name in ("provided_lists_filled_by_drawing", "short_candidate_lists"))
    told = [
        f"{short:,} of {counts.get('candidate_lists', 0):,} candidate lists are shorter than {size}, the shortest has "
        f"{counts.get('shortest_candidate_list', 0)}: too few items are left for them"
    ] * bool(short)
    told += [f"{left_out:,} provided negatives were left out"] * bool(left_out)
    told += [f"{filled:,} provided lists were filled up by drawing"] * bool(filled)
    return "; ".join(told)


def draw_candidates(
    histories: Sequence[np.ndarray],
    targets: Sequence[Mapping[str, int]],
    n_items: int,
    seed: int,
    size: int = CANDIDATES,
    provided: Mapping[int, Sequence[int]] | None = None,
) -> pd.DataFrame:
    """Draw `size` candidates for every target of a user: the target and negatives, shuffled.

    Negatives are items that are not in the user's history. If there are too few of them, the list has all of them.

    Args:
        histories: the item ids of users 1, 2, …, held-out ones included.
        targets: the items of users 1, 2, … that are asked for, by held-out split.
        n_items: the number of items; their ids are 1 … n_items.
        seed: the seed of the draws.
        size: the length of a list, with the target.
        provided: negatives that came with the source, by user, distinct and outside the history (see
            `choose_negatives`); what is missing is drawn.

    Returns:
        A table with the columns user, split, candidates (a list of item ids, with the target).
    """
    rng = np.random.default_rng([seed, n_items])

    def rows() -> Iterator[dict[str, object]]:
        for user, (history, of_user) in enumerate(zip(histories, targets, strict=True), start=1):
            for split, target in of_user.items():
                negatives = _negatives(rng, history, n_items, size - 1, (provided or {}).get(user, ()))
                yield {
                    "user": user,
                    "split": split,
                    "candidates": rng.permutation(np.append(negatives, target)).astype(np.int32),
                }

    return pd.DataFrame(rows(), columns=["user", "split", "candidates"])


def _negatives(
    rng: np.random.Generator, history: np.ndarray, n_items: int, size: int, provided: Sequence[int]
) -> np.ndarray:
    """`size` distinct items outside `history`, or all of them if there are fewer; those of `provided` first."""
    known = set(history.tolist())
    chosen = list(provided[:size])
    free = n_items - len(known)
    if free <= 2 * size:  # rejection sampling would be slow: draw from the complement
        complement = np.setdiff1d(np.arange(1, n_items + 1), np.append(history, chosen))
        return np.append(np.array(chosen, dtype=np.int32), rng.permutation(complement)[: size - len(chosen)])
    taken = known.union(chosen)
    while len(chosen) < size:
        for item in rng.integers(1, n_items + 1, size - len(chosen)).tolist():
            if item not in taken:
                taken.add(item)
                chosen.append(item)
    return np.array(chosen, dtype=np.int32)
