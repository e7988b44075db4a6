"""Use of a trained model: recommendations for histories, and models as folders that need no home and no platform."""

from vip5core.serving.catalogue import open_catalogue
from vip5core.serving.export import export_model
from vip5core.serving.histories import Histories, histories_of, number_histories, read_histories, read_users
from vip5core.serving.recommender import Recommender, load_exported
from vip5core.serving.to_file import FORMATS, recommend_to_file
from vip5core.serving.trained import ModelFiles, TrainedModel

__all__ = [
    "FORMATS",
    "Histories",
    "ModelFiles",
    "Recommender",
    "TrainedModel",
    "export_model",
    "histories_of",
    "load_exported",
    "number_histories",
    "open_catalogue",
    "read_histories",
    "read_users",
    "recommend_to_file",
]
