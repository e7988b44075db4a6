"""From raw files to a `Dataset`: a folder of Parquet tables with a manifest."""

from vip5core.data.build import BuildOptions, build_dataset
from vip5core.data.dataset import Dataset
from vip5core.data.sources import SOURCES, prepare

__all__ = ["SOURCES", "BuildOptions", "Dataset", "build_dataset", "prepare"]
