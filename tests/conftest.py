"""Fixtures that several layers' tests share.

What takes seconds to import is imported by the fixtures: the process that hands out the tests reads this file, too, and
the others start when it has.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings
from support.object_store import StoreServer
from vip5platform.environment import set_environment

from vip5core.home import CACHE, Home

if TYPE_CHECKING:
    from vip5core.data.dataset import Dataset
    from vip5core.serving import ModelFiles

# Before any test, of whatever folder, imports Ray or MLflow, which read it once.
set_environment(None)
os.environ["HF_HUB_OFFLINE"] = "1"

# A busy machine is no failure, and examples that failed are not kept in files.
settings.register_profile("vip5", deadline=None, database=None)
settings.load_profile("vip5")

#: Real data that some machines have beside their checkout; tests that read it skip where it is absent.
REAL_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shop_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home folder in which the smallest shops of the tests are prepared."""
    return Home(tmp_path_factory.mktemp("shop_home"))


@pytest.fixture(scope="session")
def shop(shop_home: Home) -> Dataset:
    """minimart with 40 users and 60 items, prepared once per session. Read only."""
    from vip5core.data.dataset import Dataset
    from vip5core.data.sources import prepare

    return Dataset.load(prepare("minimart:40", None, shop_home))


@pytest.fixture(scope="session")
def shop_by_time(shop_home: Home) -> Dataset:
    """The same users and items, split by time: some users have no target, others nothing to train on. Read only."""
    from vip5core.data.dataset import Dataset
    from vip5core.data.sources import options_of, prepare

    return Dataset.load(prepare("minimart:40", None, shop_home, options_of("minimart:40", split="time")))


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """moto's S3 server, as a process of its own."""
    pytest.importorskip("moto", reason="moto[server] is not installed")
    with StoreServer(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(store_server: StoreServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of a new folder in a bucket of that server, in an environment that leads there."""
    for name, value in {**store_server.environment, CACHE: str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    return store_server.new_folder()


@pytest.fixture(scope="session")
def trained_home(shop: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with the smallest shop and the inputs of trials, in which `support.trained` trains. Read only."""
    from support.trained import home_with_inputs

    return home_with_inputs(tmp_path_factory.mktemp("trained") / "home", shop)


@pytest.fixture(scope="session")
def trained(trained_home: Home) -> ModelFiles:
    """A trained trial with images."""
    from support.trained import train_in

    return train_in(trained_home)


@pytest.fixture(scope="session")
def home_by_time(shop_by_time: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home like `trained_home`, with the shop that is split by time. Read only."""
    from support.trained import home_with_inputs

    return home_with_inputs(tmp_path_factory.mktemp("by_time") / "home", shop_by_time)


@pytest.fixture(scope="session")
def trained_by_time(home_by_time: Home) -> ModelFiles:
    """A trained text-only trial in it."""
    from support.trained import train_in

    return train_in(home_by_time, image_tokens=0, test_users=2)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data, or a skip."""
    if not REAL_DATA.is_dir():
        pytest.skip("real data is not on this machine (../shared/data)")
    return REAL_DATA


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is long is slow, too; of the files, those that start Ray come first, then others with slow tests.

    The many short files fill the time that is left on the other process.
    """
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker("slow")
    with_slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: (not {"study", "cluster"} & set(item.path.parts), item.path not in with_slow))
