"""Item ids must not reveal the held-out items."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.raw import raw_histories

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import MANIFEST, Dataset, write_table
from vip5core.data.sources import dataset_folder
from vip5core.errors import UserError
from vip5core.home import Home
from vip5core.vocabulary import ID_SCHEMES, LEAKY_ID_SCHEMES

TRAINING = {"u": "ghbacd", "v": "defi", "w": "aj"}  # every item is trained on by somebody
ITEMS = "abcdefghij"
TITLES = {item: f"{'oak chair' if item < 'f' else 'steel kettle'} {item}" for item in ITEMS}


def prepare_ids(scheme: str, histories: Mapping[str, Sequence[str]], seed: int = 0, **items: dict) -> Dataset:
    """The dataset of these histories; it is read only."""
    with tempfile.TemporaryDirectory() as folder:
        options = BuildOptions(id_scheme=scheme, seed=seed)
        return Dataset.load(build_dataset(raw_histories(histories, **items), Path(folder) / "out", options))


def numbering(scheme: str, histories: Mapping[str, Sequence[str]], seed: int = 0, **items: dict) -> dict[str, int]:
    found = prepare_ids(scheme, histories, seed, **items).items
    return dict(zip(found["raw_id"], found["item"].tolist(), strict=True))


def tokens_of(dataset: Dataset) -> dict[str, tuple[int, ...]]:
    return {raw: tuple(ids) for raw, ids in zip(dataset.items["raw_id"], dataset.items["id_tokens"], strict=True)}


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of the user's own: two kinds of pictures."""
    folder = tmp_path_factory.mktemp("features")
    rng = np.random.default_rng(0)
    for item in ITEMS:
        np.save(folder / f"{item}.npy", rng.normal(size=4) + (10 if item in "abc" else -10))
    return folder


def with_encoder(scheme: str, features: Path) -> str:
    return f"{scheme}@features:{features}" if scheme == "semantic:image" else scheme


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [scheme for scheme in ID_SCHEMES if scheme not in LEAKY_ID_SCHEMES])
@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(held_out=st.lists(st.permutations(ITEMS), min_size=3, max_size=3), seed=st.integers(0, 3))
def test_ids_do_not_depend_on_held_out_items(features: Path, scheme: str, held_out: list[list[str]], seed: int) -> None:
    endings = [
        [item for item in order if item not in part][:2]
        for order, part in zip(held_out, TRAINING.values(), strict=True)
    ]
    histories = {user: part + "".join(end) for (user, part), end in zip(TRAINING.items(), endings, strict=True)}
    base = {user: part + "".join(sorted(set(ITEMS) - set(part))[:2]) for user, part in TRAINING.items()}
    ours, theirs = (prepare_ids(with_encoder(scheme, features), h, seed, title=TITLES) for h in (histories, base))
    assert ours.items["raw_id"].tolist() == theirs.items["raw_id"].tolist()
    assert tokens_of(ours) == tokens_of(theirs)
    assert bool(ours.n_id_tokens) == (scheme not in ("random", "sequential", "collaborative"))


def test_sequential_ids_run_along_the_training_parts() -> None:
    numbers = numbering("sequential", {"u": "gbax" + "yz", "v": "bcd" + "ag"})
    assert [numbers[item] for item in "gbaxcd"] == [1, 2, 3, 4, 5, 6]
    assert {numbers["y"], numbers["z"]} == {7, 8}


def test_items_that_are_only_held_out_do_not_run_along_the_users() -> None:
    histories = {f"u{n:02d}": ["a", "b", f"v{n:02d}", f"t{n:02d}"] for n in range(20)}
    numbers = [numbering("sequential", histories, seed) for seed in range(3)]
    orders = {tuple(number[f"t{n:02d}"] for n in range(20)) for number in numbers}
    assert len(orders) == 3
    assert not any(list(order) == sorted(order) for order in orders)


def test_random_ids_follow_the_seed() -> None:
    histories = {"u": ITEMS}
    first = numbering("random", histories, 1)
    assert first == numbering("random", histories, 1)
    assert first != numbering("random", histories, 2)
    assert sorted(first.values()) == list(range(1, 11))


def test_an_unknown_scheme_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown id scheme 'sequental': did you mean 'sequential'"):
        build_dataset(raw_histories({"u": "abcd"}), tmp_path / "out", BuildOptions(id_scheme="sequental"))


def test_independent_ids_are_one_token_each_in_the_order_of_random_numbers() -> None:
    dataset = prepare_ids("independent", {"u": ITEMS}, seed=3)
    assert [tuple(ids) for ids in dataset.items["id_tokens"]] == [(token,) for token in range(10)]
    assert numbering("independent", {"u": ITEMS}, 3) == numbering("random", {"u": ITEMS}, 3)
    assert dataset.manifest.id_tokens is not None
    assert (dataset.n_id_tokens, dataset.manifest.id_tokens.longest, dataset.manifest.ids_leak) == (10, 1, False)


def test_collaborative_independent_ids_are_paths_that_end_in_a_token_of_the_item() -> None:
    groups = {f"{group}{user}": [f"{group}{n:02d}" for n in range(24)] for group in "ab" for user in range(3)}
    alone = {"x": ["x0", "x1", "x2", "x3"]}
    dataset = prepare_ids("collaborative+independent", {**groups, **alone})
    ids = tokens_of(dataset)
    assert len({path[-1] for path in ids.values()}) == dataset.n_items  # each item's own
    first = {raw: path[0] for raw, path in ids.items() if raw[1:] < "22" and raw[0] in "ab"}
    assert len({first[f"a{n:02d}"] for n in range(22)}) == len({first[f"b{n:02d}"] for n in range(22)}) == 1
    assert first["a00"] != first["b00"]
    assert {len(ids[raw]) for raw in ("x2", "x3", "a22", "a23")} == {1}  # never in training: in no cluster
    assert numbering("collaborative", {**groups, **alone}) == dict(
        zip(dataset.items["raw_id"], dataset.items["item"].tolist(), strict=True)
    )


def test_items_with_like_titles_share_their_first_code_and_those_without_any_are_told() -> None:
    names = [f"{kind}{n:02d}" for kind in "cko" for n in range(12)]
    words = {"c": "oak chair", "k": "steel kettle"}
    titles = {name: words.get(name[0], "") for name in names}
    raw = raw_histories({"u": names}, title=titles)
    details = raw.details(raw.interactions)
    details.items["categories"] = [[] for _ in names]
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset.load(build_dataset(raw, Path(folder) / "out", BuildOptions(id_scheme="semantic:text")))
    ids = tokens_of(dataset)
    first = [{ids[name][0] for name in names if name[0] == kind} for kind in "cko"]
    assert [len(codes) for codes in first] == [1, 1, 1]
    assert len(set.union(*first)) == 3
    assert {len(path) for path in ids.values()} == {4}
    record = dataset.manifest.id_tokens
    assert record is not None
    assert (record.without_content, record.collisions, record.longest) == (12, 1.0, 4)
    assert record.code_use == [1.0, 1.0, 1.0]


def test_pictures_that_are_given_make_ids(features: Path) -> None:
    dataset = prepare_ids(f"semantic:image@features:{features}", {"u": ITEMS + "z"})
    first = {raw: path[0] for raw, path in tokens_of(dataset).items()}
    assert len({first[item] for item in "abc"}) == len({first[item] for item in "defghij"}) == 1
    assert len(set(first.values())) == 3  # z has no picture
    assert dataset.manifest.id_tokens is not None
    assert dataset.manifest.id_tokens.without_content == 1
    assert dataset.manifest.id_scheme == f"semantic:image@features:{features}"


@pytest.mark.slow
def test_pictures_make_ids_by_a_small_encoder_and_bad_files_are_no_content(tmp_path: Path) -> None:
    def png(red: int, blue: int, seed: int) -> bytes:
        pixels = np.array([red, 0, blue]) + np.random.default_rng(seed).integers(0, 30, (32, 32, 3))
        file = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
        return file.getvalue()

    names = [f"{kind}{n}" for kind in "rb" for n in range(10)]
    images = {name: png(200 * (name[0] == "r"), 200 * (name[0] == "b"), place) for place, name in enumerate(names)}
    dataset = prepare_ids("semantic:image@RN50=tiny", {"u": [*names, "x"]}, image={**images, "x": b"no picture"})
    first = {raw: path[0] for raw, path in tokens_of(dataset).items()}
    assert len({first[name] for name in names}) == 2
    assert len({first[name] for name in names if name[0] == "r"}) == 1
    assert dataset.manifest.id_tokens is not None
    assert dataset.manifest.id_tokens.without_content == 1


@pytest.mark.parametrize(
    ("scheme", "message"),
    [("semantic:image@RN50=tiny", "0 of 4 items have a picture"), ("semantic:text", "1 of 4 items have a text")],
)
def test_ids_without_content_are_refused_and_leave_nothing(tmp_path: Path, scheme: str, message: str) -> None:
    raw = raw_histories({"u": "abcd"}, title=dict.fromkeys("abc", "…") | {"d": "chair"})
    raw.details(raw.interactions).items["categories"] = [[]] * 4
    with pytest.raises(UserError, match=message):
        build_dataset(raw, tmp_path / "out", BuildOptions(id_scheme=scheme))
    assert list(tmp_path.iterdir()) == []


def test_ids_that_do_not_match_the_manifest_are_found(tmp_path: Path) -> None:
    path = build_dataset(raw_histories({"u": ITEMS}), tmp_path / "out", BuildOptions(id_scheme="independent"))
    items = Dataset.load(path).items
    items["id_tokens"] = [[0]] * len(items)
    manifest = Dataset.load(path).manifest
    tables = {**manifest.tables, "items": write_table(items, "items", path)}
    (path / MANIFEST).write_text(manifest.model_copy(update={"tables": tables}).model_dump_json(), "utf-8")
    with pytest.raises(UserError, match="two items have the same id"):
        Dataset.load(path)


def test_a_model_that_changes_makes_another_dataset(features: Path, tmp_path: Path) -> None:
    def folder(scheme: str) -> Path:
        return dataset_folder("minimart:20", None, Home(tmp_path), BuildOptions(id_scheme=scheme))

    copy = shutil.copytree(features, tmp_path / "features")
    scheme = f"semantic:image@features:{copy}"
    before = folder(scheme)
    assert folder(scheme) == before
    np.save(copy / "a.npy", np.zeros(4))
    assert folder(scheme) != before
