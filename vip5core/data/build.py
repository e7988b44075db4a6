"""Builds a `Dataset` folder from the tables of a reader."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vip5core.data.candidates import choose_negatives, count_lists, draw_candidates
from vip5core.data.dataset import MANIFEST, SCHEMA_VERSION, Manifest, images_fingerprint, write_table
from vip5core.data.filters import (
    DUPLICATES,
    REPEATS,
    Duplicates,
    Repeats,
    drop_duplicates,
    drop_short_users,
    k_core,
    resolve_repeats,
)
from vip5core.data.held_out import describe_held_out
from vip5core.data.ids import assign_item_ids
from vip5core.data.imported_features import import_features
from vip5core.data.raw import Details, DropLedger, RawData
from vip5core.data.split import MIN_INTERACTIONS, find_targets, leave_one_out, split_at, time_points
from vip5core.data.ties import measure_tie_order, tie_places, with_positions
from vip5core.errors import UserError, unknown_name
from vip5core.fingerprint import sha256_bytes
from vip5core.id_scheme_names import parse_id_scheme
from vip5core.storage import atomic_folder
from vip5core.vocabulary import (
    CANDIDATES,
    HELD_OUT,
    LEAKY_ID_SCHEMES,
    SPLIT_SCHEMES,
    SPLITS,
    TIES,
    SplitScheme,
    Ties,
)

#: Text that a T5 tokenizer would treat as a control token: removed from titles and all other texts.
_CONTROL_TOKENS = re.compile(r"</?\s*(s|pad|unk|extra_id_\d+)\s*>", re.IGNORECASE)


@dataclass(frozen=True)
class BuildOptions:
    """How a dataset is prepared; recorded in its manifest.

    Attributes:
        id_scheme: the scheme of the item ids, see `vip5core.data.ids` and `vip5core.id_scheme_names`.
        k_core: the minimum number of interactions that every user and item must have among those kept; 0 keeps all.
        duplicates: whether to `drop` or to `keep` further rows of the same user, item and second.
        repeats: which of a user's interactions with one item at different times to keep: the `first`, the `last`, or
            all (`keep`).
        ties: the order of a user's interactions at the same time: seeded (`shuffle`), or that of the `file`.
        split: what is held out: the last two interactions of each user (`leave-one-out`), or all after two points in
            time (`time`).
        held_out: the share of all interactions in each held-out split, if these are split by time.
        candidates: the length of the stored candidate lists, with the target.
        seed: the seed of the item ids, the order of ties and the candidate lists.
    """

    id_scheme: str = "random"
    k_core: int = 0
    duplicates: Duplicates = "drop"
    repeats: Repeats = "first"
    ties: Ties = "shuffle"
    split: SplitScheme = "leave-one-out"
    held_out: float = 0.1
    candidates: int = CANDIDATES
    seed: int = 0

    def check(self) -> None:
        """Raises: UserError if a value is invalid."""
        parse_id_scheme(self.id_scheme)
        if self.candidates < 2:
            raise UserError(f"candidates={self.candidates}: must be at least 2, the target and one negative")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed={self.seed}: must be from 0 to {2**32 - 1}")
        if self.k_core < 0:
            raise UserError(
                f"k_core={self.k_core}: must be 0 (keep all) or a minimum number of interactions, such as 5"
            )
        if not 0 < self.held_out < 0.5:
            raise UserError(f"held_out={self.held_out}: must be above 0 and below 0.5, such as 0.1")
        if self.split != "time" and self.held_out != BuildOptions.held_out:
            raise UserError(
                f"held_out={self.held_out} has no effect with split={self.split!r}: give split=time with it"
            )
        for name, known in (
            ("duplicates", DUPLICATES),
            ("repeats", REPEATS),
            ("ties", TIES),
            ("split", SPLIT_SCHEMES),
        ):
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)


def clean_text(text: object) -> str:
    """Turn text into one line of plain text, without control tokens and characters, white space collapsed.

    Unicode is composed (NFKC, as T5's own normaliser does), and a combining mark with nothing to combine with
    is dropped: tokenising word by word then equals tokenising the whole line.
    """
    if not isinstance(text, str):
        return ""
    if text.isascii() and text.isprintable() and "<" not in text:  # most text: nothing to compose or to remove
        return " ".join(text.split())
    text = _CONTROL_TOKENS.sub(" ", unicodedata.normalize("NFKC", text))
    text = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in text)
    words = (re.sub(r"^\W+", _without_marks, word) for word in text.split())
    return " ".join(word for word in words if word)


def _without_marks(match: re.Match[str]) -> str:
    return "".join(c for c in match[0] if not unicodedata.category(c).startswith("M"))


def build_dataset(raw: RawData, out: Path, options: BuildOptions | None = None) -> Path:
    """Filter, number, split and write a source; `out` appears complete or not at all.

    The manifest counts what the options drop, and the users with fewer than `MIN_INTERACTIONS` interactions, which
    cannot be split.

    Raises:
        UserError: if no interaction is left, an option is invalid, or a source without times is to be split by time.
    """
    options = options or BuildOptions()
    options.check()
    if options.split == "time" and not raw.has_times:
        raise UserError(f"split=time: source {raw.source['name']!r} has an order but no times: use split=leave-one-out")
    ledger = raw.ledger
    interactions, details = _filter(raw, options, ledger)
    tie_order = measure_tie_order(interactions, raw.has_times)
    interactions = _split(interactions, options)

    items = details.items[details.items["raw_id"].isin(set(interactions["item"]))].reset_index(drop=True)
    if len(items) < len(details.items):
        ledger.add("item", "no interactions left", count=len(details.items) - len(items))
    users = details.users[details.users["raw_id"].isin(set(interactions["user"]))].reset_index(drop=True)

    training = interactions[interactions["split"] == "train"]
    items["title"], items["description"] = items["title"].map(clean_text), items["description"].map(clean_text)
    items["categories"] = items["categories"].map(lambda names: [clean_text(name) for name in names])
    item_ids = assign_item_ids(options.id_scheme, items, training, options.seed, raw.provided.item_ids)
    item_of = item_ids.numbers
    user_of = {raw_id: number for number, raw_id in enumerate(users["raw_id"], start=1)}

    items = items.assign(item=items["raw_id"].map(item_of)).sort_values("item").reset_index(drop=True)
    items["id_tokens"] = [item_ids.tokens.get(raw_id, []) for raw_id in items["raw_id"]]
    titled = int((items["title"] != "").sum())
    items["title"] = _fill_titles(items, ledger)
    if "url_pictures" in items:
        items["url_pictures"] = [shown if len(set(shown)) > 1 else [] for shown in items["url_pictures"]]
    names = users["name"].map(clean_text)
    users = users.assign(user=users["raw_id"].map(user_of), name=names.where(names != "", users["raw_id"]))
    explanations = _split_explanations(details.explanations, interactions, ledger)
    interactions = _number_rows(interactions, user_of, item_of).sort_values(["user", "position"])
    explanations = _number_rows(explanations, user_of, item_of).sort_values(["split", "user", "item"], kind="stable")

    histories = [group.to_numpy() for _, group in interactions.groupby("user")["item"]]
    negatives = choose_negatives(raw.provided.negatives, user_of, item_of, interactions, ledger)
    targets = _find_targets(interactions, len(users))
    candidates = draw_candidates(histories, targets, len(items), options.seed, options.candidates, negatives)

    with atomic_folder(out) as folder:
        images = _copy_images(items, folder, ledger)
        items["image"] = pd.Series([name for name, _ in images], dtype=object)
        items["image_sha256"] = pd.Series([digest for _, digest in images], dtype=object)
        tables = {
            name: write_table(frame, name, folder)
            for name, frame in {
                "items": items,
                "users": users,
                "interactions": interactions,
                "explanations": explanations,
                "candidates": candidates,
            }.items()
        }
        for name, frame in details.truth.items():
            (folder / "truth").mkdir(exist_ok=True)
            ids = {"items": item_of, "users": user_of}[name]
            frame.assign(id=frame["raw_id"].map(ids)).to_parquet(folder / "truth" / f"{name}.parquet", index=False)
        features = import_features(raw.provided.features, items["raw_id"], folder, ledger)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            source=raw.source,
            counts={
                "interactions_in_source": len(raw.interactions),
                "users": len(users),
                "items": len(items),
                "interactions": len(interactions),
                "users_in_training": training["user"].nunique(),
                "items_in_training": training["item"].nunique(),
                "items_with_image": int(items["image"].notna().sum()),
                "items_with_title": titled,
                **count_lists(candidates, options.candidates, negatives),
                **{f"explanations_{split}": int((explanations["split"] == split).sum()) for split in SPLITS},
            },
            tables=tables,
            images=images_fingerprint(items),
            features=features,
            id_scheme=str(parse_id_scheme(options.id_scheme)),
            ids_leak=options.id_scheme in LEAKY_ID_SCHEMES,
            id_tokens=item_ids.record,
            split=options.split,
            held_out=options.held_out,
            held_out_splits={
                split: describe_held_out(interactions, split, options.split == "time") for split in HELD_OUT
            },
            ties=options.ties,
            tie_order=tie_order,
            has_times=raw.has_times,
            k_core=options.k_core,
            duplicates=options.duplicates,
            repeats=options.repeats,
            candidates=options.candidates,
            seed=options.seed,
            drops=ledger.drops(),
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")
    return out


def _filter(raw: RawData, options: BuildOptions, ledger: DropLedger) -> tuple[pd.DataFrame, Details]:
    """The interactions that the options keep, and what the source knows about their items and users."""
    interactions = raw.interactions.reset_index(drop=True)
    interactions["fraction"] = interactions.get("fraction", 0)
    interactions["place"] = tie_places(len(interactions), options.ties, options.seed)
    if options.duplicates == "drop":
        interactions = drop_duplicates(interactions, ledger)
    interactions = resolve_repeats(interactions, options.repeats, ledger)
    interactions = _filter_to_core(interactions, raw, options, ledger)
    details = raw.details(_split(interactions, options))
    described = interactions["item"].isin(set(details.items["raw_id"]))
    if not described.all():
        ledger.add(
            "interaction",
            "its item is not described by the source",
            str(interactions.loc[~described, "item"].iloc[0]),
            count=int((~described).sum()),
        )
        interactions = _filter_to_core(interactions[described].reset_index(drop=True), raw, options, ledger)
    return interactions, details


def _split(interactions: pd.DataFrame, options: BuildOptions) -> pd.DataFrame:
    """The interactions in order, with their splits.

    Raises:
        UserError: if nobody could be trained on, or asked for an item of a held-out split.
    """
    ordered = with_positions(interactions)
    if options.split == "leave-one-out":
        return ordered.assign(split=leave_one_out(ordered))
    points = time_points(ordered["timestamp"], options.held_out)
    ordered["split"] = split_at(ordered["timestamp"], points)
    if not ((ordered["split"] == "train") & (ordered["position"] > 0)).any():
        raise UserError("split=time: no user has two interactions in training: use split=leave-one-out")
    for split in HELD_OUT:
        if not len(find_targets(ordered, split)):
            raise UserError(
                f"split=time: no user with an interaction in the {split} split has an earlier one: change "
                f"held_out={options.held_out:g}, or use split=leave-one-out"
            )
    return ordered


def _filter_to_core(
    interactions: pd.DataFrame, raw: RawData, options: BuildOptions, ledger: DropLedger
) -> pd.DataFrame:
    before, fewest = -1, MIN_INTERACTIONS[options.split]
    while len(interactions) != before:  # dropping short users may leave items below the core
        before = len(interactions)
        interactions = drop_short_users(k_core(interactions, options.k_core, ledger), fewest, ledger)
    if interactions.empty:
        core = f" in its {options.k_core}-core" if options.k_core > 1 else ""
        way_out = ", or keep more (k_core=0)" if core else ""
        raise UserError(
            f"source {raw.source['name']!r} has no user with at least {fewest} interactions{core}, so "
            f"there is nothing to train on; dropped or repaired were: {ledger.explain()}: mend these rows, check that "
            f"it is the right file{way_out}"
        )
    return interactions


def _fill_titles(items: pd.DataFrame, ledger: DropLedger) -> pd.Series:
    """The titles; an item without one gets a title with its number, which still distinguishes it in prompts."""
    titles = items["title"]
    missing = titles == ""
    for raw_id in items.loc[missing, "raw_id"]:
        ledger.add("title", "missing: replaced by the item's number", f"item {raw_id}")
    return titles.where(~missing, "item " + items["item"].astype(str))


def _split_explanations(explanations: pd.DataFrame, interactions: pd.DataFrame, ledger: DropLedger) -> pd.DataFrame:
    """The explanations with their splits; training ones about a held-out interaction are dropped."""
    pairs = interactions[["user", "item", "split"]].rename(columns={"split": "pair_split"})
    rows = explanations.merge(pairs.drop_duplicates(["user", "item"], keep="last"), on=["user", "item"])
    if len(rows) < len(explanations):
        ledger.add("explanation", "no interaction of its user with its item", count=len(explanations) - len(rows))
    rows["split"] = rows["split"].where(rows["split"].notna(), rows["pair_split"])
    leak = (rows["split"] == "train") & (rows["pair_split"] != "train")
    if leak.any():
        ledger.add("explanation", "in training, but about a held-out interaction", count=int(leak.sum()))
    rows = rows[~leak].reset_index(drop=True)
    for column in ("summary", "aspect", "explanation"):
        rows[column] = rows[column].map(clean_text)
    empty = rows["explanation"] == ""
    if empty.any():
        ledger.add("explanation", "empty text", count=int(empty.sum()))
    return rows[~empty].drop(columns="pair_split").reset_index(drop=True)


def _find_targets(interactions: pd.DataFrame, n_users: int) -> list[dict[str, int]]:
    """The items that are asked for, by held-out split, of users 1, 2, …."""
    targets: list[dict[str, int]] = [{} for _ in range(n_users)]
    for split in HELD_OUT:
        asked = interactions.iloc[find_targets(interactions, split)]
        for user, item in zip(asked["user"], asked["item"], strict=True):
            targets[user - 1][split] = item
    return targets


def _number_rows(frame: pd.DataFrame, user_of: dict[str, int], item_of: dict[str, int]) -> pd.DataFrame:
    return frame.assign(user=frame["user"].map(user_of), item=frame["item"].map(item_of))


def _copy_images(items: pd.DataFrame, folder: Path, ledger: DropLedger) -> list[tuple[str, str] | tuple[None, None]]:
    """Copy the images under new names (a raw id may contain a path); returns each item's name and sha256."""
    (folder / "images").mkdir()
    copied: list[tuple[str, str] | tuple[None, None]] = []
    for item, raw_id, image in zip(items["item"], items["raw_id"], items["image"], strict=True):
        data, ending, problem = _read_image(image)
        if data is None:
            ledger.add("image", problem, f"item {raw_id}")
            copied.append((None, None))
            continue
        name = f"images/{item:07d}{ending}"
        (folder / name).write_bytes(data)
        copied.append((name, sha256_bytes(data)))
    return copied


def _read_image(image: object) -> tuple[bytes | None, str, str]:
    """Read an image; returns its bytes and file extension, or the reason why there is none."""
    if isinstance(image, bytes):
        return image, ".png", ""
    if not isinstance(image, Path):
        return None, "", "the item has no image"
    try:
        return image.read_bytes(), image.suffix.lower(), ""
    except OSError as error:
        return None, "", f"its image cannot be read ({error.strerror})"
