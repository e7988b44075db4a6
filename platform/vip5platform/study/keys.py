"""The identity of a study or search: the same key continues the same MLflow run and report."""

from __future__ import annotations

from collections.abc import Mapping

from vip5core.backbones import backbone_fingerprint
from vip5core.data.sources import dataset_folder
from vip5core.fingerprint import canonical_json, code_version, fingerprint
from vip5core.home import Home
from vip5platform.declarations import Search, Study
from vip5platform.options import Options
from vip5platform.study.inputs import PreparedInputs, build_options
from vip5platform.study.plan import InputRequest, common_settings


def study_key(
    declared: Study | Search, options: Options, home: Home, inputs: Mapping[InputRequest, PreparedInputs]
) -> str:
    """The key of a declaration with its data, settings and code; levels and seeds do not change it."""
    settings = {name: str(value) for name, value in common_settings(declared, options, options.backbone_name).items()}
    p5_settings = {name: str(value) for name, value in options.given_p5_settings().items()}
    contents = [canonical_json(p5_settings), *_common_inputs(declared, options, home, inputs)]
    if isinstance(declared, Search):
        return search_key(declared, options.sampler, *contents, canonical_json(settings))
    return fingerprint(declared.name, contents, settings, code_version())


def search_key(search: Search, *inputs: str) -> str:
    """The identity of a search: its declaration, the inputs that its trials share, and the code.

    Seed, budget, name and question do not count: with a larger budget the search continues.

    Args:
        search: The declaration.
        inputs: Fingerprints of the dataset and the backbone, settings from the command line, …
    """
    return fingerprint("search", search.content(), list(inputs), code_version())


def _common_inputs(
    declared: Study | Search, options: Options, home: Home, inputs: Mapping[InputRequest, PreparedInputs]
) -> list[str]:
    """The fingerprints of the inputs that all trials share."""
    varied = declared.varied if isinstance(declared, Study) else frozenset()
    first = next(iter(inputs.values()))
    if "dataset" in varied:
        return []
    if "ids" in varied:  # the same data with several id schemes
        chosen = build_options(options.dataset, None, options)
        return [dataset_folder(options.dataset, options.source, home, chosen).name]
    return [first.dataset.fingerprint, *([] if "backbone" in varied else [backbone_fingerprint(first.backbone)])]
