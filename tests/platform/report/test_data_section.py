"""The report says what is held out, and what of it training has not seen."""

from __future__ import annotations

from support.studies import study_record
from vip5platform.analysis.results import DatasetResults, StudyResults
from vip5platform.report.blocks import Bullets, Text
from vip5platform.report.sections import data

from vip5core.data.dataset import Dataset


def study(*groups: DatasetResults) -> StudyResults:
    record = study_record(
        name="data",
        question="Which data?",
    )
    return StudyResults(record, list(groups), [])


def test_each_dataset_tells_how_it_is_split(shop: Dataset, shop_by_time: Dataset) -> None:
    groups = [DatasetResults(name, found, [], [], []) for name, found in (("a", shop), ("b", shop_by_time))]
    one, by_user, other, by_time = data.blocks(study(*groups))
    assert isinstance(one, Text)
    assert isinstance(other, Text)
    assert isinstance(by_user, Bullets)
    assert isinstance(by_time, Bullets)
    facts = dict(by_user.items)
    assert facts["Held out"] == "leave-one-out, the last two interactions of each user."
    assert facts["Test"].startswith("40 users are asked; not in training: 0 of them and ")
    assert facts["Ties"].endswith("ties are shuffled.")
    asked, held_out = shop_by_time.asked_users("test"), shop_by_time.manifest.held_out_splits["test"]
    new = (shop_by_time.training_lengths[asked] == 0).sum()
    targets = {user: shop_by_time.target(user, "test") for user in asked.tolist()}
    unseen = sum(shop_by_time.training_popularity[item] == 0 for item in targets.values())
    facts = dict(by_time.items)
    assert facts["Test"].startswith(f"{len(asked)} users are asked, from 20")
    assert f"not in training: {new} of them and {unseen} of their items" in facts["Test"]
    assert "others" not in facts["Test"]
    alone = held_out.model_copy(update={"begins": None, "asked": 1234, "without_history": 5})
    assert data.describe_split(alone).startswith("1,234 users are asked; not in training: ")
    assert data.describe_split(alone).endswith(" of their items; 5 others have no history")


def test_one_dataset_needs_no_name_and_none_no_section(shop: Dataset) -> None:
    (block,) = data.blocks(study(DatasetResults("a", shop, [], [], [])))
    assert isinstance(block, Bullets)
    assert data.blocks(study(DatasetResults("a", None, [], [], []))) == []
