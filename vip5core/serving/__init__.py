"""Use of a trained model: recommendations for histories, and models as folders that need no home and no platform."""

from vip5core.serving.cases import Case, answer_cases, questions_about
from vip5core.serving.catalogue import open_catalogue
from vip5core.serving.export import export_model
from vip5core.serving.histories import Histories, histories_of, number_histories, read_histories, read_users
from vip5core.serving.neighbours import nearest_items
from vip5core.serving.recommender import Recommender, load_exported
from vip5core.serving.to_file import FORMATS, check_format, recommend_to_file
from vip5core.serving.trained import ModelFiles, TrainedModel
from vip5core.serving.words import Word, read_words

__all__ = [
    "FORMATS",
    "Case",
    "Histories",
    "ModelFiles",
    "Recommender",
    "TrainedModel",
    "Word",
    "answer_cases",
    "check_format",
    "export_model",
    "histories_of",
    "load_exported",
    "nearest_items",
    "number_histories",
    "open_catalogue",
    "questions_about",
    "read_histories",
    "read_users",
    "read_words",
    "recommend_to_file",
]
