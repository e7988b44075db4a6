"""Adapters and a mapping network that came with a backbone: which settings they fit, and a model that starts from them.

Their tensors have the names of a `VIP5`'s parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import ValidationError
from torch import Tensor

from vip5core.config import ModelOptions, as_text
from vip5core.errors import UserError, first_line
from vip5core.model.adapters import POSITIONS
from vip5core.model.vip5 import VIP5
from vip5core.vocabulary import SHARED, TASKS

_MAPPING = "mapping."
_SETTINGS = ("reduction_factor", "adapter_positions", "adapter_sharing", "image_tokens", "mapping_norm")


def is_adapter_or_mapping(name: str) -> bool:
    """Is it the name of a parameter of an adapter or of the mapping network?"""
    return ".bank." in name or name.startswith(_MAPPING)


def feature_width(adapters: Mapping[str, Tensor]) -> int:
    """The width of the image features that the mapping network reads; 0 if there is none."""
    inner = adapters.get(f"{_MAPPING}inner.weight")
    return inner.shape[-1] if inner is not None and inner.dim() else 0


def fitting_options(adapters: Mapping[str, Tensor], d_model: int, source: str = "the backbone") -> ModelOptions:
    """The settings of a model with adapters and a mapping network of these names and shapes.

    Args:
        adapters: The tensors by their names.
        d_model: The width of the backbone.
        source: Where they are from, for messages.

    Raises:
        UserError: if no setting fits.
    """
    banks = [name for name in adapters if ".bank." in name]
    tasks = {name.split(".bank.")[1].split(".")[0] for name in banks} - {SHARED}
    mapped = [name for name in adapters if name.startswith(_MAPPING)]
    width, rows = (
        next((adapters[name].shape[0] for name in names if name.endswith(end) and adapters[name].dim()), 0)
        for names, end in ((banks, ".down.bias"), (mapped, ".outer.bias"))
    )
    try:
        return ModelOptions(
            tasks=tuple(task for task in TASKS if task in tasks) or TASKS,
            image_tokens=max(1, rows // d_model) if mapped else 0,
            mapping_norm=not mapped or f"{_MAPPING}norm.weight" in adapters,
            reduction_factor=d_model // width if width else 1,
            adapter_positions=tuple(
                position for position, at in POSITIONS.items() if any(f".{at}.bank." in name for name in banks)
            ),
            adapter_sharing="per_task" if tasks else "shared",
        )
    except ValidationError as error:
        raise UserError(
            f"the adapters or the mapping network of {source!r} fit no settings: {first_line(error)}"
        ) from None


def inherit(model: VIP5, adapters: Mapping[str, Tensor] | None) -> None:
    """Start the adapters and the mapping network of `model` from those that came with its backbone.

    A text-only model has no mapping network and leaves that of the backbone out.

    Raises:
        UserError: if none came with it, or those fit other settings; it names a tensor and both shapes.
    """
    if not adapters:
        raise UserError(
            "adapter_start='backbone': no adapters came with this backbone; give an official VIP5 checkpoint as "
            "--backbone, or choose adapter_start identity or paper"
        )
    expected = {name: p for name, p in model.named_parameters() if is_adapter_or_mapping(name)}
    given = {n: t for n, t in adapters.items() if model.mapping is not None or not n.startswith(_MAPPING)}
    for name in (*expected, *given):
        ours, theirs = (tuple(tensors[name].shape) if name in tensors else "absent" for tensors in (expected, given))
        if ours != theirs:
            raise UserError(
                f"adapter_start='backbone': {name!r} is {theirs} in the backbone and {ours} in the trial: "
                f"what came with it fits {_settings(adapters, model.backbone.config.d_model)}"
            )
    with torch.no_grad():
        for name, parameter in expected.items():
            parameter.copy_(given[name])


def _settings(adapters: Mapping[str, Tensor], d_model: int) -> str:
    """The settings that adapters fit, as `--set` takes them."""
    options = fitting_options(adapters, d_model)
    fitting = " ".join(f"{name}={as_text(getattr(options, name))}" for name in _SETTINGS)
    width = feature_width(adapters)
    return f"tuning=adapter {fitting}" + (f" and image features of width {width}" if width else "")
