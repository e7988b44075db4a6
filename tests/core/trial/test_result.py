"""A result is read as it was written, and one that cannot be read is refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from support.trials import small

from vip5core.errors import UserError
from vip5core.trial.result import RESULT, Content, TrialRecord, TrialResult, has_result

ROWS = pd.DataFrame({"task": ["sequential"], "user": [1], "rank": [3]})


def save_result(folder: Path, weights: dict[str, torch.Tensor] | None = None) -> TrialResult:
    record = TrialRecord(
        fingerprint="f",
        code="c",
        dataset=Content(name="minimart", fingerprint="d"),
        backbone=Content(name="tiny", fingerprint="b"),
        options={"width": 3},
        versions={"python": "3.11"},
    )
    result = TrialResult(folder, small(tasks=("sequential",)), {"test/loss": 0.1}, [{"epoch": 1.0}], record)
    result.save(ROWS, weights)
    return result


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    folder, weight = tmp_path / "trial", torch.arange(6.0).reshape(2, 3).T
    assert not has_result(folder)
    saved = save_result(folder, {"w": weight})
    assert has_result(folder)
    loaded = TrialResult.load(folder)
    assert loaded == saved
    pd.testing.assert_frame_equal(loaded.per_user, ROWS)
    assert torch.equal(load_file(folder / "trainable.safetensors")["w"], weight)
    assert [path.name for path in tmp_path.iterdir()] == ["trial"]


def test_lists_are_kept_with_the_result_and_one_without_them_stays_readable(tmp_path: Path) -> None:
    saved = save_result(tmp_path / "trial")
    assert saved.lists is None
    lists = pd.DataFrame({"user": [1, 1], "rank": [1, 2], "item": [7, 3]})
    other = replace(saved, folder=tmp_path / "other")
    other.save(ROWS, lists=lists)
    assert {path.name for path in other.folder.iterdir()} == {
        "result.json",
        "per_user.parquet",
        "recommendations.parquet",
    }
    found = TrialResult.load(other.folder).lists
    assert found is not None
    pd.testing.assert_frame_equal(found, lists)
    (other.folder / "recommendations.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"recommendations.parquet' cannot be read .*: run its study with --force"):
        _ = other.lists


def test_a_result_without_weights_has_none(tmp_path: Path) -> None:
    save_result(tmp_path / "trial")
    assert {path.name for path in (tmp_path / "trial").iterdir()} == {"result.json", "per_user.parquet"}


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"config": {"epochs": 0}, "record": {}}'])
def test_what_is_not_a_result_is_refused_in_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / RESULT).write_text(content)
    with pytest.raises(UserError, match=r"contains no readable trial .*: run its study again") as caught:
        TrialResult.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_result_of_other_settings_or_an_incomplete_record_is_refused(tmp_path: Path) -> None:
    save_result(tmp_path / "trial")
    path = tmp_path / "trial" / RESULT
    written = path.read_text()
    for old, new in (('"epochs"', '"epoch"'), ('"fingerprint": "f"', '"finger": "f"')):
        assert old in written
        path.write_text(written.replace(old, new, 1))
        with pytest.raises(UserError, match="contains no readable trial"):
            TrialResult.load(tmp_path / "trial")


def test_lost_rows_are_reported_in_one_line(tmp_path: Path) -> None:
    save_result(tmp_path / "trial")
    (tmp_path / "trial" / "per_user.parquet").unlink()
    with pytest.raises(UserError, match=r"no per-user results to read .*: run its study with --force") as caught:
        _ = TrialResult.load(tmp_path / "trial").per_user
    assert "\n" not in str(caught.value)
