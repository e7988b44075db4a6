"""VIP5 on an unmodified T5: mapping network, adapters, tuning methods, backbones and the loss."""

from vip5core.model.adapters import POSITIONS, is_layer_norm
from vip5core.model.backbone import Backbone, built_in_config, load_backbone, save_backbone
from vip5core.model.build import ParameterCount, build_vip5, cast_frozen, count_parameters
from vip5core.model.costs import capacity, grouping_costs
from vip5core.model.id_tokens import ID_TOKEN_ROWS, ID_TOKENS, add_id_tokens, draw_id_tokens, remove_id_tokens
from vip5core.model.inherited import feature_width, fitting_options, is_adapter_or_mapping
from vip5core.model.loss import LENGTH_POWERS, target_losses
from vip5core.model.mapping import MappingNetwork, RMSNorm
from vip5core.model.tuning import TUNING_METHODS
from vip5core.model.vip5 import CATEGORIES, VIP5, WHOLE_WORDS, draw_extra_embeddings

__all__ = [
    "CATEGORIES",
    "ID_TOKENS",
    "ID_TOKEN_ROWS",
    "LENGTH_POWERS",
    "POSITIONS",
    "TUNING_METHODS",
    "VIP5",
    "WHOLE_WORDS",
    "Backbone",
    "MappingNetwork",
    "ParameterCount",
    "RMSNorm",
    "add_id_tokens",
    "build_vip5",
    "built_in_config",
    "capacity",
    "cast_frozen",
    "count_parameters",
    "draw_extra_embeddings",
    "draw_id_tokens",
    "feature_width",
    "fitting_options",
    "grouping_costs",
    "is_adapter_or_mapping",
    "is_layer_norm",
    "load_backbone",
    "remove_id_tokens",
    "save_backbone",
    "target_losses",
]
