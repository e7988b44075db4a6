"""The released folder: provided numbers, lists, splits and features are kept; what is broken is a ledger row."""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.mutation import write_files
from support.release_folder import (
    ENCODERS,
    HISTORIES,
    ITEM_OF,
    NEGATIVES,
    USER_OF,
    explanation,
    explanations,
    feature_file,
    npy,
    numbers,
    release_files,
    vector_of,
)

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import NO_IMAGE, FeatureStore
from vip5core.data.imported_features import import_features
from vip5core.data.leak import measure_leak
from vip5core.data.raw import DropLedger, RawData, ReadRequest
from vip5core.data.readers.release import read_release
from vip5core.data.sources import SOURCES, options_of, prepare
from vip5core.errors import UserError
from vip5core.home import Home

pytestmark = pytest.mark.slow

PROVIDED = BuildOptions(id_scheme="provided", repeats="keep", candidates=4)

Files = dict[str, bytes]


@pytest.fixture
def files() -> Files:
    """A whole release."""
    return release_files()


def read(source: Path) -> RawData:
    return read_release(ReadRequest("vip5-release", folder=source))


def build(tmp_path: Path, files: Files, options: BuildOptions = PROVIDED, category: str = "") -> Dataset:
    place = tmp_path / str(len(list(tmp_path.iterdir())))
    raw = read_release(ReadRequest("vip5-release", category, write_files(place / "in", files)))
    return Dataset.load(build_dataset(raw, place / "out", options))


def refusal(tmp_path: Path, files: Files, category: str = "") -> str:
    with pytest.raises(UserError) as caught:
        build(tmp_path, files, category=category)
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.glob("*/*")} == {"in"}
    return str(caught.value)


def drops(dataset: Dataset, what: str) -> list[tuple[str, int, list[str]]]:
    return [(drop.reason, drop.count, drop.examples) for drop in dataset.manifest.drops if drop.what == what]


def store(dataset: Dataset, encoder: str) -> FeatureStore:
    return FeatureStore.load(dataset.folder / "features" / encoder.replace("/", "-"))


def test_a_whole_release_loses_nothing(tmp_path: Path, files: Files) -> None:
    dataset = build(tmp_path, files)
    assert dataset.manifest.drops == []
    assert dataset.items["raw_id"].tolist() == list(ITEM_OF.values())
    assert dataset.users["raw_id"].tolist() == list(USER_OF.values())
    assert {user: dataset.history(user).tolist() for user in USER_OF} == HISTORIES
    assert dataset.users["name"].tolist() == [f"Name {user}" for user in USER_OF]
    item = dataset.items.iloc[4]
    assert (item["title"], item["description"]) == ("Thing 5", "What 5 is.")
    assert item["categories"].tolist() == ["Toys & Games", "Puzzles"]
    assert item["image_urls"].tolist() == [f"http://x/{ITEM_OF[5]}.jpg"]
    assert (dataset.folder / item["image"]).read_bytes() == b"image of 5"
    assert dataset.interactions["rating"].isna().all()  # which the release does not tell
    assert dataset.interactions["timestamp"].tolist() == [*range(6)] * 8


def test_the_provided_numbers_are_kept_and_marked_as_leaky(tmp_path: Path, files: Files) -> None:
    assert SOURCES["vip5-release"].defaults.id_scheme == "provided"
    dataset = Dataset.load(prepare("vip5-release", write_files(tmp_path / "in", files), Home(tmp_path / "home")))
    assert dict(zip(dataset.items["item"], dataset.items["raw_id"], strict=True)) == ITEM_OF
    assert (dataset.manifest.id_scheme, dataset.manifest.ids_leak) == ("provided", True)
    other = build(tmp_path, files, BuildOptions(id_scheme="random", repeats="keep"))
    assert dict(zip(other.items["item"], other.items["raw_id"], strict=True)) != ITEM_OF
    assert not other.manifest.ids_leak


def test_numbers_with_gaps_keep_their_order(tmp_path: Path, files: Files) -> None:
    maps = json.loads(files["datamaps.json"])
    far = {number: 10**number for number in ITEM_OF}  # up to more digits than a table has
    maps["id2item"] = {str(far[number]): raw_id for number, raw_id in ITEM_OF.items()}
    maps["id2user"] = {str(10**30 + user): raw_id for user, raw_id in USER_OF.items()}
    files["datamaps.json"] = json.dumps(maps).encode()
    rows = {10**30 + user: [far[item] for item in history] for user, history in HISTORIES.items()}
    files["sequential_data.txt"] = numbers(rows)
    dataset = build(tmp_path, files)
    assert dataset.items["raw_id"].tolist() == list(ITEM_OF.values())
    assert dataset.users["raw_id"].tolist() == list(USER_OF.values())


def test_the_provided_negatives_are_the_candidate_lists(tmp_path: Path, files: Files) -> None:
    dataset = build(tmp_path, files)
    assert dataset.manifest.counts["lists_with_provided_negatives"] == 8
    for user in USER_OF:
        for split in ("valid", "test"):
            assert set(dataset.candidates(user, split)) == {*NEGATIVES[user], dataset.target(user, split)}


def test_negatives_that_are_unknown_or_of_the_history_or_too_few_are_replaced(tmp_path: Path, files: Files) -> None:
    rows = {1: [*HISTORIES[1], 77, -1, *NEGATIVES[1][:1]], 99: [1, 2, 3]}
    files["negative_samples.txt"] = numbers(rows) + b"2\nthree 1 2\n3 1_0 x\n" + numbers({4: NEGATIVES[4] * 2})
    dataset = build(tmp_path, files)
    for user in USER_OF:
        negatives = set(dataset.candidates(user, "test")) - {dataset.target(user, "test")}
        assert len(negatives) == 3
        assert not negatives & set(HISTORIES[user])
    assert NEGATIVES[1][0] in dataset.candidates(1, "test")
    assert set(dataset.candidates(4, "test")) == {*NEGATIVES[4], dataset.target(4, "test")}
    lists = {reason: (count, places) for reason, count, places in drops(dataset, "list of negatives")}
    count, places = lists["not numbers separated by spaces"]
    assert (count, places[0]) == (2, "negative_samples.txt line 4: three 1 2")
    assert lists["its user is unknown, or has a list already"] == (1, ["user 99"])
    assert [(reason, count) for reason, count, _ in drops(dataset, "negative")] == [
        ("not in datamaps.json", 2),
        ("is in the user's history: left out", 4),
        ("is the user's held-out item: left out", 2),
        ("is in its list before: left out", 3),
    ]
    counts = dataset.manifest.counts
    assert (counts["lists_with_provided_negatives"], counts["provided_lists_filled_by_drawing"]) == (3, 2)


def test_the_provided_features_are_feature_stores(tmp_path: Path, files: Files) -> None:
    dataset = build(tmp_path, files)
    assert list(dataset.manifest.features) == ["RN50", "ViT-B/32"]
    assert sorted(path.name for path in (dataset.folder / "features").iterdir()) == ["RN50", "ViT-B-32"]
    for encoder, (_, width) in ENCODERS.items():
        loaded = store(dataset, encoder)
        assert loaded.features.shape == (13, width)
        assert loaded.features.dtype == np.float32
        assert not loaded.features[0].any()
        assert loaded.has_image.tolist() == [False] + [True] * 12
        for number in ITEM_OF:
            np.testing.assert_array_equal(loaded.features[number], vector_of(encoder, number))


def test_features_follow_their_items_to_other_numbers(tmp_path: Path, files: Files) -> None:
    dataset = build(tmp_path, files, BuildOptions(id_scheme="random", repeats="keep", seed=3))
    number_of = {raw_id: number for number, raw_id in ITEM_OF.items()}
    features = store(dataset, "RN50").features
    for item in dataset.items.itertuples():
        np.testing.assert_array_equal(features[item.item], vector_of("RN50", number_of[item.raw_id]))


def to_npz(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, array=array)
    return file.getvalue()


def damaged_header(old: bytes, new: bytes) -> bytes:
    data = npy(np.ones(4, dtype=np.float32))
    assert old in data
    assert len(old) == len(new)
    return data.replace(old, new)


GOOD = np.ones(4, dtype=np.float32)
NO_ARRAY = "not a .npy array of numbers"
NO_VECTOR = "not one vector of numbers"
BROKEN = {
    "empty": (b"", NO_ARRAY),
    "rubbish": (b"rubbish", NO_ARRAY),
    "short": (npy(GOOD)[:-1], NO_ARRAY),
    "half a header": (npy(GOOD)[:20], NO_ARRAY),
    "a zip": (to_npz(GOOD), NO_ARRAY),
    "half a zip": (to_npz(GOOD)[:30], NO_ARRAY),
    "pickled": (npy(np.array([print], dtype=object), allow_pickle=True), NO_ARRAY),
    "a sum": (damaged_header(b"(4,)", b"9**9"), NO_ARRAY),
    "no type": (damaged_header(b"'<f4'", b"'<x4'"), NO_ARRAY),
    "no syntax": (damaged_header(b"{'descr'", b"{(descr'"), NO_ARRAY),
    "a length past 64 bits": (damaged_header(b"(4,), }" + b" " * 20, b"(99999999999999999999,), }  "[:27]), NO_ARRAY),
    "a length of terabytes": (damaged_header(b"(4,), }" + b" " * 13, b"(9000000000000,), }  "[:20]), NO_ARRAY),
    "wide": (npy(np.ones(5, dtype=np.float32)), "5 numbers instead of 4"),
    "no numbers": (npy(np.ones(0, dtype=np.float32)), NO_VECTOR),
    "a matrix": (npy(np.ones((2, 2), dtype=np.float32)), NO_VECTOR),
    "complex": (npy(np.ones(4, dtype=np.complex64)), NO_VECTOR),
    "texts": (npy(np.array(["a"] * 4)), NO_VECTOR),
    "not a number": (npy(np.array([1, 2, np.nan, 4])), "contains numbers that are not finite"),
    "infinite": (npy(np.array([1, 2, -np.inf, 4])), "contains numbers that are not finite"),
    "too large": (npy(np.array([1, 2, 1e300, 4])), "contains numbers that are not finite"),
}
SOUND = {
    "row": (npy(GOOD[None] * 2), 2),
    "column": (npy(GOOD[:, None] * 3), 3),
    "double": (npy(GOOD.astype(">f8") * 4), 4),
    "half": (npy(GOOD.astype(np.float16) * 5), 5),
    "integers": (npy(np.full(4, 6)), 6),
}


def test_a_broken_feature_is_a_row_of_both_ledgers_and_has_no_say(tmp_path: Path) -> None:
    raw_ids = pd.Series([*BROKEN, "a folder", "nothing", *SOUND])
    (tmp_path / "a folder.npy").mkdir()
    files = {name: tmp_path / f"{name}.npy" for name in raw_ids if name != "nothing"}
    for name, (data, _) in (BROKEN | SOUND).items():
        files[name].write_bytes(data)
    ledger = DropLedger()
    assert import_features({"RN50": files}, raw_ids, tmp_path / "out", ledger).keys() == {"RN50"}
    loaded = FeatureStore.load(tmp_path / "out" / "features" / "RN50")
    name_of = dict(enumerate(raw_ids, start=1))
    reasons = {name_of[item]: reason for item, reason in loaded.ledger.itertuples(index=False)}
    assert reasons.keys() == {*BROKEN, "a folder", "nothing"}
    for name, (_, reason) in BROKEN.items():
        assert reasons[name].startswith(reason), name
    assert reasons["nothing"] == NO_IMAGE
    for item, name in name_of.items():
        expected = SOUND[name][1] * GOOD if name in SOUND else 0 * GOOD
        np.testing.assert_array_equal(loaded.features[item], expected, err_msg=name)
    places = {place for drop in ledger.drops() for place in drop.examples}
    assert sum(drop.count for drop in ledger.drops()) == len(reasons)
    assert {"item not a number", "item nothing"} <= places
    assert all(drop.reason.startswith("RN50: ") for drop in ledger.drops())


def test_a_broken_feature_does_not_stop_a_preparation(tmp_path: Path, files: Files) -> None:
    files[feature_file("RN50", 1)] = b""
    del files[feature_file("RN50", 2)]
    dataset = build(tmp_path, files)
    loaded = store(dataset, "RN50")
    assert loaded.has_image.tolist() == [False] * 3 + [True] * 10
    assert loaded.ledger["item"].tolist() == [1, 2]
    assert [(count, places) for _, count, places in drops(dataset, "feature")] == [
        (1, [f"item {ITEM_OF[1]}"]),
        (1, [f"item {ITEM_OF[2]}"]),
    ]


def test_features_without_any_vector_are_rejected(tmp_path: Path, files: Files) -> None:
    for number in ITEM_OF:
        files[feature_file("RN50", number)] = b"rubbish"
    assert "features of RN50: no file of an item in the dataset contains a vector" in refusal(tmp_path, files)


def test_of_several_categories_of_features_one_must_be_named(tmp_path: Path, files: Files) -> None:
    beauty = {name.replace("toys", "beauty"): npy(GOOD[:2]) for name in files if name.startswith("features")}
    for category, widths in (("toys", (4, 6)), ("beauty", (2, 2))):
        dataset = build(tmp_path, files | beauty, category=category)
        found = tuple(store(dataset, encoder).features.shape[1] for encoder in ("RN50", "ViT-B/32"))
        assert found == widths
    for category, answer in (
        ("", "choose one as vip5-release:CATEGORY"),
        ("tosy", "has only beauty, toys: choose one of these"),
    ):
        place = write_files(tmp_path / f"asked {category}", files | beauty)
        with pytest.raises(UserError, match=answer):
            read_release(ReadRequest("vip5-release", category, place))
    flat = {name.replace("toys/", ""): data for name, data in files.items()}
    assert list(build(tmp_path, flat, category="toys").manifest.features) == ["RN50", "ViT-B/32"]


def test_a_raw_id_never_becomes_part_of_a_path(tmp_path: Path, files: Files) -> None:
    secret = tmp_path / "0"
    secret.mkdir()
    (secret / "secret.npy").write_bytes(npy(GOOD))
    (secret / "secret.jpg").write_bytes(b"secret")
    odd = "../../../../../0/secret"
    files = {name: data.replace(ITEM_OF[1].encode(), odd.encode()) for name, data in files.items() if "pkl" not in name}
    names = {
        odd: "../../0/secret.jpg",
        ITEM_OF[2]: str(secret / "secret.jpg"),
        ITEM_OF[3]: "photos/../../x",
        ITEM_OF[4]: "..",
    }
    names |= {
        ITEM_OF[5]: "x" * 300,
        ITEM_OF[6]: "x/" * 3000,
        ITEM_OF[7]: "a\0b",
        ITEM_OF[8]: "\ud800.jpg",
        ITEM_OF[9]: "",
    }
    files["item2img_dict.pkl"] = pickle.dumps(names | {ITEM_OF[10]: 5, (1, 2): "x", ITEM_OF[11]: f"{ITEM_OF[11]}.jpg"})
    dataset = build(tmp_path, files)
    assert dataset.items["raw_id"][0] == odd
    assert dataset.items["image"].notna().tolist() == [False] * 10 + [True, False]
    assert store(dataset, "RN50").ledger["item"].tolist() == [1]
    reasons = {reason: count for reason, count, _ in drops(dataset, "image")}
    assert reasons == {"listed in item2img_dict.pkl, but not in the folder": 9, "the item has no image": 11}


def test_a_link_out_of_the_folder_is_no_image(tmp_path: Path, files: Files) -> None:
    image = f"photos/{ITEM_OF[1]}.jpg"
    del files[image]
    (tmp_path / "outside.jpg").write_bytes(b"secret")
    source = write_files(tmp_path / "in", files)
    (source / image).symlink_to(tmp_path / "outside.jpg")
    dataset = Dataset.load(build_dataset(read(source), tmp_path / "out", PROVIDED))
    assert dataset.items["image"].notna().tolist() == [False] + [True] * 11


def test_an_image_whose_name_has_no_room_for_a_number_is_left_out(tmp_path: Path, files: Files) -> None:
    long = "x." + "y" * 250  # the ending stays in the dataset, behind the item's number
    files[f"photos/{long}"] = files.pop(f"photos/{ITEM_OF[1]}.jpg")
    files["item2img_dict.pkl"] = pickle.dumps(
        {raw_id: f"{raw_id}.jpg" for raw_id in ITEM_OF.values()} | {ITEM_OF[1]: long}
    )
    dataset = build(tmp_path, files)
    assert dataset.items["image"].notna().tolist() == [False] + [True] * 11


@pytest.mark.parametrize(
    ("part", "lost"),
    [
        ("user_id2name.pkl", "names"),
        ("exp_splits.pkl", "explanations"),
        ("negative_samples.txt", "negatives"),
        ("meta.json.gz", "titles"),
        ("item2img_dict.pkl", "images"),
        ("photos", "images"),
        ("features", "features"),
    ],
)
def test_without_a_part_the_others_are_there(part: str, lost: str, tmp_path: Path, files: Files) -> None:
    dataset = build(tmp_path, {name: data for name, data in files.items() if not name.startswith(part)})
    counts = dataset.manifest.counts
    there = {
        "names": dataset.users["name"].tolist() == [f"Name {user}" for user in USER_OF],
        "explanations": counts["explanations_train"] == 32,
        "negatives": counts["lists_with_provided_negatives"] == 8,
        "titles": counts["items_with_title"] == 12,
        "images": counts["items_with_image"] == 12,
        "features": list(dataset.manifest.features) == ["RN50", "ViT-B/32"],
    }
    assert {name for name, is_there in there.items() if not is_there} == {lost}
    assert {user: dataset.history(user).tolist() for user in USER_OF} == HISTORIES
    assert all(len(dataset.candidates(user, "test")) == 4 for user in USER_OF)
    if lost == "names":
        assert dataset.users["name"].tolist() == list(USER_OF.values())


def test_other_names_of_the_parts_are_known(tmp_path: Path, files: Files) -> None:
    files["sequential.txt"] = files.pop("sequential_data.txt")
    files["meta.json"] = gzip.decompress(files.pop("meta.json.gz"))
    files = {name.replace("photos/", "images/"): data for name, data in files.items()}
    assert build(tmp_path, files).manifest.drops == []


@pytest.mark.parametrize("part", ["sequential_data.txt", "datamaps.json"])
def test_without_sequences_or_maps_it_is_no_release(part: str, tmp_path: Path, files: Files) -> None:
    del files[part]
    assert f"{part}' is missing: --source must be a folder of the release" in refusal(tmp_path, files)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_of_every_protocol_are_read(protocol: int, tmp_path: Path) -> None:
    dataset = build(tmp_path, release_files(protocol))
    assert dataset.manifest.drops == []
    assert len(dataset.explanations) == 48


@pytest.mark.parametrize("part", ["user_id2name.pkl", "exp_splits.pkl", "item2img_dict.pkl"])
def test_a_pickle_of_something_else_is_rejected(part: str, tmp_path: Path, files: Files) -> None:
    touched = tmp_path / "touched"

    class Harm:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {touched}",)

    for data, answer in (
        (pickle.dumps({"1": Harm()}), "'posix.system': only plain containers"),
        (files[part][:-5], "is not a pickle"),
        (b"", "is not a pickle"),
        (b"rubbish", "is not a pickle"),
        (pickle.dumps([1, 2]), "download it again"),
    ):
        message = refusal(tmp_path, files | {part: data})
        assert f"{part}' " in message
        assert answer in message
    assert not touched.exists()


@pytest.mark.parametrize(
    "maps",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b'{"id2user": {"1": "u"}}',
        b'{"id2user": [], "id2item": {}}',
        b'{"id2user": {"one": "u"}, "id2item": {"1": "i"}}',
        b'{"id2user": {"%s": "u"}, "id2item": {"1": "i"}}' % (b"9" * 5000),
        b'{"id2user": {"1": "u"}, "id2item": {"1": null}}',
        b'{"id2user": {"1": "u"}, "id2item": {"1": ""}}',
        b'{"id2user": {"1": " "}, "id2item": {"1": "i"}}',
        b'{"id2user": {"1": "u"}, "id2item": {"1": ["i"]}}',
        b'{"id2user": {"1": "u"}, "id2item": {"1": "i", "2": "i"}}',
        b'{"id2user": {"1": "\\ud800"}, "id2item": {"1": "i"}}',
        b'{"id2user": {"1": "u\\nv"}, "id2item": {"1": "i"}}',
        b"\xff\xfe",
    ],
)
def test_invalid_maps_are_rejected(maps: bytes, tmp_path: Path, files: Files) -> None:
    files["datamaps.json"] = maps
    message = refusal(tmp_path, files)
    assert "datamaps.json'" in message
    assert message.endswith("download it again")
    assert len(message) < 400


def test_broken_sequences_are_dropped_counted_and_located(tmp_path: Path, files: Files) -> None:
    broken = b"9 1 2 3 4 5\n1 1 2 3\n\n2 x 3\n4\t1\t2 3,4\n5\xff\n"
    sound = files["sequential_data.txt"].replace(b"\n", b"\r\n")
    files["sequential_data.txt"] = b"3 99 1 2 3\n" + sound + broken
    dataset = build(tmp_path, files)
    assert {user: dataset.history(user).tolist() for user in USER_OF} == HISTORIES
    assert drops(dataset, "sequence") == [
        ("one of its items is not in datamaps.json", 1, ["sequential_data.txt line 1: 3 99 1 2 3"]),
        ("its user is not in datamaps.json", 1, ["sequential_data.txt line 10: 9 1 2 3 4 5"]),
        ("second sequence of its user", 1, ["sequential_data.txt line 11: 1 1 2 3"]),
        (
            "not numbers separated by spaces",
            2,
            ["sequential_data.txt line 13: 2 x 3", "sequential_data.txt line 14: 4\t1\t2 3,4"],
        ),
        ("not utf-8 text", 1, ["sequential_data.txt line 15: 5\ufffd"]),
    ]


def test_sequences_of_another_dataset_are_rejected(tmp_path: Path, files: Files) -> None:
    files["sequential_data.txt"] = numbers({user + 100: history for user, history in HISTORIES.items()})
    assert "8 of 8 lines cannot be read as sequence (line 1: its user is not in" in refusal(tmp_path, files)
    files["sequential_data.txt"] = b"".join(b"%d\n" % user for user in USER_OF)
    assert "no user with at least 4 interactions" in refusal(tmp_path, files)


def test_explanations_keep_their_provided_split_but_never_train_on_a_held_out_pair(
    tmp_path: Path, files: Files
) -> None:
    valid, test = HISTORIES[1][-2:]
    splits = explanations()
    first = HISTORIES[2][0]
    splits["train"] += [explanation(1, test, explanation="leaks"), explanation(1, valid, explanation="leaks")]
    splits["test"] += [explanation(2, first, explanation="provided for testing")]
    splits["val"] += [explanation(1, test, explanation="provided for validation")]
    splits["train"] += [explanation(1, HISTORIES[1][0] + 7, explanation="no such interaction")]
    files["exp_splits.pkl"] = pickle.dumps(splits)
    dataset = build(tmp_path, files)
    counts = dataset.manifest.counts
    assert [counts[f"explanations_{split}"] for split in ("train", "valid", "test")] == [32, 9, 9]
    rows = dataset.explanations.set_index("explanation")
    assert (rows.loc["provided for testing", "split"], rows.loc["provided for validation", "split"]) == (
        "test",
        "valid",
    )
    assert not {"leaks", "no such interaction"} & set(rows.index)
    assert [(reason, count) for reason, count, _ in drops(dataset, "explanation")] == [
        ("no interaction of its user with its item", 1),
        ("in training, but about a held-out interaction", 2),
    ]
    row = rows.loc["the color of 3 is great for 2"]
    assert (row["user"], row["item"], row["rating"], row["summary"], row["aspect"]) == (2, 3, 4.0, "From 2", "color")


def test_broken_explanations_are_dropped_counted_and_located(tmp_path: Path, files: Files) -> None:
    splits: dict[str, list] = explanations()
    broken = [
        None,
        5,
        "row",
        [],
        {},
        explanation(1, 2, overall="good"),
        explanation(1, 2, overall=10**400),
        explanation(1, 2, overall=float("nan")),
        explanation(1, 2, overall=6),
        explanation(1, 2, overall=None),
        explanation(1, 2, reviewerID="\ud800"),
        explanation(1, 2, asin=["B"]),
        explanation(1, 2, explanation=None),
        explanation(1, 2, feature=b"color"),
    ]
    splits["train"][3:3] = broken
    splits["test"][0]["summary"] = "half \ud800 a character"
    del splits["test"][1]["summary"], splits["test"][1]["feature"]
    splits["test"][2]["explanation"] = " </s> "
    files["exp_splits.pkl"] = pickle.dumps(splits)
    dataset = build(tmp_path, files)
    counts = dataset.manifest.counts
    assert [counts[f"explanations_{split}"] for split in ("train", "valid", "test")] == [32, 8, 7]
    (rows, empty) = drops(dataset, "explanation")
    assert (rows[:2], rows[2][0]) == (
        ("user, item, rating or text is missing or invalid", len(broken)),
        "exp_splits.pkl train row 3",
    )
    assert empty[:2] == ("empty text", 1)
    assert dataset.explanations_of("test")["summary"][0].startswith("half")


@pytest.mark.parametrize(
    "splits", [{}, {"train": [], "val": []}, {"train": [], "val": [], "test": {}}, [], {"train": None}]
)
def test_explanations_without_splits_are_rejected(splits: object, tmp_path: Path, files: Files) -> None:
    files["exp_splits.pkl"] = pickle.dumps(splits)
    assert "exp_splits.pkl' lacks the lists train, val and test" in refusal(tmp_path, files)


def test_names_that_are_none_are_left_out(tmp_path: Path, files: Files) -> None:
    names = {
        "1": "Ann",
        2: "Bob",
        "3": None,
        "4": 5,
        "5": "\ud800",
        "6": " ",
        "x": "Eve",
        10**5000: "Far",
        (1, 2): "Two",
    }
    files["user_id2name.pkl"] = pickle.dumps(names)
    dataset = build(tmp_path, files)
    assert dataset.users["name"].tolist() == ["Ann", "Bob", "U6", "U5", "\ufffd", "U3", "U2", "U1"]


@pytest.mark.slow
def test_the_real_numbers_of_beauty_give_the_held_out_items_away(real_data: Path, tmp_path: Path) -> None:
    raw = read(real_data / "amazon2014-beauty")
    options = options_of("vip5-release")
    provided = Dataset.load(build_dataset(raw, tmp_path / "provided", options))
    counts = provided.manifest.counts
    assert (counts["users"], counts["items"], counts["interactions"]) == (22_363, 12_101, 198_502)
    assert provided.manifest.ids_leak
    leak = measure_leak(provided)
    assert (round(leak.hit_rate, 4), round(leak.ndcg, 4)) == (0.0523, 0.0489)
    anew = dataclasses.replace(options, id_scheme="random")
    random = Dataset.load(build_dataset(read(real_data / "amazon2014-beauty"), tmp_path / "random", anew))
    leak = measure_leak(random)
    assert leak.hit_rate < 0.002
    assert leak.ndcg < 0.002
    assert leak.chance == pytest.approx(5 / 12_101, rel=0.01)
