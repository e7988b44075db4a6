"""From the tables of a reader to a `Dataset` folder."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vip5core.data.candidates import draw_candidates
from vip5core.data.dataset import MANIFEST, SCHEMA_VERSION, Manifest, write_table
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
from vip5core.data.ids import assign_item_ids
from vip5core.data.imported_features import import_features
from vip5core.data.raw import Details, DropLedger, RawData
from vip5core.data.split import MIN_INTERACTIONS, leave_one_out, with_positions
from vip5core.errors import UserError, unknown_name
from vip5core.fingerprint import fingerprint, sha256_bytes
from vip5core.storage import atomic_folder
from vip5core.vocabulary import CANDIDATES, LEAKY_ID_SCHEMES, SPLITS

#: Text that a T5 tokenizer would read as a control token; it must not come in through a title.
_CONTROL_TOKENS = re.compile(r"</?\s*(s|pad|unk|extra_id_\d+)\s*>", re.IGNORECASE)


@dataclass(frozen=True)
class BuildOptions:
    """The recorded choices of a preparation.

    Attributes:
        id_scheme: which numbers stand for the items, see `vip5core.data.ids`.
        k_core: keep users and items with at least so many interactions among themselves; 0 keeps all.
        duplicates: rows of the same user, item and second: `drop` or `keep`.
        repeats: a user's interactions with one item at several times: keep the `first`, the `last`, or all (`keep`).
        candidates: length of the stored candidate lists, the target included.
        seed: of the ids and the candidate lists.
    """

    id_scheme: str = "random"
    k_core: int = 0
    duplicates: Duplicates = "drop"
    repeats: Repeats = "first"
    candidates: int = CANDIDATES
    seed: int = 0

    def check(self) -> None:
        """Raises: UserError for a value that no dataset can have."""
        if self.candidates < 2:
            raise UserError(f"candidates={self.candidates}: a list needs the target and a negative, so at least 2")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed={self.seed}: must be from 0 to {2**32 - 1}")
        if self.k_core < 0:
            raise UserError(f"k_core={self.k_core}: must be 0 (keep all) or a least number of interactions, such as 5")
        if self.duplicates not in DUPLICATES:
            raise unknown_name("duplicates", self.duplicates, DUPLICATES)
        if self.repeats not in REPEATS:
            raise unknown_name("repeats", self.repeats, REPEATS)


def clean_text(text: object) -> str:
    """One line of plain text: control tokens and characters out, runs of white space folded.

    Unicode is composed (NFKC, as T5's own normaliser does), and a combining mark with nothing to combine with
    is dropped: tokenising word by word then equals tokenising the whole line.
    """
    if not isinstance(text, str):
        return ""
    if text.isascii() and text.isprintable() and "<" not in text:  # most text: nothing to compose or to take out
        return " ".join(text.split())
    text = _CONTROL_TOKENS.sub(" ", unicodedata.normalize("NFKC", text))
    text = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in text)
    words = (re.sub(r"^\W+", _without_marks, word) for word in text.split())
    return " ".join(word for word in words if word)


def _without_marks(match: re.Match[str]) -> str:
    return "".join(c for c in match[0] if not unicodedata.category(c).startswith("M"))


def build_dataset(raw: RawData, out: Path, options: BuildOptions | None = None) -> Path:
    """Filter, number, split and write a source; `out` appears whole or not at all.

    What the options drop is counted in the manifest, and so are users with fewer than `MIN_INTERACTIONS` interactions,
    which cannot be split.

    Raises:
        UserError: if nothing is left, or an option is impossible.
    """
    options = options or BuildOptions()
    options.check()
    ledger = raw.ledger
    interactions, details = _kept(raw, options, ledger)
    interactions = with_positions(interactions)
    interactions["split"] = leave_one_out(interactions)

    items = details.items[details.items["raw_id"].isin(set(interactions["item"]))].reset_index(drop=True)
    if len(items) < len(details.items):
        ledger.add("item", "no interaction is left with it", count=len(details.items) - len(items))
    users = details.users[details.users["raw_id"].isin(set(interactions["user"]))].reset_index(drop=True)

    training = interactions[interactions["split"] == "train"]
    item_of = assign_item_ids(options.id_scheme, items["raw_id"], training, options.seed, raw.provided.item_ids)
    user_of = {raw_id: number for number, raw_id in enumerate(users["raw_id"], start=1)}

    items = items.assign(item=items["raw_id"].map(item_of)).sort_values("item").reset_index(drop=True)
    titled = int((items["title"].map(clean_text) != "").sum())
    items["title"] = _titles(items, ledger)
    items["description"] = items["description"].map(clean_text)
    items["categories"] = items["categories"].map(lambda names: [clean_text(name) for name in names])
    names = users["name"].map(clean_text)
    users = users.assign(user=users["raw_id"].map(user_of), name=names.where(names != "", users["raw_id"]))
    explanations = _explanations(details.explanations, interactions, ledger)
    interactions = _numbered(interactions, user_of, item_of).sort_values(["user", "position"])
    explanations = _numbered(explanations, user_of, item_of).sort_values(["split", "user", "item"], kind="stable")

    histories = [group.to_numpy() for _, group in interactions.groupby("user")["item"]]
    negatives = {
        user_of[user]: [item_of[item] for item in names if item in item_of]
        for user, names in raw.provided.negatives.items()
        if user in user_of
    }
    candidates = draw_candidates(histories, len(items), options.seed, options.candidates, negatives)

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
                "items_with_image": int(items["image"].notna().sum()),
                "items_with_title": titled,
                "lists_with_provided_negatives": len(negatives),
                **{f"explanations_{split}": int((explanations["split"] == split).sum()) for split in SPLITS},
            },
            tables=tables,
            images=fingerprint([digest for _, digest in images]),
            features=features,
            id_scheme=options.id_scheme,
            ids_leak=options.id_scheme in LEAKY_ID_SCHEMES,
            split="leave_one_out",
            k_core=options.k_core,
            duplicates=options.duplicates,
            repeats=options.repeats,
            candidates=options.candidates,
            seed=options.seed,
            drops=ledger.drops(),
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")
    return out


def _kept(raw: RawData, options: BuildOptions, ledger: DropLedger) -> tuple[pd.DataFrame, Details]:
    """The interactions that the options keep, and what the source knows about their items and users."""
    interactions = raw.interactions.reset_index(drop=True)
    if options.duplicates == "drop":
        interactions = drop_duplicates(interactions, ledger)
    interactions = resolve_repeats(interactions, options.repeats, ledger)
    interactions = _dense(interactions, raw, options, ledger)
    details = raw.details(interactions)
    described = interactions["item"].isin(set(details.items["raw_id"]))
    if not described.all():
        ledger.add(
            "interaction",
            "names an item that the source does not describe",
            str(interactions.loc[~described, "item"].iloc[0]),
            count=int((~described).sum()),
        )
        interactions = _dense(interactions[described].reset_index(drop=True), raw, options, ledger)
    return interactions, details


def _dense(interactions: pd.DataFrame, raw: RawData, options: BuildOptions, ledger: DropLedger) -> pd.DataFrame:
    before = -1
    while len(interactions) != before:  # users who go for their length may leave items without their core
        before = len(interactions)
        interactions = drop_short_users(k_core(interactions, options.k_core, ledger), ledger)
    if interactions.empty:
        core = f" in its {options.k_core}-core" if options.k_core > 1 else ""
        raise UserError(
            f"source {raw.source['name']!r} has no user with at least {MIN_INTERACTIONS} interactions{core}: "
            "nothing to train on; check that the right file was given, or keep more (k_core=0)"
        )
    return interactions


def _titles(items: pd.DataFrame, ledger: DropLedger) -> pd.Series:
    """Clean titles; an item without one is called by its number, which prompts can at least tell apart."""
    titles = items["title"].map(clean_text)
    missing = titles == ""
    for raw_id in items.loc[missing, "raw_id"]:
        ledger.add("title", "missing: the item is called by its number", f"item {raw_id}")
    return titles.where(~missing, "item " + items["item"].astype(str))


def _explanations(told: pd.DataFrame, interactions: pd.DataFrame, ledger: DropLedger) -> pd.DataFrame:
    """Explanations with their split; none for training may show a held-out pair of user and item."""
    pairs = interactions[["user", "item", "split"]].rename(columns={"split": "pair_split"})
    rows = told.merge(pairs.drop_duplicates(["user", "item"], keep="last"), on=["user", "item"])
    if len(rows) < len(told):
        ledger.add("explanation", "about a user and an item without an interaction", count=len(told) - len(rows))
    rows["split"] = rows["split"].where(rows["split"].notna(), rows["pair_split"])
    leak = (rows["split"] == "train") & (rows["pair_split"] != "train")
    if leak.any():
        ledger.add("explanation", "a training row about a held-out pair", count=int(leak.sum()))
    rows = rows[~leak].reset_index(drop=True)
    for column in ("summary", "aspect", "explanation"):
        rows[column] = rows[column].map(clean_text)
    empty = rows["explanation"] == ""
    if empty.any():
        ledger.add("explanation", "empty text", count=int(empty.sum()))
    return rows[~empty].drop(columns="pair_split").reset_index(drop=True)


def _numbered(frame: pd.DataFrame, user_of: dict[str, int], item_of: dict[str, int]) -> pd.DataFrame:
    return frame.assign(user=frame["user"].map(user_of), item=frame["item"].map(item_of))


def _copy_images(items: pd.DataFrame, folder: Path, ledger: DropLedger) -> list[tuple[str, str] | tuple[None, None]]:
    """Copy the images under names of our own (a raw id may hold a path); their names and sha256, item by item."""
    (folder / "images").mkdir()
    copied: list[tuple[str, str] | tuple[None, None]] = []
    for item, raw_id, image in zip(items["item"], items["raw_id"], items["image"], strict=True):
        data, ending, problem = _image(image)
        if data is None:
            ledger.add("image", problem, f"item {raw_id}")
            copied.append((None, None))
            continue
        name = f"images/{item:07d}{ending}"
        (folder / name).write_bytes(data)
        copied.append((name, sha256_bytes(data)))
    return copied


def _image(image: object) -> tuple[bytes | None, str, str]:
    """An image's bytes and the ending of its name, or why there is none."""
    if isinstance(image, bytes):
        return image, ".png", ""
    if not isinstance(image, Path):
        return None, "", "the item has no image"
    try:
        return image.read_bytes(), image.suffix.lower(), ""
    except OSError as error:
        return None, "", f"its image cannot be read ({error.strerror})"
