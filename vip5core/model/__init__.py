"""VIP5 on an unmodified T5: mapping network, adapters, tuning methods."""

from vip5core.model.build import ParameterCount, build_vip5, count_parameters
from vip5core.model.options import ModelOptions
from vip5core.model.tuning import TUNING_METHODS
from vip5core.model.vip5 import VIP5

__all__ = ["TUNING_METHODS", "VIP5", "ModelOptions", "ParameterCount", "build_vip5", "count_parameters"]
