"""How the datasets of a study are split and ordered, and what of the held-out part training has not seen."""

from __future__ import annotations

from datetime import UTC, datetime

from vip5core.data.dataset import Dataset, Manifest
from vip5core.data.held_out import HeldOutSplit
from vip5core.vocabulary import SplitScheme, Ties
from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Block, Bullets, Text
from vip5platform.report.formatting import dataset_name

_SCHEMES: dict[SplitScheme, str] = {
    "leave-one-out": "leave-one-out, the last two interactions of each user",
    "time": "by time, all interactions after two points that are the same for everybody",
}
_TIES: dict[Ties, str] = {"shuffle": "shuffled", "file": "in the order of the file"}


def blocks(study: StudyResults) -> list[Block]:
    """The split of each dataset and the order of its ties."""
    found: list[Block] = []
    for group in study.groups:
        if group.dataset is None:
            continue
        if len(study.groups) > 1:
            found.append(Text(dataset_name(group)))
        found.append(Bullets(_facts(group.dataset)))
    return found


def _facts(dataset: Dataset) -> list[tuple[str, str]]:
    manifest = dataset.manifest
    return [
        ("Held out", f"{_SCHEMES[manifest.split]}."),
        *(
            (name, f"{describe_split(manifest.held_out_splits[split])}.")
            for name, split in (("Validation", "valid"), ("Test", "test"))
        ),
        ("Ties", f"{describe_ties(manifest)}."),
    ]


def describe_split(held_out: HeldOutSplit) -> str:
    """Who is asked in a held-out split, since when it lasts, and what of it training has not seen."""
    begins = held_out.begins
    since = "" if begins is None else f", from {datetime.fromtimestamp(begins, UTC):%Y-%m-%d %H:%M:%S} (UTC)"
    unasked = f"; {held_out.without_history:,} others have no history" if held_out.without_history else ""
    return (
        f"{held_out.asked:,} users are asked{since}; not in training: {held_out.new_users:,} of them and "
        f"{held_out.new_items:,} of their items{unasked}"
    )


def describe_ties(manifest: Manifest) -> str:
    """How many of the items that are asked for are tied with a neighbour, and how ties are ordered."""
    if not manifest.has_times:
        return "the source has an order but no times: nothing to shuffle"
    splits = manifest.held_out_splits.values()
    share = sum(held_out.tied for held_out in splits) / sum(held_out.asked for held_out in splits)
    return f"{share:.1%} of the items asked for have the time of a neighbour; ties are {_TIES[manifest.ties]}"
