"""SASRec, the bar that a next-item recommender should clear; see `network`, `training` and `trial`."""

from vip5core.evaluation.sasrec.network import SasrecModel, SasrecOptions
from vip5core.evaluation.sasrec.training import FittedSasrec, train_sasrec
from vip5core.evaluation.sasrec.trial import evaluate_sasrec, run_sasrec, sasrec_folder

__all__ = [
    "FittedSasrec",
    "SasrecModel",
    "SasrecOptions",
    "evaluate_sasrec",
    "run_sasrec",
    "sasrec_folder",
    "train_sasrec",
]
