"""Every model of timm, by its pooled features: of its own list, a file of weights, the hub, or a local folder."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vip5core.encoders.libraries as libraries
from vip5core.encoders.files import commit_of, digests, existing_folder, files_in, hub_file, read_json, unloadable
from vip5core.encoders.preprocessing import Preprocessing
from vip5core.encoders.source import Outline
from vip5core.errors import UserError, unknown_of_many
from vip5core.fingerprint import fingerprint

if TYPE_CHECKING:
    from torch import nn

    from vip5core.encoders.towers import Encoder

_CONFIG = "config.json"
#: Where timm looks for weights in a folder.
_WEIGHTS = ("*.safetensors", "*.bin", "*.pth", "*.pt")
_TAGGED = re.compile(r"""['"]([a-z]\w*\.\w+)['"]\s*:""")
_BUILDER = re.compile(r"^@register_model\s+def (\w+)\(", re.MULTILINE)


class TimmModel:
    """A model of timm whose pooled features, before any classifier, are those of the image.

    Args:
        reference: `NAME`, `NAME@FILE`, `hf-hub:ORG/NAME`, `hf-hub:ORG/NAME@REVISION` or `local-dir:FOLDER`.
    """

    def __init__(self, reference: str) -> None:
        self.reference, self.name = reference, f"timm:{reference}"
        self.place, colon, self.path = reference.partition(":")
        self.model, self.file = "", ""
        if not colon:
            self.place, self.path = "", ""
            self.model, _, self.file = reference.partition("@")

    def check(self) -> None:
        libraries.folder("timm")
        if self.place == "local-dir":
            folder = existing_folder(self.path, self.name)
            if not (folder / _CONFIG).is_file() or not files_in(folder, _WEIGHTS):
                raise UserError(
                    f"encoder {self.name!r}: the folder must hold {_CONFIG}, as timm.models.save_for_hf writes it, and "
                    f"weights ({', '.join(_WEIGHTS)})"
                )
            self._check_config(folder / _CONFIG)
        elif self.place == "hf-hub":
            self._check_config(self._hub_config())
        elif self.place:
            raise UserError(f"encoder {self.name!r}: what stands before a second colon must be hf-hub or local-dir")
        else:
            self._check_model()

    def _check_config(self, path: Path) -> None:
        if "architecture" not in read_json(path, self.name):
            raise UserError(f"encoder {self.name!r}: {_CONFIG} names no architecture: it must be a model of timm's")

    def _check_model(self) -> None:
        if self.file and not Path(self.file).expanduser().is_file():
            raise UserError(f"encoder {self.name!r}: there is no file {self.file!r}; check the path")
        architectures, tagged = _names_in_sources()
        # An architecture without a tag: with weights in a file any will do, without it has to have some of its own.
        if self.model in tagged or self.model in (architectures if self.file else {n.split(".")[0] for n in tagged}):
            return
        timm, known = _timm(), timm_names()
        plain = timm.list_models() if self.file else timm.list_models(pretrained=True, include_tags=False)
        if self.model in known or self.model in plain:
            return
        raise unknown_of_many("encoder", self.name, [f"timm:{name}" for name in known], "vip5 encoders WORD")

    def fingerprint(self) -> str:
        return fingerprint("timm", *self._content(), libraries.version("timm"))

    def _content(self) -> list[Any]:
        """What the weights and the settings are known by."""
        if self.place == "hf-hub":
            return ["hub", self.path.partition("@")[0], commit_of(self._hub_config())]
        if self.place == "local-dir":
            self.check()
            folder = existing_folder(self.path, self.name)
            return ["folder", digests([folder / _CONFIG, *files_in(folder, _WEIGHTS)])]
        return [self.model, *(digests([Path(self.file).expanduser()]) if self.file else [])]

    def preprocessing(self) -> Preprocessing:
        return self._preprocessing_of(self._outlined())

    def outline(self) -> Outline:
        from vip5core.encoders.towers import outline

        model = self._outlined()
        return outline(model, self._preprocessing_of(model).geometry.crop)

    def build(self) -> Encoder:
        from vip5core.encoders.towers import Encoder, quiet

        self.check()
        try:
            with quiet():
                model = self._create(pretrained=True)
        except UserError:
            raise
        except Exception as error:
            raise unloadable(self.name, error, "check its weights") from None
        return Encoder(model, self._preprocessing_of(model))

    def _outlined(self) -> nn.Module:
        """The model without weights."""
        import torch

        from vip5core.encoders.towers import quiet

        try:
            with quiet(), torch.device("meta"):
                return self._create(pretrained=False).eval()
        except UserError:
            raise
        except Exception as error:
            raise unloadable(self.name, error, "check its settings") from None

    def _create(self, pretrained: bool) -> nn.Module:
        timm, name, changed = _timm(), self.model, {}
        if self.file:
            file = Path(self.file).expanduser()
            changed = {"pretrained_cfg_overlay": {"file": str(file), "custom_load": file.suffix == ".npz"}}
        elif self.place == "local-dir":
            name = f"local-dir:{existing_folder(self.path, self.name)}"
        elif self.place == "hf-hub":
            name = f"hf-hub:{self.path.partition('@')[0]}@{commit_of(self._hub_config())}"
        model: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=0, **changed)
        return model

    def _preprocessing_of(self, model: nn.Module) -> Preprocessing:
        return Preprocessing.of_timm(_timm().data.resolve_model_data_config(model))

    def revision(self) -> str | None:
        """The commit of a repository of the hub; None of anything else."""
        return commit_of(self._hub_config()) if self.place == "hf-hub" else None

    def _hub_config(self) -> Path:
        found = hub_file(self.path, _CONFIG, self.name)
        assert found is not None
        return found


def timm_names() -> list[str]:
    """The names of all models with weights that timm knows; imports PyTorch."""
    names: list[str] = _timm().list_models(pretrained=True)
    return names


@functools.cache
def _names_in_sources() -> tuple[frozenset[str], frozenset[str]]:
    """The architectures in timm's sources, and the names with a tag for which there are weights.

    They are read as text: importing timm, and PyTorch with it, takes seconds. A name that is missing here may be known
    to timm all the same.
    """
    texts = [path.read_text("utf-8") for path in sorted((libraries.folder("timm") / "models").glob("*.py"))]
    architectures = frozenset(name for text in texts for name in _BUILDER.findall(text))
    named = (name for text in texts for name in _TAGGED.findall(text))
    parts = ((name, *name.split(".")) for name in named)
    return architectures, frozenset(n for n, model, tag in parts if model in architectures and tag != "untrained")


def _timm() -> Any:
    libraries.folder("timm")
    import timm

    return timm
