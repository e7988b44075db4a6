"""Every image model of transformers: a vision model, or the vision tower of a model like CLIP.

What is taken of it is what its authors pool:
- of models like CLIP (CLIP, SigLIP, …): what `get_image_features` gives, projected where there is a projection;
- of others: `pooler_output`; where the model has none, or none with weights, the first token of its last layer (the
  class token), or the mean over places where that layer is a map.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import vip5core.encoders.libraries as libraries
from vip5core.encoders.files import commit_of, digests, files_in, hub_file, read_json, unloadable
from vip5core.encoders.preprocessing import Geometry, Preprocessing
from vip5core.encoders.source import Outline
from vip5core.errors import UserError, first_line
from vip5core.fingerprint import fingerprint

if TYPE_CHECKING:
    from vip5core.encoders.towers import Encoder

_CONFIG = "config.json"
_CONTENT = (_CONFIG, "preprocessor_config.json", "processor_config.json", "*.index.json", "*.safetensors", "*.bin")
#: The numbers of the filters in PIL, which stand in the settings of image processors.
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
#: Image processors whose own steps come to those of `Preparation`.
_KNOWN_STEPS = ("DINOv3ViTImageProcessor", "ConvNextImageProcessor")


class TransformersModel:
    """A model of transformers, by the features that it pools.

    Args:
        reference: a folder, or `ORG/NAME` or `ORG/NAME@REVISION` of the hub.
    """

    def __init__(self, reference: str) -> None:
        self.reference, self.name = reference, f"hf:{reference}"

    def _folder(self) -> Path | None:
        """The folder; None for a repository of the hub."""
        path = Path(self.reference).expanduser()
        if path.is_dir():
            return path
        if self.reference.startswith(("/", ".", "~")) or self.reference.count("/") > 1:
            raise UserError(f"encoder {self.name!r}: there is no folder {str(path)!r}; check the path")
        return None

    def _config(self) -> Path:
        folder = self._folder()
        if folder is None:
            found = hub_file(self.reference, _CONFIG, self.name)
            assert found is not None
            return found
        if not (folder / _CONFIG).is_file():
            raise UserError(f"encoder {self.name!r}: the folder must hold {_CONFIG}, as save_pretrained writes it")
        return folder / _CONFIG

    def check(self) -> None:
        libraries.folder("transformers")
        if "model_type" not in read_json(self._config(), self.name):
            raise UserError(f"encoder {self.name!r}: {_CONFIG} has no model_type: it must be a model of transformers")

    def fingerprint(self) -> str:
        self.check()
        folder, version = self._folder(), libraries.version("transformers")
        if folder is None:
            return fingerprint("hf", self.reference.partition("@")[0], commit_of(self._config()), version)
        return fingerprint("hf", digests(files_in(folder, _CONTENT)), version)

    def located(self) -> tuple[str, str | None]:
        """The arguments of `from_pretrained`: the folder or the repository, and its revision."""
        folder = self._folder()
        if folder is not None:
            return str(folder), None
        return self.reference.partition("@")[0], commit_of(self._config())

    def revision(self) -> str | None:
        """The commit of a repository of the hub; None of a folder."""
        return self.located()[1]

    def preprocessing(self) -> Preprocessing:
        """What its image processor does.

        Raises:
            UserError: if it has none, or one with steps of its own.
        """
        libraries.folder("transformers")
        from transformers import AutoImageProcessor

        where, revision = self.located()
        try:
            processor = AutoImageProcessor.from_pretrained(where, revision=revision, trust_remote_code=False)
        except Exception as error:
            raise UserError(
                f"encoder {self.name!r} has no image processor that can be read ({first_line(error)}): save the "
                "model's own into its folder"
            ) from None
        try:
            return Preprocessing(*_read_processor(processor, self.name))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"encoder {self.name!r}: its image processor {type(processor).__name__} has settings that are not "
                f"known here ({type(error).__name__}: {first_line(error)}): compute the features yourself and give "
                "them as features:PATH"
            ) from None

    def outline(self) -> Outline:
        import torch

        from vip5core.encoders.towers import outline, quiet

        with quiet(), torch.device("meta"):
            kind = self._model_class()
            build = kind.from_config if hasattr(kind, "from_config") else kind
            tower = _tower(build(self._read_config()), frozenset())
        return outline(tower, self.preprocessing().geometry.crop)

    def build(self) -> Encoder:
        from vip5core.encoders.towers import Encoder, quiet

        self.check()
        preprocessing = self.preprocessing()
        where, revision = self.located()
        try:
            with quiet():
                model, found = self._model_class().from_pretrained(
                    where,
                    revision=revision,
                    config=self._read_config(),
                    output_loading_info=True,
                    trust_remote_code=False,
                )
            missing = frozenset(found["missing_keys"])
        except Exception as error:
            raise unloadable(self.name, error, "check its weights") from None
        absent = sorted(key for key in missing if "pooler" not in key)
        if absent:
            raise UserError(
                f"encoder {self.name!r}: {len(absent)} of its weights are missing ({absent[0]}, …); save it whole"
            )
        return Encoder(_tower(model, missing), preprocessing)

    def _read_config(self) -> Any:
        from transformers import AutoConfig

        where, revision = self.located()
        config = AutoConfig.from_pretrained(where, revision=revision, trust_remote_code=False)
        if getattr(config, "mask_ratio", None):  # a masked autoencoder would hide parts of the image at random
            config.mask_ratio = 0.0
        return config

    def _model_class(self) -> Any:
        """The class of the model; that with a projection where the weights are of one."""
        import transformers

        for name in read_json(self._config(), self.name).get("architectures") or []:
            if str(name).endswith("VisionModelWithProjection"):
                return getattr(transformers, str(name))
        return transformers.AutoModel


def _tower(model: Any, missing: frozenset[str]) -> Any:
    """The module that gives the features, without a text tower."""
    from vip5core.encoders.pooling import PooledModel

    for name in ("text_model", "text_projection"):
        if hasattr(model, "get_image_features") and hasattr(model, name):
            setattr(model, name, None)
    return PooledModel(model, has_pooler=not any("pooler" in key for key in missing))


def _read_processor(processor: Any, name: str) -> tuple[Geometry, Any, Any]:
    """Geometry, mean and standard deviation of an image processor.

    Raises:
        UserError: if its steps are not: resize, crop the centre, scale.
    """
    kind = type(processor).__name__
    if kind not in _KNOWN_STEPS and _has_own_steps(type(processor)):
        raise UserError(
            f"encoder {name!r}: its image processor {kind} has steps of its own, which are not known here: choose "
            "another model, or compute the features yourself and give them as features:PATH"
        )
    if not (processor.do_resize and processor.do_rescale) or getattr(processor, "do_pad", False):
        raise UserError(
            f"encoder {name!r}: its image processor {kind} must resize and rescale, and not pad; check its settings"
        )
    geometry = _convnext(processor) if kind == "ConvNextImageProcessor" else _geometry(processor, name)
    scale = 255.0 * processor.rescale_factor
    normalise = processor.do_normalize
    mean = _three(processor.image_mean if normalise else 0.0)
    std = _three(processor.image_std if normalise else 1.0)
    return geometry, tuple(part / scale for part in mean), tuple(part / scale for part in std)


def _has_own_steps(kind: type) -> bool:
    """Does a class of image processors do anything but what those of transformers have in common?"""
    base = next((part for part in kind.__mro__ if part.__module__.endswith("image_processing_backends")), None)
    steps = ("_preprocess", "resize", "center_crop", "rescale_and_normalize")
    return base is None or any(getattr(kind, step, None) is not getattr(base, step, None) for step in steps)


def _geometry(processor: Any, name: str) -> Geometry:
    size, interpolation = _sides(processor.size), _filter(processor)
    crop = _sides(processor.crop_size) if processor.do_center_crop else {}
    cropped = (crop["height"], crop["width"]) if {"height", "width"} <= crop.keys() else None
    if {"height", "width"} <= size.keys():
        to = (size["height"], size["width"])
        differs = cropped is not None and cropped != to
        return Geometry("squash", to, cropped or to, interpolation, crop_down=differs)
    if size.keys() == {"shortest_edge"} and cropped is not None:
        side = size["shortest_edge"]
        return Geometry("shortest", (side, side), cropped, interpolation, crop_down=True)
    raise UserError(
        f"encoder {name!r}: its image processor must make images of one size: size={size}, crop_size={crop or None}"
    )


def _convnext(processor: Any) -> Geometry:
    """Below 384 pixels more is resized than is kept; above, the image is squashed (`ConvNextImageProcessor.resize`)."""
    side = _sides(processor.size)["shortest_edge"]
    if side >= 384:
        return Geometry("squash", (side, side), (side, side), _filter(processor))
    to = int(side / processor.crop_pct)
    return Geometry("shortest", (to, to), (side, side), _filter(processor), crop_down=True)


def _sides(size: Any) -> dict[str, int]:
    return {key: int(value) for key, value in dict(size).items() if value is not None}


def _filter(processor: Any) -> str:
    return _FILTERS[int(processor.resample)]


def _three(values: Any) -> tuple[float, float, float]:
    red, green, blue = (values,) * 3 if isinstance(values, int | float) else values
    return float(red), float(green), float(blue)
