"""The modality study finds what was planted in minimart: the right image tells what the title does not.

The explanations are those about colours, which only the images show, so that a trial of seconds can learn them. The
held-out ones are about items that nobody has explained, an equal share of each colour: among few items some colour is
frequent by chance, and a model that happens to prefer it would pass for one that sees.
"""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pandas as pd
import pytest
import torch
from vip5platform import main

from vip5core.data.build import build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.raw import Details
from vip5core.data.readers.minimart.reader import generate_shop
from vip5core.trial.p5_spec import p5_config
from vip5core.trial.p5_stage import make_p5_backbone

SWEEP = Path(__file__).parents[3] / "sweeps" / "modality_ablation.py"
SETTINGS = (
    *("tasks=explanation", "explanation_template=C-10", "encoder=ViT-L/14", "encoder_weights=tiny", "dropout=0"),
    *("batch_size=24", "learning_rate=2e-2", "validation_users=200", "epochs=4", "image_start=placeholder"),
)


def colour_shop(folder: Path) -> Dataset:
    """A shop like minimart with the explanations of colours alone."""
    raw = generate_shop(600, seed=5)

    def details(kept: pd.DataFrame) -> Details:
        all_of_it = raw.details(kept)
        told = all_of_it.explanations[all_of_it.explanations["aspect"] == "colour"]
        colours = told.drop_duplicates("item")[["item", "explanation"]].sort_values("item")
        place = colours.groupby(colours["explanation"].str.split().str[1]).cumcount()
        split = place.mod(8).map({0: "test", 1: "valid", 4: "test"}).fillna("train")
        told = told.assign(split=told["item"].map(dict(zip(colours["item"], split, strict=True))))
        return dataclasses.replace(all_of_it, explanations=told.reset_index(drop=True))

    return Dataset.load(build_dataset(dataclasses.replace(raw, details=details), folder))


@pytest.mark.long
def test_the_right_images_beat_none_and_shuffled_ones_which_are_alike(tmp_path):
    dataset = colour_shop(tmp_path / "shop")
    language = p5_config(tasks=("explanation",), epochs=8, learning_rate=2e-3)
    backbone = make_p5_backbone(dataset, language, tmp_path / "t5", lambda metrics: None, torch.device("cpu"))
    options = ["--dataset", dataset.folder, "--backbone", backbone, "--home", tmp_path / "home", "--seeds", "3"]
    with pytest.raises(SystemExit) as left:
        main(runpy.run_path(str(SWEEP))["STUDY"], [*map(str, options), "--baselines", "popularity", "--set", *SETTINGS])
    assert left.value.code == 0
    (table,) = (tmp_path / "home" / "reports").rglob("comparisons.csv")
    tests = pd.read_csv(table).set_index(["first", "second"])
    for other, sign in (("text-only", -1), ("shuffled images", 1)):  # each pair in the declaration's order
        pair = tests.loc[(other, "multimodal") if sign < 0 else ("multimodal", other)]
        assert sign * pair["difference"] > 5  # sentence BLEU-4 in percent
        assert pair["low"] * pair["high"] > 0
        assert pair["p_adjusted"] < 0.05
    alike = tests.loc[("text-only", "shuffled images")]
    assert alike["low"] < 0 < alike["high"]
    assert alike["p_adjusted"] > 0.05
    report = table.with_name("report.md").read_text()
    assert "multimodal" in report.split("\n\n")[1]
