from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from vip5platform.cluster.ray_cluster import ray_session
from vip5platform.cluster.resources import ClusterResources

from vip5core.data.dataset import Dataset
from vip5core.home import Home
from vip5core.model import save_backbone
from vip5core.trial.fresh_backbone import fresh_backbone
from vip5core.trial.p5_spec import p5_config
from vip5core.trial.spec import StudyInputs


@pytest.fixture(scope="module")
def ray_two_cpus() -> Iterator[ClusterResources]:
    """A Ray of two CPUs for the tests of one module."""
    with ray_session(None, cpus=2) as resources:
        yield resources


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow without a run: to make its tables takes seconds, to copy it none."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments(max_results=1)
    return path


@pytest.fixture
def tracked_home(tmp_path: Path, empty_database: Path) -> Home:
    """A home with a database of MLflow and nothing else."""
    home = Home(tmp_path / "home")
    home.root.mkdir()
    shutil.copy(empty_database, home.mlflow_database)
    return home


@pytest.fixture(scope="session")
def untrained(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny backbone for the smallest shop that has learnt nothing: enough to run trials."""
    folder = tmp_path_factory.mktemp("backbone") / "tiny"
    return save_backbone(fresh_backbone(shop, p5_config()), folder)


@pytest.fixture
def text_only(shop: Dataset, untrained: Path, tmp_path: Path) -> StudyInputs:
    """Inputs of trials without images, with a home of their own."""
    return StudyInputs(Home(tmp_path), shop.folder, untrained, {})
