"""minimart: a seeded synthetic shop whose truth is planted and known.

What is planted, so that a study on it has a right answer:

- **Items** have a *look* (shape × colour × pattern) that only the image shows, and a *kind* (category) that only
  the text shows: titles say brand, material and kind, never the look.
- **Users** have a taste in looks (two colours, one pattern, two shapes) and in kinds (two).
- **Sequences**: the next item is drawn with probability proportional to exp(utility): `LOOK` for each part of the
  look that the user likes, `KIND` for a liked kind, `FOLLOWS` if the item's kind follows the kind bought last
  (a fixed ring of kinds), plus a popularity that falls with the item's rank. No item is bought twice.
- **Explanations** name one aspect. `colour`, `pattern` and `shape` can be known from the image only; `material`
  and `use` from the title; `price` from nothing (the rating tells its tone). They are split by item: an explanation
  of validation or test is about an item that nobody has explained before, so that its look cannot be learnt from
  other people's words.

A model that sees the images can therefore explain better than one that reads titles, and can recommend better
for items with few interactions; shuffled images help nothing. `truth/items.parquet` and `truth/users.parquet`
hold the looks and tastes, `utility` the rule itself.

The shop also *publishes* item ids that leak, as P5's and VIP5's files do, for studies of id schemes: `published` takes
them, otherwise ids are random. They give away the test items that no user before has bought, about 2 in 100: a small
leak, for a shop with 4 users per item is soon numbered through.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from vip5core.data.raw import EXPLANATION_COLUMNS, INTERACTION_COLUMNS, Details, Provided, RawData, ReadRequest
from vip5core.data.readers.minimart.images import COLOURS, PATTERNS, SHAPES, draw
from vip5core.errors import UserError

DEFAULT_USERS = 600
#: Share of the items whose explanations are held out for validation, and again for the test.
NEW_ITEMS = 0.15
LOOK, KIND, FOLLOWS, POPULARITY = 2.5, 1.0, 1.5, 0.8

KINDS = {  # kind -> what it is for; a ring: each kind is followed by the next
    "kettle": "breakfast",
    "mug": "tea",
    "tray": "serving",
    "lamp": "reading",
    "cushion": "resting",
    "blanket": "napping",
    "basket": "laundry",
    "clock": "mornings",
}
MATERIALS = ("oak", "linen", "steel", "glass", "clay", "cork")
BRANDS = ("Alder", "Birk", "Corvo", "Delta", "Esker", "Fjord", "Grove", "Haven", "Isla", "Juno")

_COLOUR_NAMES = tuple(COLOURS)
_HANDLES = ("swift", "quiet", "amber", "misty", "brave", "lucky", "merry", "noble", "rapid", "sunny")
_ANIMALS = ("otter", "heron", "badger", "finch", "lynx", "moth", "newt", "raven", "stoat", "wren")

_TONES = {  # rating 4 and 5, or below
    "colour": ("the {colour} colour is lovely", "the {colour} colour is too loud for me"),
    "pattern": ("i like how the {pattern} pattern looks", "the {pattern} pattern is not what i hoped for"),
    "shape": ("the {shape} shape makes me smile", "the {shape} shape looks odd at home"),
    "material": ("the {material} feels solid and well made", "the {material} feels thin and cheap"),
    "use": ("just right for {use} every day", "not really made for {use} every day"),
    "price": ("a fair price and worth every penny", "too expensive for what it is"),
}
_SUMMARIES = ("so happy with this {kind}", "this {kind} let me down")


def read_minimart(request: ReadRequest) -> RawData:
    """Generate the shop `minimart`, `minimart:N` with N users, or `minimart:N:S` with shop seed S.

    Without S the request's seed is the shop's seed, too; ids and candidate lists follow the request's seed in any case.
    Shops of two seeds share the language and the rule, but no item and no user.

    Raises:
        UserError: if N or S is not such a number, or more than these two are given.
    """
    size, colon, seed = request.part.partition(":")
    name = f"{request.name}:{request.part}"
    if (size or colon) and not (_is_number(size) and int(size) > 0):
        raise UserError(f"dataset {name!r}: the size after ':' must be a positive number of users")
    if colon and not (_is_number(seed) and int(seed) < 2**32):
        raise UserError(
            f"dataset {name!r}: after the number of users comes the shop's seed, from 0 to {2**32 - 1}, "
            f"such as {request.name}:{size}:1"
        )
    return generate_shop(int(size) if size else DEFAULT_USERS, int(seed) if colon else request.seed)


def _is_number(text: str) -> bool:
    return text.isdecimal() and text.isascii()


def generate_shop(users: int = DEFAULT_USERS, seed: int = 0) -> RawData:
    """Generate the shop.

    Args:
        users: how many users; items follow as a quarter as many, at least 60, at most 12,000. 20,000 users are fine.
        seed: of everything.

    Raises:
        UserError: for fewer than 20 users.
    """
    if users < 20:
        raise UserError(f"minimart with {users} users: the smallest shop that can be split has 20")
    rng = np.random.default_rng([seed, users])
    n_items = min(max(users // 4, 60), 12_000)
    items = _items(n_items, rng)
    tastes = _tastes(users, rng)
    interactions = _interactions(items, tastes, rng)
    explanations = _explanations(interactions, items, rng)
    details = Details(
        items=pd.DataFrame(
            {
                "raw_id": items["raw_id"],
                "title": items["brand"] + " " + items["material"] + " " + items["kind"],
                "categories": [[kind] for kind in items["kind"]],
                "description": "",
                "image": [
                    draw(shape, colour, pattern, rng)
                    for shape, colour, pattern in zip(items["shape"], items["colour"], items["pattern"], strict=True)
                ],
                "image_urls": [[] for _ in range(n_items)],
            }
        ),
        users=pd.DataFrame({"raw_id": tastes["raw_id"], "name": tastes["name"]}),
        explanations=explanations,
        truth={"items": items, "users": tastes},
    )
    return RawData(
        source={"name": "minimart", "users": str(users), "seed": str(seed)},
        interactions=interactions[INTERACTION_COLUMNS],
        details=lambda kept: details,
        provided=Provided(item_ids=_provided_ids(interactions)),
    )


def _provided_ids(interactions: pd.DataFrame) -> dict[str, int]:
    """Numbers by first appearance along the users' whole histories, the held-out items included."""
    return {raw_id: number for number, raw_id in enumerate(interactions["item"].drop_duplicates(), start=1)}


def utility(items: pd.DataFrame, tastes: pd.DataFrame, last_kind: np.ndarray) -> np.ndarray:
    """How much each user wants each item next, up to noise.

    Args:
        items: truth of the items (kind, shape, colour, pattern, popularity).
        tastes: truth of the users (colours, patterns, shapes, kinds: lists of liked values).
        last_kind: position in `KINDS` of the kind each user bought last, -1 for none. Shape: [users].

    Returns:
        Shape: [users, items].
    """
    look = sum(
        _likes(tastes[many], items[one], names)
        for many, one, names in (
            ("colours", "colour", _COLOUR_NAMES),
            ("patterns", "pattern", PATTERNS),
            ("shapes", "shape", SHAPES),
        )
    )
    kinds = tuple(KINDS)
    kind = items["kind"].map(kinds.index).to_numpy()
    follows = ((last_kind[:, None] + 1) % len(kinds) == kind[None, :]) & (last_kind[:, None] >= 0)
    return (
        LOOK * look
        + KIND * _likes(tastes["kinds"], items["kind"], kinds)
        + FOLLOWS * follows
        + items["popularity"].to_numpy(dtype=np.float32)
    )


def _likes(liked: pd.Series, values: pd.Series, names: tuple[str, ...]) -> np.ndarray:
    """1 where a user likes an item's value, else 0. Shape: [users, items]."""
    table = np.zeros((len(liked), len(names)), dtype=np.float32)
    for row, likes in enumerate(liked):
        table[row, [names.index(name) for name in likes]] = 1.0
    return table[:, values.map(names.index).to_numpy()]


def _items(n: int, rng: np.random.Generator) -> pd.DataFrame:
    rank = rng.permutation(n)
    return pd.DataFrame(
        {
            "raw_id": [f"P{number:05d}" for number in range(n)],
            "brand": rng.choice(BRANDS, n),
            "material": rng.choice(MATERIALS, n),
            "kind": rng.choice(list(KINDS), n),
            "shape": rng.choice(SHAPES, n),
            "colour": rng.choice(_COLOUR_NAMES, n),
            "pattern": rng.choice(PATTERNS, n),
            "popularity": (POPULARITY * (1.0 - 2.0 * rank / n)).astype(np.float32),
        }
    )


def _tastes(n: int, rng: np.random.Generator) -> pd.DataFrame:
    def some(names: tuple[str, ...], count: int) -> list[list[str]]:
        return [rng.choice(names, count, replace=False).tolist() for _ in range(n)]

    return pd.DataFrame(
        {
            "raw_id": [f"U{number:06d}" for number in range(n)],
            "name": [f"{rng.choice(_HANDLES)} {rng.choice(_ANIMALS)} {number}" for number in range(n)],
            "colours": some(_COLOUR_NAMES, 2),
            "patterns": some(PATTERNS, 1),
            "shapes": some(SHAPES, 2),
            "kinds": some(tuple(KINDS), 2),
        }
    )


def _interactions(items: pd.DataFrame, tastes: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Sequences by the rule of `utility`, a thousand users at a time (memory: 1,000 × items)."""
    kind = items["kind"].map(tuple(KINDS).index).to_numpy()
    parts = []
    for start in range(0, len(tastes), 1000):
        part = tastes.iloc[start : start + 1000]
        length = 6 + np.minimum(rng.geometric(0.12, len(part)) - 1, 24)
        last = np.full(len(part), -1)
        bought = np.zeros((len(part), len(items)), dtype=bool)
        clock = 1_600_000_000 + rng.integers(0, 86_400 * 365, len(part))
        for step in range(int(length.max())):
            active = np.flatnonzero(length > step)
            wish = utility(items, part.iloc[active], last[active])
            wish += rng.gumbel(size=wish.shape).astype(np.float32)  # argmax of it: a draw from softmax(utility)
            wish[bought[active]] = -np.inf
            choice = wish.argmax(axis=1)
            bought[active, choice] = True
            last[active] = kind[choice]
            clock[active] += rng.integers(3_600, 86_400 * 14, len(active))
            liking = utility(items, part.iloc[active], np.full(len(active), -1))[np.arange(len(active)), choice]
            parts.append(
                pd.DataFrame(
                    {
                        "user": part["raw_id"].to_numpy()[active],
                        "item": items["raw_id"].to_numpy()[choice],
                        "timestamp": clock[active],
                        "rating": np.clip(np.round(2.2 + liking / LOOK + rng.normal(0, 0.8, len(active))), 1, 5),
                    }
                )
            )
    return pd.concat(parts).sort_values(["user", "timestamp"], kind="stable").reset_index(drop=True)


def _explanations(interactions: pd.DataFrame, items: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """An explanation for every interaction, about an aspect drawn evenly from `_TONES`; split by item.

    None for training about a user's last two items: those are held out.
    """
    facts = items.set_index("raw_id")
    order = rng.permutation(items["raw_id"])
    held_out = int(NEW_ITEMS * len(order))
    split_of = dict.fromkeys(order, "train")
    split_of |= dict.fromkeys(order[:held_out], "test") | dict.fromkeys(order[held_out : 2 * held_out], "valid")
    aspects = rng.choice(list(_TONES), len(interactions))
    from_last = interactions.groupby("user").cumcount(ascending=False)
    rows = []
    for user, item, rating, aspect, place in zip(
        interactions["user"], interactions["item"], interactions["rating"], aspects, from_last, strict=True
    ):
        if place < 2 and split_of[item] == "train":
            continue
        fact = facts.loc[item]
        words = {**fact, "use": KINDS[fact["kind"]]}
        tone = 0 if rating >= 4 else 1
        summary = _SUMMARIES[tone].format(**words)
        rows.append((user, item, rating, summary, aspect, _TONES[aspect][tone].format(**words), split_of[item]))
    return pd.DataFrame(rows, columns=EXPLANATION_COLUMNS)
