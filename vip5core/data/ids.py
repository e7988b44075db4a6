"""Item id schemes: what stands for each item in the prompts, which the model reads and writes.

An id is a number, or a few tokens of its own that are added to the vocabulary. The digits of a number carry meaning.
Numbers assigned along user histories with the held-out items included reveal the answer: the paper's results of P5 and
VIP5 use such ids (`provided`). All other schemes use only the training split, or nothing but the items' content;
`vip5core.data.leak` measures the difference.

Items are numbered under every scheme, along their ids: where these are tokens, no prompt shows the number.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from vip5core.data.dataset import IdTokens
from vip5core.encoders import EncoderChoice, text_model_identity
from vip5core.errors import UserError
from vip5core.id_scheme_names import IdSchemeName, parse_id_scheme
from vip5core.vocabulary import ID_SCHEMES, PROVIDED


@dataclass(frozen=True)
class Catalogue:
    """What schemes make ids of.

    Attributes:
        scheme: the name of the scheme.
        items: a table with `vip5core.data.raw.ITEM_COLUMNS`, in order of raw id.
        training: the training interactions (user, item, position), with raw ids.
        seed: the seed of everything random in a scheme.
        provided: the source's own numbers.
    """

    scheme: IdSchemeName
    items: pd.DataFrame
    training: pd.DataFrame
    seed: int
    provided: Mapping[str, int]

    @property
    def names(self) -> pd.Series:
        """The raw ids of all items."""
        return self.items["raw_id"]


@dataclass(frozen=True)
class ItemIds:
    """The ids of a catalogue.

    Attributes:
        numbers: the number of each item, from 1, by raw id.
        tokens: the tokens of each item, by raw id; a token is a number from 0. Empty if the numbers are the ids.
        record: how many tokens there are, and what they say about the items; None if the numbers are the ids.
    """

    numbers: dict[str, int]
    tokens: dict[str, list[int]]
    record: IdTokens | None = None

    @classmethod
    def along(cls, order: Sequence[str]) -> ItemIds:
        """Numbers that count up in `order`."""
        return cls({raw: number for number, raw in enumerate(order, start=1)}, {})


def random_ids(catalogue: Catalogue) -> ItemIds:
    """Number the items by a seeded permutation: the number says nothing about the item."""
    names = catalogue.names.to_numpy()
    places = np.random.default_rng(catalogue.seed).permutation(len(names))
    return ItemIds.along(names[np.argsort(places)].tolist())


def sequential_ids(catalogue: Catalogue) -> ItemIds:
    """Number the items by first appearance in the users' training histories, user by user.

    Items bought together get neighbouring numbers, as in P5's sequential indexing, but held-out interactions have no
    influence: items that occur only there come last, in seeded order (in order of appearance, their numbers would
    follow the test items).
    """
    items = catalogue.names
    seen = catalogue.training.sort_values(["user", "position"], kind="stable")["item"].drop_duplicates()
    unseen = items[~items.isin(set(seen))].sample(frac=1.0, random_state=catalogue.seed)
    return ItemIds.along([*seen, *unseen])


def collaborative_ids(catalogue: Catalogue) -> ItemIds:
    """Number the items along a tree of clusters: items bought by the same users share leading digits, more or less.

    The tree is a recursive spectral clustering of co-occurrences in the training split; see `vip5core.data.clusters`.
    """
    # Imported here: scikit-learn takes a second, and only some schemes need it.
    from vip5core.data.clusters import order_by_clusters

    return ItemIds.along(list(order_by_clusters(catalogue.names, catalogue.training, catalogue.seed)))


def independent_ids(catalogue: Catalogue) -> ItemIds:
    """A token of its own for each item, numbered at random."""
    numbers = random_ids(catalogue).numbers
    tokens = {raw: [number - 1] for raw, number in numbers.items()}
    return ItemIds(numbers, tokens, IdTokens(tokens=len(tokens), longest=1))


def collaborative_independent_ids(catalogue: Catalogue) -> ItemIds:
    """A token for each cluster that an item is in, from the largest to the smallest, and then one of its own.

    Items without training interactions are in no cluster.
    """
    from vip5core.data.clusters import order_by_clusters

    paths = order_by_clusters(catalogue.names, catalogue.training, catalogue.seed)
    above = {raw: [path[:depth] for depth in range(1, len(path) + 1)] for raw, path in paths.items()}
    clusters = {cluster: token for token, cluster in enumerate(dict.fromkeys(itertools.chain(*above.values())))}
    tokens = {raw: [*map(clusters.__getitem__, above[raw]), len(clusters) + place] for place, raw in enumerate(above)}
    longest = max(map(len, tokens.values()))
    record = IdTokens(tokens=len(clusters) + len(tokens), longest=longest)
    return ItemIds(ItemIds.along(list(paths)).numbers, tokens, record)


def semantic_ids(catalogue: Catalogue) -> ItemIds:
    """Codes of the items' content, coarse to fine, and a token that tells items with the same codes apart.

    See `vip5core.data.semantic_codes`. Items without content share codes of their own.

    Raises:
        UserError: if an encoder cannot be loaded, or fewer than two items have content that can be read.
    """
    from vip5core.data.content_vectors import content_vectors
    from vip5core.data.semantic_codes import residual_codes, share_of_collisions, tell_apart

    has, vectors = content_vectors(catalogue.scheme, catalogue.items, catalogue.seed)
    if has.sum() < 2:
        what = "a picture that can be read" if catalogue.scheme.base == "semantic:image" else "a text"
        raise UserError(
            f"id scheme {str(catalogue.scheme)!r}: {int(has.sum())} of {len(has)} items have {what}, and two are "
            f"needed; choose another: {', '.join(ID_SCHEMES)}"
        )
    codes, centres = residual_codes(vectors, catalogue.seed)
    every = np.tile(centres, (len(has), 1))  # one beyond the last code: no content
    every[has] = codes
    every = np.column_stack([every, tell_apart(every, catalogue.seed)])
    order = np.lexsort(every.T[::-1])
    names = catalogue.names.to_numpy()
    rows = [list(enumerate(row)) for row in every.tolist()]  # each with its level
    token_of = {code: token for token, code in enumerate(sorted(set(itertools.chain(*rows))))}
    tokens = {raw: [token_of[code] for code in row] for raw, row in zip(names, rows, strict=True)}
    record = IdTokens(
        tokens=len(token_of),
        longest=every.shape[1],
        code_use=[len(np.unique(codes[:, level])) / size for level, size in enumerate(centres)],
        collisions=share_of_collisions(codes),
        without_content=int((~has).sum()),
    )
    return ItemIds(ItemIds.along(names[order].tolist()).numbers, tokens, record)


def provided_ids(catalogue: Catalogue) -> ItemIds:
    """The source's own numbers: their order, and the numbers themselves if they are 1, 2, … without a gap.

    Raises:
        UserError: if the source does not number all items.
    """
    items, provided = catalogue.names, catalogue.provided
    missing = items[~items.isin(set(provided))]
    if len(missing):
        example = f", not {missing.iloc[0]!r}" if provided else ""
        others = ", ".join(scheme for scheme in ID_SCHEMES if scheme != PROVIDED)
        raise UserError(
            f"id scheme 'provided': the source numbers {len(items) - len(missing)} of {len(items)} items"
            f"{example}; choose another: {others}"
        )
    return ItemIds.along(sorted(items, key=lambda raw: (provided[raw], raw)))


_SCHEMES: dict[str, Callable[[Catalogue], ItemIds]] = {
    "random": random_ids,
    "sequential": sequential_ids,
    "collaborative": collaborative_ids,
    "independent": independent_ids,
    "collaborative+independent": collaborative_independent_ids,
    "semantic:text": semantic_ids,
    "semantic:image": semantic_ids,
    PROVIDED: provided_ids,
}


def assign_item_ids(
    scheme: str, items: pd.DataFrame, training: pd.DataFrame, seed: int, provided: Mapping[str, int] | None = None
) -> ItemIds:
    """Number the items from 1, and give them tokens if the scheme's ids are made of these.

    Args:
        scheme: the name of the scheme; see `vip5core.id_scheme_names`.
        items: a table with `vip5core.data.raw.ITEM_COLUMNS`.
        training: the training interactions (user, item, position), with raw ids.
        seed: the seed of everything random in a scheme.
        provided: the source's own numbers.

    Raises:
        UserError: for an unknown scheme, or one for which the source lacks what ids are made of.
    """
    name = parse_id_scheme(scheme)
    in_order = items.sort_values("raw_id", kind="stable", ignore_index=True)
    return _SCHEMES[name.base](Catalogue(name, in_order, training, seed, provided or {}))


def models_of_ids(scheme: str) -> list[str]:
    """The identity, by its files, of the model that reads the content of items for a scheme; empty if none does.

    Raises:
        UserError: for an unknown scheme, or a model that does not exist.
    """
    name = parse_id_scheme(scheme)
    if name.base == "semantic:image":
        return [EncoderChoice(name.encoder, name.weights).fingerprint]
    return [text_model_identity(name.encoder.removeprefix("hf:"))] if name.encoder else []
