"""The Dataset contract: what was written is read, and a folder that breaks it is rejected in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.raw import raw_histories

from vip5core.data.build import build_dataset, clean_text
from vip5core.data.dataset import SCHEMAS, Dataset, write_table
from vip5core.errors import UserError
from vip5core.fingerprint import sha256_file

HISTORIES = {"u": "abcde", "v": "badc"}
EXPLANATIONS = [
    ("u", "a", 4.0, "good", "colour", "lovely <extra_id_0> red", None),  # a training pair
    ("u", "e", 2.0, "bad", "price", "too dear", None),  # the tested pair
    ("u", "e", 2.0, "bad", "price", "an answer given beforehand", "train"),
    ("v", "a", 2.0, "bad", "price", "  ", None),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    raw = raw_histories(
        HISTORIES, EXPLANATIONS, title={"a": "", "b": "Bright</s> \x07b  lamp"}, image={"c": b"bytes of c"}
    )
    return build_dataset(raw, tmp_path / "dataset")


def test_what_was_built_is_read_back(folder: Path) -> None:
    dataset = Dataset.load(folder)
    raw_id = dict(zip(dataset.items["item"], dataset.items["raw_id"], strict=True))
    for user, name in enumerate(dataset.users["raw_id"], start=1):
        assert "".join(raw_id[item] for item in dataset.history(user)) == HISTORIES[name]
    items = dataset.items.set_index("raw_id")
    assert items.loc["b", "title"] == "Bright b lamp"
    assert items.loc["a", "title"] == f"item {items.loc['a', 'item']}"
    assert (dataset.folder / items.loc["c", "image"]).read_bytes() == b"bytes of c"
    assert items["image"].notna().sum() == dataset.manifest.counts["items_with_image"] == 1
    explanations = dataset.explanations[["explanation", "split"]].to_numpy().tolist()
    assert sorted(explanations) == [["lovely red", "train"], ["too dear", "test"]]
    reasons = {(drop.what, drop.reason): drop.count for drop in dataset.manifest.drops}
    assert reasons[("explanation", "in training, but about a held-out interaction")] == 1
    assert reasons[("explanation", "empty text")] == 1
    assert reasons[("image", "the item has no image")] == 4
    assert reasons[("title", "missing: replaced by the item's number")] == 1


def test_the_fingerprint_is_of_the_content(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    assert Dataset.load(copy).fingerprint == Dataset.load(folder).fingerprint
    other = build_dataset(raw_histories(HISTORIES, EXPLANATIONS, image={"c": b"another image"}), tmp_path / "other")
    assert Dataset.load(other).fingerprint != Dataset.load(folder).fingerprint


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        Dataset.load(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "prepare it again" in message
    return message


@pytest.mark.slow
@pytest.mark.parametrize("name", SCHEMAS)
def test_a_missing_or_changed_table_is_rejected(folder: Path, name: str) -> None:
    path = folder / f"{name}.parquet"
    path.write_bytes(path.read_bytes() + b" ")
    assert f"{name}.parquet is missing or does not match" in refusal(folder)
    path.unlink()
    assert f"{name}.parquet is missing or does not match" in refusal(folder)


def change_manifest(folder: Path, **values: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **values}), "utf-8")


def test_another_schema_version_is_rejected(folder: Path) -> None:
    change_manifest(folder, schema_version=7)
    assert "schema version 7, this code reads 4" in refusal(folder)


def test_a_folder_without_a_manifest_is_rejected(tmp_path: Path) -> None:
    assert "no manifest.json" in refusal(tmp_path)
    assert "no manifest.json" in refusal(tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema_version": 4}'])
def test_an_invalid_manifest_is_rejected(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text, "utf-8")
    assert "is not a manifest" in refusal(folder)


def test_a_manifest_without_a_table_is_rejected(folder: Path) -> None:
    tables = json.loads((folder / "manifest.json").read_text("utf-8"))["tables"]
    change_manifest(folder, tables={name: digest for name, digest in tables.items() if name != "users"})
    assert "users.parquet" in refusal(folder)


def _renumber(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(item=frame["item"] + 1)


BROKEN: dict[str, tuple[str, Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "items from 2": ("items", _renumber, "not numbered"),
    "an unknown item": ("interactions", _renumber, "outside 1"),
    "users mixed up": ("interactions", lambda frame: frame.iloc[::-1], "not ordered by user"),
    "a gap": ("interactions", lambda frame: frame.drop(index=1), "positions"),
    "a user without history": ("interactions", lambda frame: frame[frame["user"] == 1], "no interactions"),
    "no test lists": ("candidates", lambda frame: frame[frame["split"] == "valid"], "test candidates"),
    "lists without target": (
        "candidates",
        lambda frame: frame.assign(candidates=[np.array([1], dtype=np.int32)] * len(frame)),
        "lacks its target",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BROKEN)
def test_tables_that_contradict_each_other_are_rejected(folder: Path, case: str) -> None:
    name, breaking, message = BROKEN[case]
    path = folder / f"{name}.parquet"
    write_table(breaking(pd.read_parquet(path)), name, folder)
    tables = json.loads((folder / "manifest.json").read_text("utf-8"))["tables"]
    change_manifest(folder, tables={**tables, name: sha256_file(path)})
    assert message in refusal(folder)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a  b\tc\nd", "a b c d"),
        ("</s>x<pad> <extra_id_12>y< UNK >", "x y"),
        ("\u200bzero\x00width", "zero width"),
        ("ﬁne ½", "fine 1⁄2"),
        ("\u0301acute", "acute"),
        (None, ""),
        (float("nan"), ""),
    ],
)
def test_text_becomes_one_line_without_control_tokens(text: object, clean: str) -> None:
    assert clean_text(text) == clean


def test_an_image_that_cannot_be_read_is_a_counted_drop(tmp_path: Path) -> None:
    raw = raw_histories({"u": ["a", "b", "c", "d"]}, image={"a": tmp_path, "b": tmp_path / "gone.jpg"})
    drops = Dataset.load(build_dataset(raw, tmp_path / "out")).manifest.drops
    assert {drop.reason: drop.count for drop in drops} == {
        "its image cannot be read (Is a directory)": 1,
        "its image cannot be read (No such file or directory)": 1,
        "the item has no image": 2,
    }
