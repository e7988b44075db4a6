"""The results reported in the paper (arXiv 2305.14302): templates A-3, B-8 and C-12, one training run each."""

from __future__ import annotations

from dataclasses import dataclass

from vip5core.data.dataset import Dataset
from vip5core.data.readers.amazon import CATEGORIES

_SOURCES = ("amazon-2014", "vip5-release")
#: BLEU in the paper is on characters, so ours is shown on characters as well.
METRICS = (
    *(f"test/sequential/{name}" for name in ("hit_rate_at_5", "ndcg_at_5", "hit_rate_at_10", "ndcg_at_10")),
    *(
        f"test/direct/{name}"
        for name in ("hit_rate_at_1", "hit_rate_at_5", "ndcg_at_5", "hit_rate_at_10", "ndcg_at_10")
    ),
    *(f"test/explanation/{name}" for name in ("bleu_4_characters", "rouge_1", "rouge_2", "rouge_l")),
)


@dataclass(frozen=True)
class PaperFigures:
    """The results on one dataset of the paper.

    Attributes:
        name: The name of the dataset in the paper.
        users: The number of users.
        items: The number of items.
        vip5: The results of VIP5, in the order of `METRICS`.
        others: The sequential results of the paper's baselines, in the same order.
    """

    name: str
    users: int
    items: int
    vip5: tuple[float, ...]
    others: dict[str, tuple[float, ...]]


FIGURES = {
    "toys": PaperFigures(
        *("Toys", 19_412, 11_924),
        (0.0662, 0.0577, 0.0749, 0.0604, 0.0433, 0.1301, 0.0875, 0.2037, 0.1110, 3.9293, 28.9225, 9.5441, 23.3148),
        {
            "SASRec": (0.0463, 0.0306, 0.0675, 0.0374),
            "S3-Rec": (0.0443, 0.0294, 0.0700, 0.0376),
            "P5": (0.0655, 0.0570, 0.0726, 0.0593),
        },
    ),
    "beauty": PaperFigures(
        *("Beauty", 22_363, 12_101),
        (0.0556, 0.0427, 0.0677, 0.0467, 0.0615, 0.1655, 0.1147, 0.2407, 0.1388, 2.8390, 26.0513, 6.0159, 20.4387),
        {
            "SASRec": (0.0387, 0.0249, 0.0605, 0.0318),
            "S3-Rec": (0.0387, 0.0244, 0.0647, 0.0327),
            "P5": (0.0503, 0.0370, 0.0659, 0.0421),
        },
    ),
    "sports": PaperFigures(
        *("Sports", 35_598, 18_357),
        (0.0412, 0.0345, 0.0475, 0.0365, 0.0699, 0.1882, 0.1304, 0.2717, 0.1572, 2.3003, 24.4887, 5.5057, 18.6610),
        {},
    ),
    "clothing": PaperFigures(
        *("Clothing", 39_387, 23_033),
        (0.0603, 0.0564, 0.0632, 0.0573, 0.0552, 0.1544, 0.1058, 0.2291, 0.1297, 3.2581, 28.9059, 8.5168, 22.8807),
        {},
    ),
}


def paper_figures(dataset: Dataset | None) -> PaperFigures | None:
    """The paper's results on a dataset; None if it reports none."""
    if dataset is None or dataset.manifest.source.get("name") not in _SOURCES:
        return None
    category = dataset.manifest.source.get("category", "").lower()
    return next((FIGURES[key] for key, file in CATEGORIES.items() if category in (key, file.lower())), None)
