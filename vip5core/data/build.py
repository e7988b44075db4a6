"""From the tables of a reader to a `Dataset` folder."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from vip5core.data.candidates import CANDIDATES, draw_candidates
from vip5core.data.dataset import MANIFEST, SCHEMA_VERSION, Manifest, write_table
from vip5core.data.ids import assign_item_ids
from vip5core.data.raw import DropLedger, RawData
from vip5core.data.split import MIN_INTERACTIONS, SPLITS, leave_one_out, with_positions
from vip5core.errors import UserError
from vip5core.fingerprint import fingerprint, sha256_bytes
from vip5core.storage import whole_folder

#: Text that a T5 tokenizer would read as a control token; it must not come in through a title.
_CONTROL_TOKENS = re.compile(r"</?\s*(s|pad|unk|extra_id_\d+)\s*>", re.IGNORECASE)


@dataclass(frozen=True)
class BuildOptions:
    """The recorded choices of a preparation.

    Attributes:
        id_scheme: which numbers stand for the items, see `vip5core.data.ids`.
        candidates: length of the stored candidate lists, the target included.
        seed: of the ids and the candidate lists.
    """

    id_scheme: str = "random"
    candidates: int = CANDIDATES
    seed: int = 0


def clean_text(text: object) -> str:
    """One line of plain text: control tokens and characters out, runs of white space folded.

    Unicode is composed (NFKC, as T5's own normaliser does), and a combining mark with nothing to combine with
    is dropped: tokenising word by word then equals tokenising the whole line.
    """
    if not isinstance(text, str):
        return ""
    text = _CONTROL_TOKENS.sub(" ", unicodedata.normalize("NFKC", text))
    text = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in text)
    words = (re.sub(r"^\W+", _without_marks, word) for word in text.split())
    return " ".join(word for word in words if word)


def _without_marks(match: re.Match[str]) -> str:
    return "".join(c for c in match[0] if not unicodedata.category(c).startswith("M"))


def build_dataset(raw: RawData, out: Path, options: BuildOptions | None = None) -> Path:
    """Number, split and write a source; `out` appears whole or not at all.

    Users with fewer than `MIN_INTERACTIONS` interactions cannot be split and are dropped, items that nobody is
    left to have touched likewise; both are counted in the manifest.

    Raises:
        UserError: if nothing is left, or an option is impossible.
    """
    options = options or BuildOptions()
    if options.candidates < 2:
        raise UserError(f"candidates={options.candidates}: a list needs the target and a negative, so at least 2")
    ledger = raw.ledger
    interactions = _known_interactions(raw, ledger)
    interactions = with_positions(interactions)
    interactions["split"] = leave_one_out(interactions)

    items = raw.items[raw.items["raw_id"].isin(interactions["item"])].reset_index(drop=True)
    if len(items) < len(raw.items):
        ledger.add("item", "no interaction is left with it", count=len(raw.items) - len(items))
    users = raw.users[raw.users["raw_id"].isin(interactions["user"])].reset_index(drop=True)

    training = interactions[interactions["split"] == "train"]
    item_of = assign_item_ids(options.id_scheme, items["raw_id"], training, options.seed)
    user_of = {raw_id: number for number, raw_id in enumerate(users["raw_id"], start=1)}

    items = items.assign(item=items["raw_id"].map(item_of)).sort_values("item").reset_index(drop=True)
    items["title"] = _titles(items, ledger)
    items["description"] = items["description"].map(clean_text)
    items["categories"] = items["categories"].map(lambda names: [clean_text(name) for name in names])
    users = users.assign(user=users["raw_id"].map(user_of), name=users["name"].map(clean_text))
    explanations = _explanations(raw, interactions, ledger)
    interactions = _numbered(interactions, user_of, item_of).sort_values(["user", "position"])
    explanations = _numbered(explanations, user_of, item_of).sort_values(["split", "user", "item"], kind="stable")

    histories = [group.to_numpy() for _, group in interactions.groupby("user")["item"]]
    candidates = draw_candidates(histories, len(items), options.seed, options.candidates)

    with whole_folder(out) as folder:
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
        for name, frame in raw.truth.items():
            (folder / "truth").mkdir(exist_ok=True)
            ids = {"items": item_of, "users": user_of}[name]
            frame.assign(id=frame["raw_id"].map(ids)).to_parquet(folder / "truth" / f"{name}.parquet", index=False)
        manifest = Manifest(
            schema_version=SCHEMA_VERSION,
            source=raw.source,
            counts={
                "users": len(users),
                "items": len(items),
                "interactions": len(interactions),
                "items_with_image": int(items["image"].notna().sum()),
                **{f"explanations_{split}": int((explanations["split"] == split).sum()) for split in SPLITS},
            },
            tables=tables,
            images=fingerprint([digest for _, digest in images]),
            id_scheme=options.id_scheme,
            ids_leak=False,
            split="leave_one_out",
            candidates=options.candidates,
            seed=options.seed,
            drops=ledger.drops(),
        )
        (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")
    return out


def _known_interactions(raw: RawData, ledger: DropLedger) -> pd.DataFrame:
    """Interactions of known users and items, of users long enough to be split."""
    interactions = raw.interactions
    for column, table in (("item", raw.items), ("user", raw.users)):
        known = interactions[column].isin(table["raw_id"])
        if not known.all():
            ledger.add(
                "interaction",
                f"names {'an item' if column == 'item' else 'a user'} that the source does not describe",
                str(interactions.loc[~known, column].iloc[0]),
                count=int((~known).sum()),
            )
            interactions = interactions[known]
    length = interactions.groupby("user")["item"].transform("size")
    short = length < MIN_INTERACTIONS
    if short.any():
        ledger.add(
            "user",
            f"fewer than {MIN_INTERACTIONS} interactions: too few to train, validate and test on",
            count=int(interactions.loc[short, "user"].nunique()),
        )
    interactions = interactions[~short]
    if interactions.empty:
        raise UserError(
            f"source {raw.source['name']!r} has no user with at least {MIN_INTERACTIONS} interactions: "
            "nothing to train on; check that the right file was given"
        )
    return interactions.reset_index(drop=True)


def _titles(items: pd.DataFrame, ledger: DropLedger) -> pd.Series:
    """Clean titles; an item without one is called by its number, which prompts can at least tell apart."""
    titles = items["title"].map(clean_text)
    missing = titles == ""
    for raw_id in items.loc[missing, "raw_id"]:
        ledger.add("title", "missing: the item is called by its number", f"item {raw_id}")
    return titles.where(~missing, "item " + items["item"].astype(str))


def _explanations(raw: RawData, interactions: pd.DataFrame, ledger: DropLedger) -> pd.DataFrame:
    """Explanations with their split; none for training may show a held-out pair of user and item."""
    pairs = interactions[["user", "item", "split"]].rename(columns={"split": "pair_split"})
    rows = raw.explanations.merge(pairs.drop_duplicates(["user", "item"], keep="last"), on=["user", "item"])
    rows["split"] = rows["split"].where(rows["split"].notna(), rows["pair_split"])
    leak = (rows["split"] == "train") & (rows["pair_split"] != "train")
    if leak.any():
        ledger.add("explanation", "a training row about a held-out pair", count=int(leak.sum()))
    rows = rows[~leak].reset_index(drop=True)
    for column in ("summary", "feature", "explanation"):
        rows[column] = rows[column].map(clean_text)
    empty = rows["explanation"] == ""
    if empty.any():
        ledger.add("explanation", "empty text", count=int(empty.sum()))
    return rows[~empty].drop(columns="pair_split").reset_index(drop=True)


def _numbered(frame: pd.DataFrame, user_of: dict[str, int], item_of: dict[str, int]) -> pd.DataFrame:
    return frame.assign(user=frame["user"].map(user_of), item=frame["item"].map(item_of))


def _copy_images(items: pd.DataFrame, folder: Path, ledger: DropLedger) -> list[tuple[str, str] | tuple[None, None]]:
    """Copy the pictures under names of our own (a raw id may hold a path); their names and sha256, item by item."""
    (folder / "images").mkdir()
    copied: list[tuple[str, str] | tuple[None, None]] = []
    for item, raw_id, image in zip(items["item"], items["raw_id"], items["image"], strict=True):
        if isinstance(image, bytes):
            name, data = f"images/{item:07d}.png", image
        elif isinstance(image, Path) and image.is_file():
            name, data = f"images/{item:07d}{image.suffix.lower()}", image.read_bytes()
        else:
            ledger.add("image", "the item has no picture", f"item {raw_id}")
            copied.append((None, None))
            continue
        (folder / name).write_bytes(data)
        copied.append((name, sha256_bytes(data)))
    return copied
