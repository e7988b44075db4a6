"""Every model of open_clip: `ARCHITECTURE/TAG` of its own list, a repository of the hub, or a local folder."""

from __future__ import annotations

import functools
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import vip5core.encoders.libraries as libraries
from vip5core.encoders.files import commit_of, digests, existing_folder, files_in, hub_file, read_json, unloadable
from vip5core.encoders.preprocessing import OPENAI_MEAN, OPENAI_STD, Preprocessing
from vip5core.encoders.source import Outline
from vip5core.errors import UserError, unknown_of_many
from vip5core.fingerprint import fingerprint

if TYPE_CHECKING:
    from vip5core.encoders.towers import Encoder

_CONFIG = "open_clip_config.json"
#: Where open_clip looks for weights in a folder, and what their files are called in a repository.
_WEIGHTS = ("*.safetensors", "*.bin", "*.pth")
_HUB_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
#: The defaults of `open_clip.transform.PreprocessCfg`, which a configuration changes.
_DEFAULTS: dict[str, Any] = {
    "mean": OPENAI_MEAN,
    "std": OPENAI_STD,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}


def open_clip_names() -> list[str]:
    """`ARCHITECTURE/TAG` of all models with weights that open_clip knows, without importing PyTorch."""
    return [f"{architecture}/{tag}" for architecture, tag in _registry().list_pretrained() if _config_of(architecture)]


class OpenClipModel:
    """A model of open_clip's own list.

    Args:
        reference: `ARCHITECTURE/TAG`.
    """

    def __init__(self, reference: str) -> None:
        self.reference, self.name = reference, f"open_clip:{reference}"
        self.architecture, _, self.tag = reference.partition("/")

    def check(self) -> None:
        registry = _registry()
        config = _config_of(self.architecture)
        if config is None or not registry.is_pretrained_cfg(self.architecture, self.tag):
            names = [f"open_clip:{name}" for name in open_clip_names()]
            tags = registry.list_pretrained_tags_by_model(self.architecture)
            if config is not None and tags and not self.tag:
                raise UserError(
                    f"encoder {self.name!r}: name its weights too: {self.name}/{tags[0]}; tags: {', '.join(tags)}"
                )
            raise unknown_of_many("encoder", self.name, names, "vip5 encoders WORD")
        if "timm_model_name" in config["vision_cfg"]:
            libraries.folder("timm")

    def fingerprint(self) -> str:
        versions = {"open_clip": libraries.version("open_clip")}
        if "timm_model_name" in (_config_of(self.architecture) or {}).get("vision_cfg", {}):
            versions["timm"] = libraries.version("timm")
        return fingerprint("open_clip", self.architecture, self.tag, versions)

    def preprocessing(self) -> Preprocessing:
        config, own = _config_of(self.architecture), _registry().get_pretrained_cfg(self.architecture, self.tag)
        return _preprocessing(config or {}, own)

    def outline(self) -> Outline:
        from vip5core.encoders.towers import open_clip_outline

        return open_clip_outline(self.architecture)

    def build(self) -> Encoder:
        from vip5core.encoders.towers import build_open_clip

        # With the wrong activation open_clip only warns, and computes something else.
        own = _registry().get_pretrained_cfg(self.architecture, self.tag)
        return _loaded(self.name, lambda: build_open_clip(self.architecture, self.tag, own.get("quick_gelu", False)))


class OpenClipFolder:
    """A folder with `open_clip_config.json` and weights, as `open_clip.push_to_hf_hub.save_for_hf` writes it."""

    def __init__(self, path: str) -> None:
        self.path, self.name = path, f"open_clip:local-dir:{path}"

    def _folder(self) -> Path:
        return existing_folder(self.path, self.name)

    def check(self) -> None:
        folder = self._folder()
        if not (folder / _CONFIG).is_file() or not files_in(folder, _WEIGHTS):
            raise UserError(
                f"encoder {self.name!r}: the folder must hold {_CONFIG}, with model_cfg and preprocess_cfg, and "
                f"weights ({', '.join(_WEIGHTS)})"
            )
        _model_config(read_json(folder / _CONFIG, self.name), self.name)

    def fingerprint(self) -> str:
        self.check()
        folder = self._folder()
        content = digests([folder / _CONFIG, *files_in(folder, _WEIGHTS)])
        return fingerprint("open_clip", "folder", content, libraries.version("open_clip"), libraries.version("timm"))

    def preprocessing(self) -> Preprocessing:
        config = read_json(self._folder() / _CONFIG, self.name)
        return _preprocessing(_model_config(config, self.name), config.get("preprocess_cfg") or {})

    def outline(self) -> Outline:
        from vip5core.encoders.towers import open_clip_outline

        config = read_json(self._folder() / _CONFIG, self.name)
        return open_clip_outline(_model_config(config, self.name))

    def build(self) -> Encoder:
        from vip5core.encoders.towers import build_open_clip

        self.check()  # without weights open_clip only warns
        return _loaded(self.name, lambda: build_open_clip(f"local-dir:{self._folder()}"))


class OpenClipRepository:
    """A repository of the hub in open_clip's form, in one revision: that of the first download, or one by name.

    Args:
        repository: `ORG/NAME` or `ORG/NAME@REVISION`.
    """

    def __init__(self, repository: str) -> None:
        self.repository, self.name = repository, f"open_clip:hf-hub:{repository}"

    def _config(self) -> Path:
        found = hub_file(self.repository, _CONFIG, self.name)
        assert found is not None
        return found

    def check(self) -> None:
        _model_config(read_json(self._config(), self.name), self.name)

    def fingerprint(self) -> str:
        versions = [libraries.version("open_clip"), libraries.version("timm")]
        return fingerprint("open_clip", "hub", self.repository.partition("@")[0], commit_of(self._config()), versions)

    def preprocessing(self) -> Preprocessing:
        return self._as_folder().preprocessing()

    def outline(self) -> Outline:
        return self._as_folder().outline()

    def build(self) -> Encoder:
        config = self._config()
        revision = f"{self.repository.partition('@')[0]}@{commit_of(config)}"
        safe, pickled = _HUB_WEIGHTS
        if hub_file(revision, safe, self.name, required=False) is None:
            hub_file(revision, pickled, self.name)
        return self._as_folder().build()

    def revision(self) -> str:
        """The commit of the repository."""
        return commit_of(self._config())

    def _as_folder(self) -> OpenClipFolder:
        folder = OpenClipFolder(str(self._config().parent))
        folder.name = self.name
        return folder


def _registry() -> ModuleType:
    """open_clip's module of pretrained weights, without the rest of open_clip, which imports PyTorch."""
    if "open_clip" in sys.modules:
        return importlib.import_module("open_clip.pretrained")
    alone = "open_clip_without_pytorch"
    if alone not in sys.modules:
        package = ModuleType(alone)
        package.__path__ = [str(libraries.folder("open_clip"))]
        sys.modules[alone] = package
    with libraries.without("safetensors", "safetensors.torch", "huggingface_hub"):  # which import it, or take long
        return importlib.import_module(f"{alone}.pretrained")


@functools.cache
def _config_of(architecture: str) -> dict[str, Any] | None:
    """open_clip's configuration of an architecture; None if it has none."""
    path = libraries.folder("open_clip") / "model_configs" / f"{architecture}.json"
    if "/" in architecture or not path.is_file():
        return None
    config: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return config


def _model_config(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The model's part of `open_clip_config.json`.

    Raises:
        UserError: if there is none.
    """
    found = config.get("model_cfg")
    if not isinstance(found, dict) or not {"embed_dim", "vision_cfg", "text_cfg"} <= found.keys():
        raise UserError(f"encoder {name!r}: {_CONFIG} must have a model_cfg with embed_dim, vision_cfg and text_cfg")
    return found


def _preprocessing(model: Mapping[str, Any], own: Mapping[str, Any]) -> Preprocessing:
    """open_clip's defaults, changed by the model's own settings; the size is that of the tower."""
    given = {key: value for key, value in own.items() if key in _DEFAULTS and value is not None}
    size = model.get("vision_cfg", {}).get("image_size", 224)
    return Preprocessing.of_open_clip({**_DEFAULTS, **given, "size": size})


def _loaded(name: str, build: Any) -> Encoder:
    try:
        encoder: Encoder = build()
    except UserError:
        raise
    except Exception as error:
        raise unloadable(name, error, "check its weights") from None
    return encoder
