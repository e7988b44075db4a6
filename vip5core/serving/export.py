"""A trained model as a folder of its own, which `load_exported` reads with this package alone.

README.md               the model card
result.json             the settings, the metrics and how they came about, as in the trial's folder
trainable.safetensors   the trained parameters, and all others that are not in the backbone
backbone/               the T5 and its tokenizer
features/               the image features of the items; none of a text-only model
items.parquet           the items: number, id of the source, title, categories, …
users.parquet           the users of the dataset: number, id of the source, name
manifest.json           what the dataset is, how its ids were made and whether they leak
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import save_file
from torch import Tensor, nn

from vip5core.config import TrialConfig
from vip5core.errors import UserError
from vip5core.model import VIP5, Backbone, add_id_tokens, remove_id_tokens, save_backbone
from vip5core.serving.catalogue import CATALOGUE_FILES, open_catalogue
from vip5core.serving.trained import ModelFiles, TrainedModel
from vip5core.storage import atomic_folder
from vip5core.trial.result import RESULT, WEIGHTS

CARD, BACKBONE, FEATURES = "README.md", "backbone", "features"
_OF_BACKBONE = "backbone."


def export_model(files: ModelFiles, folder: Path, card: str, *, merge: bool = False) -> Path:
    """Write the folder of a trained model, completely or not at all.

    Args:
        files: Where the parts of the model are.
        folder: The folder, which must not exist.
        card: The model card, as Markdown.
        merge: Whether the updates of LoRA or IA3 become part of the backbone's own weights. Those of full tuning always
            do, for they are these weights; bottleneck adapters cannot.

    Raises:
        UserError: if the folder exists, its parts cannot be read, or the model cannot be merged.
    """
    if folder.exists():
        raise UserError(f"{str(folder)!r} exists: choose another folder, or remove it first")
    trained = TrainedModel(files, open_catalogue(files.dataset), "cpu")
    merged = merge or trained.config.tuning == "full"
    if merge:
        _check_mergeable(trained.config)
    with atomic_folder(folder) as aside:
        result = trained.result
        if merged:
            # Nothing of the backbone is left to load: what else there was is in the weights.
            as_it_is = {"tuning": "frozen", "extra_embeddings": "trained"}
            result = dataclasses.replace(result, config=result.config.model_copy(update=as_it_is))
            _save_merged(trained, aside / BACKBONE)
        else:
            shutil.copytree(files.backbone, aside / BACKBONE)
        save_file(_weights(trained.model), aside / WEIGHTS)
        (aside / RESULT).write_text(result.text, "utf-8")
        (aside / CARD).write_text(card, "utf-8")
        for name in CATALOGUE_FILES:
            shutil.copyfile(files.dataset / name, aside / name)
        if files.features is not None:
            shutil.copytree(files.features, aside / FEATURES)
    return folder


def _check_mergeable(config: TrialConfig) -> None:
    if config.tuning == "adapter":
        raise UserError(
            "tuning=adapter: bottleneck adapters have a nonlinearity and cannot be merged into linear layers; "
            "leave the option out"
        )
    if config.precision == "bfloat16":
        raise UserError(
            "precision=bfloat16: the frozen weights are rounded to bfloat16, and a merged update would be too; "
            "leave the option out"
        )


def _save_merged(trained: TrainedModel, folder: Path) -> None:
    """Write the backbone as it was trained, and freeze it: what is still trained has a place of its own."""
    backbone, inputs = trained.model.backbone, trained.components
    _merge(trained.model)
    rows = remove_id_tokens(backbone)
    backbone.requires_grad_(False)
    save_backbone(Backbone(backbone, inputs.backbone.tokenizer, None), folder)
    if rows:
        add_id_tokens(backbone, rows, inputs.tables.first_id_token)


def _merge(model: VIP5) -> None:
    """Add the updates of LoRA or IA3 to the linear layers that they belong to, and take their modules away."""
    for name, module in list(model.backbone.named_modules()):
        if isinstance(module, BaseTunerLayer) and isinstance(module, nn.Module):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.backbone.get_submodule(parent), child, module.get_base_layer())


def _weights(model: VIP5) -> dict[str, Tensor]:
    """The parameters that a fresh model on the exported backbone does not have."""
    chosen = {
        name: parameter
        for name, parameter in model.named_parameters()
        if not name.startswith(_OF_BACKBONE) or parameter.requires_grad
    }
    return {name: parameter.detach().contiguous() for name, parameter in chosen.items()}
