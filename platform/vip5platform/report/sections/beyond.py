"""Beyond accuracy: what is recommended, whether or not it is what users chose."""

from __future__ import annotations

from vip5core.metrics import LIST_CUTOFF, metric
from vip5core.vocabulary import RANKING_TASKS
from vip5platform.analysis.results import StudyResults
from vip5platform.report.blocks import Block, Column, Text
from vip5platform.report.formatting import join_words, unit_suffix
from vip5platform.report.sections.plain_table import PlainTable, measured

TITLE = "Beyond accuracy"

_METRICS = tuple(f"{name}_at_{LIST_CUTOFF}" for name in ("coverage", "popularity", "novelty", "image_similarity"))


def blocks(study: StudyResults) -> list[Block]:
    """One table with the coverage, popularity, novelty and similarity of the lists of each task."""
    names = measured(study, [f"test/{task}/{own}" for task in RANKING_TASKS for own in _METRICS])
    if study.record.kind == "search" or not measured(study, [f"test/{task}/ndcg_at_10" for task in RANKING_TASKS]):
        return []
    if not names:
        return [Text("Not recorded: the code that ran these trials did not keep what they recommend.", "note")]
    columns = [Column(f"{metric(name).label}{unit_suffix(metric(name))}", metric(name).group) for name in names]
    return [PlainTable(columns, names).of(study, _notes(study))]


def _notes(study: StudyResults) -> list[str]:
    notes = [
        f"Of the first {LIST_CUTOFF} items of each list. Coverage: the share of the catalogue that is in anybody's; "
        "popularity: the mean number of training interactions of an item; novelty: the mean of −log2 of its share of "
        "them. No value is good in itself: see accuracy beside it."
    ]
    encoders = list(dict.fromkeys(group.similarity_by for group in study.groups if group.similarity_by))
    if encoders:
        notes.append(
            "Similarity: the mean cosine between the images of a list, by the centred features of "
            f"{join_words(encoders)} for all levels; 0: as alike as items drawn at random."
        )
    return notes
