"""The `vip5` command, as its user meets it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.amazon_dumps import items_of, reviews_of, write_dump
from support.commands import run_vip5
from support.image_server import serving

from vip5core.data.dataset import Dataset

pytestmark = pytest.mark.slow


def test_a_dump_becomes_a_dataset_with_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    web = tmp_path / "web"
    web.mkdir()
    items = items_of(2014)
    for row in items[:-1]:
        Image.new("RGB", (20, 20), "green").save(web / f"{row['asin']}.jpg")
    for row in items:
        row["imUrl"] = f"http://old.example/{row['asin']}.jpg"
    source, out = tmp_path / "source", tmp_path / "toys"
    source.mkdir()
    write_dump(source, 2014, reviews_of(2014), items)
    code, said, _ = run_vip5(capsys, "prepare", "amazon-2014:toys", "--source", source, "--out", out, "--k-core", 0)
    assert code == 0
    assert "8 users, 9 items (0 with image), 48 interactions" in said
    assert "vip5 images" in said
    with serving(web) as address:
        code, said, _ = run_vip5(capsys, "images", out, "--mirror", f"http://old.example/={address}", "--allow-private")
    assert code == 1  # one image is missing
    assert "8 items with image, 8 of them new" in said
    assert "HTTP 404" in said
    code, said, _ = run_vip5(capsys, "describe", out)
    assert code == 0
    for figure in (
        "with image 88.9%",
        "split leave-one-out",
        "ties shuffle",
        "next ids, HR@5",
        "random leak-free",
        "users by history length",
    ):
        assert figure in said
    assert "16 of 16 candidate lists are shorter than 100" in said
    assert Image.open(out / "sheet.png").width > 500
    assert Dataset.load(out).manifest.k_core == 0


def test_items_get_as_many_pictures_as_are_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    web, source, out = (tmp_path / name for name in ("web", "source", "toys"))
    web.mkdir()
    source.mkdir()
    items = items_of(2018)
    for place, row in enumerate(items):
        for view, red in (("front", 0), ("back", 255)):
            Image.new("RGB", (20, 20), (red, 9 * place, 0)).save(web / f"{row['asin']}-{view}.png")
        row["imageURLHighRes"] = [f"http://old.example/{row['asin']}-{view}.png" for view in ("front", "back", "side")]
        row["imageURL"] = [f"http://old.example/{row['asin']}-{view}._SS40_.png" for view in ("front", "back")]
    write_dump(source, 2018, items=items)
    assert run_vip5(capsys, "prepare", "amazon-2018", "--source", source, "--out", out, "--k-core", 0)[0] == 0
    with serving(web) as address:
        rest = ("--mirror", f"http://old.example/={address}", "--allow-private")
        code, said, _ = run_vip5(capsys, "images", out, "--per-item", 2, *rest)
        assert code == 0
        assert "9 items with image, 9 of them new; 9 further pictures, 9 of them new" in said
        code, said, _ = run_vip5(capsys, "images", out, "--per-item", 3, *rest)
    assert code == 1
    assert "9 further pictures, 0 of them new" in said
    assert "9 HTTP 404" in said
    assert "further images 9 items have more than one; 9 have URLs of several" in run_vip5(capsys, "describe", out)[1]


def test_options_reach_the_manifest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "shop"
    options = ("--ids", "collaborative", "--repeats", "keep", "--duplicates", "keep", "--candidates", 7, "--seed", 3)
    options += ("--ties", "file", "--split", "time", "--held-out", 0.15)
    assert run_vip5(capsys, "prepare", "minimart:25", "--out", out, *options)[0] == 0
    manifest = Dataset.load(out).manifest
    kept = (manifest.id_scheme, manifest.repeats, manifest.duplicates, manifest.candidates, manifest.seed)
    assert kept == ("collaborative", "keep", "keep", 7, 3)
    assert (manifest.ties, manifest.split, manifest.held_out) == ("file", "time", 0.15)
    said = run_vip5(capsys, "describe", out)[1]
    assert re.search(r"split time .* users are asked, from 202\d-.* \(UTC\); not in training: ", said)
    assert "ties are in the order of the file" in said
    assert "ties=file, split=time, held_out=0.15" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["prepare", "minimrat", "--out", "new"], "did you mean 'minimart'?"),
        (["prepare", "amazon-2014", "--out", "new"], "amazon-2014 needs --source"),
        (["prepare", "minimart:25", "--out", "there"], "exists: choose another folder"),
        (["prepare", "minimart:25", "--out", "new", "--candidates", "1"], "at least 2"),
        (["prepare", "minimart:25", "--out", "new", "--k-core", "-1"], "k_core=-1"),
        (["prepare", "minimart:25", "--out", "new", "--held-out", "0.7"], "held_out=0.7: must be above 0"),
        (["prepare", "minimart:25", "--out", "new", "--seed", "-1"], "seed=-1: must be from 0"),
        (["images", "there", "--max-mb", "inf"], "--max-mb inf"),
        (["prepare", "minimart:25", "--out", "new", "--k-core", "999"], "nothing to train on"),
        (["describe", "there"], "is not a dataset"),
        (["images", "there"], "is not a dataset"),
        (["images", "there", "--per-item", "17"], "per_item=17: must be from 1 to 16"),
        (["images", "there", "--mirror", "x"], "--mirror 'x': must look like"),
    ],
)
def test_a_mistake_is_answered_in_one_line_and_leaves_nothing(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    code, _, error = run_vip5(capsys, *arguments)
    assert code == 2
    assert error.startswith("error: ")
    assert says in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_place_that_cannot_be_written_is_said_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    code, _, error = run_vip5(capsys, "prepare", "minimart:25", "--out", tmp_path / "file" / "shop")
    assert code == 2
    assert "cannot be written" in error


def test_a_folder_may_be_called_what_it_likes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a[" / "b]"
    assert run_vip5(capsys, "prepare", "minimart:25", "--out", out)[0] == 0
    assert "b]/sheet.png" in run_vip5(capsys, "describe", out)[1].replace(" ", "")


def test_preparing_does_without_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from vip5platform.cli.vip5 import main\n"
        f"try: main(['prepare', 'minimart:25', '--out', {str(tmp_path / 'shop')!r}])\n"
        "except SystemExit as left: assert not left.code\n"
        "assert not {'torch', 'ray', 'mlflow', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


COMMANDS = ("run", "prepare", "describe", "images", "report", "compare")


def test_help_names_every_command_and_does_without_large_packages() -> None:
    script = (
        "import sys; from vip5platform.cli.vip5 import main\n"
        "try: main(['--help'])\n"
        "except SystemExit as left: assert not left.code\n"
        "assert not {'torch', 'numpy', 'pandas', 'scipy', 'rich', 'vip5core.config'} & set(sys.modules), [*sys.modules]"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert all(f"\n    {command}" in done.stdout for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_of_its_own(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, said, _ = run_vip5(capsys, command, "--help")
    assert code == 0
    assert said.startswith(f"usage: vip5 {command} [-h]")
    assert len(said.split("options:")[1].split("--")) > 2  # not its name alone


def test_an_unknown_command_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run_vip5(capsys, "prepar", "minimart")
    assert code == 2
    assert "unknown command 'prepar': did you mean 'prepare'?" in error
    assert all(command in error for command in COMMANDS)


def test_the_help_of_a_sweep_does_without_large_packages() -> None:
    script = (
        "import sys; from vip5platform import Study, factor, main\n"
        "study = Study(name='s', question='Which?', factors=(factor('encoder', 'RN50', 'RN101'),))\n"
        "try: main(study, ['--help'])\n"
        "except SystemExit as left: assert not left.code\n"
        "assert not {'torch', 'numpy', 'pandas', 'scipy', 'rich', 'ray', 'mlflow'} & set(sys.modules), [*sys.modules]"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "reduction_factor=8" in done.stdout


def test_ids_of_tokens_are_described_and_unknown_ones_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "shop"
    code, _, said = run_vip5(capsys, "prepare", "minimart:20", "--out", out, "--ids", "semantic:txt")
    assert (code, out.exists()) == (2, False)
    assert "unknown id scheme 'semantic:txt': did you mean 'semantic:text'" in said
    assert run_vip5(capsys, "prepare", "minimart:20", "--out", out, "--ids", "semantic:text")[0] == 0
    record = Dataset.load(out).manifest.id_tokens
    assert record is not None
    code, described, _ = run_vip5(capsys, "describe", out)
    assert code == 0
    assert "item ids semantic:text leak-free" in described
    assert f"id tokens {record.tokens} added to the vocabulary; up to 4 in an id" in described
    assert f"code collisions {record.collisions:.1%} of items share all codes" in described
    assert "codes in use 100.0%" in described
