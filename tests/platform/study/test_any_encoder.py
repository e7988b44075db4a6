"""A study of encoders that the paper does not name, from its command line to its table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.encoder_models import save_open_clip
from vip5platform import Study, factor, main
from vip5platform.cli.vip5 import main as vip5

from vip5core.data.dataset import Dataset
from vip5core.home import Home

pytestmark = pytest.mark.slow

SETTINGS = ("test_users=20", "validation_users=10", "train_candidates=5", "num_beams=10", "max_target_tokens=8")


def test_local_models_and_own_features_are_levels_of_a_study(
    shop: Dataset, untrained: Path, tracked_home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = save_open_clip(tmp_path / "models" / "small-siglip")
    ids = [*shop.items["raw_id"].tolist()[2:], "nobody"]
    table = np.random.default_rng(0).normal(size=(len(ids), 6))
    table[0, 0] = np.nan
    np.save(tmp_path / "mine.npy", table)
    (tmp_path / "mine.ids.txt").write_text("\n".join(ids))
    levels = f"encoder=open_clip:local-dir:{model},features:{tmp_path / 'mine.npy'}"
    arguments = [
        *("--dataset", str(shop.folder), "--backbone", str(untrained), "--preset", "tiny", "--levels", levels),
        *("--epochs", "1", "--baselines", "", "--home", str(tracked_home.root), "--set", *SETTINGS),
    ]

    with pytest.raises(SystemExit) as left:
        main(Study("encoders", "Which encoder?", (factor("encoder", "RN50", "ViT-B/32"),)), arguments)
    said = " ".join(capsys.readouterr().out.split())
    assert left.value.code == 0, said
    assert f"{shop.n_items - 3} of {shop.n_items} items have a feature, from {len(ids)} rows" in said
    assert "1 contains numbers that are not finite; 1 of ids that the dataset does not have ('nobody', …)" in said
    report = next(tracked_home.reports.glob("*/report.md")).read_text("utf-8")
    for level, width in (("open_clip:small-siglip", 24), ("features:mine.npy", 6)):
        assert f"| {level} |" in report
        stores = [np.load(path, mmap_mode="r") for path in tracked_home.features.glob("*/features.npy")]
        assert width in {store.shape[1] for store in stores}

    # Asked again, it answers without what computes features.
    script = (
        "import sys; from vip5platform import Study, factor, main\n"
        "try: main(Study('encoders', 'Which encoder?', (factor('encoder', 'RN50', 'ViT-B/32'),)), sys.argv[1:])\n"
        "except SystemExit as left: assert not left.code\n"
        "assert not {'torch', 'transformers', 'open_clip', 'timm', 'ray'} & set(sys.modules), sorted(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "nothing to train" in done.stdout

    # What it measured of the encoder is in the list of encoders.
    with pytest.raises(SystemExit) as left:
        vip5(["encoders", "small-siglip", "--home", str(tracked_home.root)])
    assert left.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    assert " 24 64 0.1 " in said
    assert "(1 CPU)" in said


def test_the_list_of_encoders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def listed(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as left:
            vip5(["encoders", *arguments, "--home", str(tmp_path)])
        seen = capsys.readouterr()
        return left.value.code, " ".join((seen.out + seen.err).split())

    code, said = listed("MobileCLIP2-S0")
    assert code == 0
    assert "open_clip:MobileCLIP2-S0/dfndr2b 512 256 11.4 –" in said
    assert "5 of the paper, " in said
    code, said = listed("vit_small_patch14_dinov2.lvd142m")
    assert "timm:vit_small_patch14_dinov2.lvd142m 384 518 22.1 –" in said
    code, said = listed("no such encoder")
    assert code == 2
    assert "no encoder's name contains it" in said
