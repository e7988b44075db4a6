"""SASRec, the baseline that a next-item recommender should beat."""

from vip5core.baselines.sasrec.evaluate import evaluate_sasrec, run_sasrec
from vip5core.baselines.sasrec.network import SasrecModel
from vip5core.baselines.sasrec.training import FittedSasrec, train_sasrec

__all__ = [
    "FittedSasrec",
    "SasrecModel",
    "evaluate_sasrec",
    "run_sasrec",
    "train_sasrec",
]
