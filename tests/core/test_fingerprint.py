"""Equal content, equal fingerprint; and code is known by what it does, not by how it is written."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vip5core
from vip5core.data import sources
from vip5core.data.build import BuildOptions
from vip5core.fingerprint import (
    DATA_FILES,
    ENCODING_ROOTS,
    PREPARATION_ROOTS,
    SASREC_ROOTS,
    TRIAL_ROOTS,
    canonical_json,
    code_identity,
    code_version,
    fingerprint,
    hash_code,
    reached_modules,
)
from vip5core.home import Home

PAPER_ENCODER_ROOTS = (*ENCODING_ROOTS, "vip5core.encoders.zoo")
PACKAGE = Path(vip5core.__file__).parent
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5))
def test_the_order_of_keys_does_not_matter(value: dict) -> None:
    reordered = dict(reversed(value.items()))
    assert fingerprint(value) == fingerprint(reordered)


@given(VALUES, VALUES)
def test_different_values_differ(one: object, other: object) -> None:
    assert (fingerprint(one) == fingerprint(other)) == (canonical_json(one) == canonical_json(other))
    assert fingerprint(one, other) != fingerprint([one, other])


def test_what_is_no_number_has_no_fingerprint() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        fingerprint(float("nan"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package that a test may edit."""
    return Path(
        shutil.copytree(PACKAGE, tmp_path / "vip5core", ignore=shutil.ignore_patterns("__pycache__", "*.so", ".*"))
    )


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, 1), "utf-8")


def test_the_identity_is_that_of_the_sources_wherever_they_lie(copy: Path) -> None:
    assert hash_code(copy, TRIAL_ROOTS) == code_version() == code_identity(*TRIAL_ROOTS)
    assert len(code_version()) == 16
    assert code_identity(*PREPARATION_ROOTS) != code_version()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("training/optim.py", "# Epsilon is added before", "# Epsilon is  added just before"),
        ("training/optim.py", '"""Optimiser and schedule', '"""The optimiser and its schedule'),
        ("training/optim.py", '"""The learning rate of a step, as a share of the peak rate."""', '"""The rate."""'),
        ("training/optim.py", "\n\nclass Optimizer", "\n\n\n\nclass Optimizer"),
        ("training/optim.py", "_BETAS = (0.9, 0.999)", "_BETAS = (\n    0.90,\n    0.999,\n)"),
        ("config.py", '"""Epsilon of AdamW', '"""The epsilon of AdamW'),
        ("templates.py", "class Piece:", "# A piece.\nclass Piece:"),
        ("errors.py", "did you mean", "did you perhaps mean"),
        ("presets.py", '"epochs": 2', '"epochs": 3'),
        ("__init__.py", "__version__ =", "__version__ = VERSION ="),
    ],
    ids=[
        "comment",
        "module",
        "method",
        "blank lines",
        "layout",
        "setting",
        "new comment",
        "message",
        "preset",
        "version",
    ],
)
def test_what_changes_no_number_keeps_the_identity(copy: Path, file: str, old: str, new: str) -> None:
    edit(copy / file, old, new)
    assert hash_code(copy, TRIAL_ROOTS) == code_version()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("training/optim.py", "_BETAS = (0.9, 0.999)", "_BETAS = (0.9, 0.99)"),
        ("config.py", "adam_epsilon: float = Field(1e-8", "adam_epsilon: float = Field(1e-6"),
        ("vocabulary.py", "MAX_FIELD_TOKENS = 128", "MAX_FIELD_TOKENS = 127"),
        ("model/adapters.py", "return out + adapter(out)", "return out - adapter(out)"),
        ("evaluation/probe.py", "LogisticRegression(max_iter=_STEPS)", "LogisticRegression(max_iter=7)"),
        ("data/dataset.py", "self._history_starts[user - 1]", "self._history_starts[user]"),
        ("data/vectors.py", "_DENSE = 2_000", "_DENSE = 1_000"),
        ("trial/p5_stage.py", "_explain_half(dataset, config.seed)", "dataset"),
        ("templates.yaml", "next choice :", "the next choice :"),
    ],
    ids=lambda value: value if value.endswith((".py", ".yaml", ".json")) else "",
)
def test_what_may_change_a_number_changes_the_identity(copy: Path, file: str, old: str, new: str) -> None:
    edit(copy / file, old, new)
    assert hash_code(copy, TRIAL_ROOTS) != code_version()


def test_a_changed_baseline_is_trained_again_and_no_trial_is(copy: Path) -> None:
    edit(copy / "baselines/identity.py", "width: int = 64", "width: int = 32")
    assert hash_code(copy, TRIAL_ROOTS) == code_version()
    assert hash_code(copy, SASREC_ROOTS) != code_identity(*SASREC_ROOTS)


def test_an_import_in_any_kind_of_block_counts(tmp_path: Path) -> None:
    package = tmp_path / "vip5core"
    package.mkdir()
    for name in ("caught", "matched"):
        (package / f"{name}.py").write_text("x = 1")
    (package / "root.py").write_text(
        "try:\n    pass\nexcept OSError:\n    from vip5core import caught\n"
        "match 1:\n    case 1:\n        from vip5core.matched import x\n"
    )
    assert set(reached_modules(package, ("vip5core.root",))) == {f"vip5core.{n}" for n in ("root", "caught", "matched")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "changes_preparation"),
    [
        ("data/readers/amazon/reader.py", True),
        ("data/readers/minimart/reader.py", True),
        ("data/build.py", True),
        ("data/ids.py", True),
        ("data/clusters.py", True),
        ("data/images/fetch.py", False),
        ("data/images/sheet.py", False),
        ("data/describe.py", False),
        ("data/leak.py", False),
        ("parity/checkpoint.py", False),
        ("baselines/simple.py", False),
    ],
)
def test_code_that_trials_do_not_run_keeps_their_identity(copy: Path, file: str, changes_preparation: bool) -> None:
    (copy / file).write_text((copy / file).read_text("utf-8") + "\n_MORE = 1\n", "utf-8")
    assert hash_code(copy, TRIAL_ROOTS) == code_version()
    prepared_anew = hash_code(copy, PREPARATION_ROOTS) != code_identity(*PREPARATION_ROOTS)
    assert prepared_anew == changes_preparation


def test_training_code_keeps_the_identity_of_prepared_datasets(copy: Path) -> None:
    edit(copy / "training" / "optim.py", "_BETAS = (0.9, 0.999)", "_BETAS = (0.9, 0.99)")
    edit(copy / "templates.yaml", "next choice :", "the next choice :")
    assert hash_code(copy, PREPARATION_ROOTS) == code_identity(*PREPARATION_ROOTS)


def test_a_dataset_is_known_by_the_code_that_prepares_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def folder() -> Path:
        return sources.dataset_folder("minimart:20", None, Home(tmp_path), BuildOptions())

    before, asked = folder(), []
    monkeypatch.setattr(sources, "code_identity", lambda *roots: asked.append(roots) or "other")
    assert folder() != before
    assert asked == [PREPARATION_ROOTS]


def test_imports_are_followed_into_functions_but_not_for_type_checkers(tmp_path: Path) -> None:
    package = tmp_path / "vip5core"
    (package / "part").mkdir(parents=True)
    (package / "root.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "from vip5core import sibling\n"
        "if TYPE_CHECKING:\n    from vip5core.typed import Typed\n"
        "else:\n    from vip5core.untyped import Typed\n"
        "def f():\n    from vip5core.part.late import late\n"
    )
    for name in ("sibling", "typed", "untyped", "unrelated", "part/__init__", "part/late"):
        (package / f"{name}.py").write_text("import vip5core.root as again\n")
    found = {name.removeprefix("vip5core.") for name in reached_modules(package, ("vip5core.root",))}
    assert found == {"root", "sibling", "untyped", "part", "part.late"}


def test_features_count_the_files_of_tiny_encoders_and_trials_count_features(copy: Path) -> None:
    edit(copy / "encoders/tiny/tiny-RN50-quickgelu.json", "{", '{"more": 1,')
    assert hash_code(copy, TRIAL_ROOTS) == code_version()
    assert hash_code(copy, PAPER_ENCODER_ROOTS) != code_identity(*PAPER_ENCODER_ROOTS)


def test_every_data_file_of_the_package_belongs_to_a_module_that_trials_or_encoders_run() -> None:
    assert set(DATA_FILES) <= set(reached_modules(PACKAGE, TRIAL_ROOTS + PAPER_ENCODER_ROOTS))
    known = {
        path
        for module, pattern in DATA_FILES.items()
        for path in PACKAGE.joinpath(*module.split(".")[1:-1]).glob(pattern)
    }
    assert {path for path in PACKAGE.rglob("*.*") if path.suffix not in (".py", ".pyc")} == known
