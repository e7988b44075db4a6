"""A home is a folder or an object store; what is neither is refused by name, and nothing is written."""

from __future__ import annotations

import pickle
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path

import pytest
from pyarrow.fs import FileSystem

from vip5core import lease, object_store
from vip5core.errors import UserError
from vip5core.home import CACHE, SCHEMES, Home


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("http://host/runs", "http: is no object store known here"),
        ("ftp://host/runs", "ftp: is no object store"),
        ("file:///runs", "file: is no object store"),
        ("s3fs://bucket/runs", "s3fs: is no object store"),
        ("s3:/bucket/runs", "names no bucket"),
        ("s3:", "names no bucket"),
        ("s3://", "names no bucket"),
        ("s3:bucket", "names no bucket"),
        ("s3:///runs", "names no bucket"),
        (Path("s3://bucket/runs"), "names no bucket"),  # as Path writes it
    ],
)
def test_other_addresses_are_refused_by_name(
    where: str | Path, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said) as refusal:
        Home.at(where)
    assert "give a folder" in str(refusal.value)
    assert list(tmp_path.iterdir()) == []


def test_a_secret_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(UserError) as refusal:
        Home.at("s3://key:hush@bucket/runs")
    assert "hush" not in str(refusal.value)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pyarrow_knows_every_scheme(scheme: str) -> None:
    said = ""
    try:
        FileSystem.from_uri(f"{scheme}://a@b.dfs.core.windows.net/c?region=us-east-1")
    except Exception as error:  # of a host that is not there, or Java that is not installed
        said = str(error)
    assert "Unrecognized" not in said


@pytest.mark.parametrize("where", ["runs", "./runs:2", "a:b", "/data/s3/runs"])
def test_a_folder_is_a_folder(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home = Home.at(where)
    assert (home.root, home.store) == (Path(where).resolve(), None)
    assert home.fetch(home.trial("a")) == home.publish(home.trial("a")) == home.trial("a")
    assert pickle.loads(pickle.dumps(home)) == home
    assert home.scratch == home.root


def test_each_node_has_its_own_copy(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home.at(bucket).check_writable()
    assert home.root.is_relative_to(tmp_path / "cache")
    home.trial("a").mkdir(parents=True)
    (home.trial("a") / "result.json").write_text("{}")
    home.publish(home.trial("a"))
    monkeypatch.setenv(CACHE, str(tmp_path / "other"))
    other: Home = pickle.loads(pickle.dumps(home))
    assert other.root.is_relative_to(tmp_path / "other")
    there = other.path(home.name(home.trial("a")))
    assert not there.exists()
    assert (other.fetch(there) / "result.json").read_text() == "{}"
    assert str(other) == bucket


def test_a_folder_in_a_published_one_comes_with_it(bucket: str, tmp_path: Path) -> None:
    home = Home.at(bucket)
    features = home.datasets / "shop" / "features" / "clip"
    features.mkdir(parents=True)
    home.publish(home.datasets / "shop")
    assert Home.at(bucket).fetch(features).is_dir()
    shard = home.shards("encoder") / "a.parquet"
    shard.parent.mkdir(parents=True)
    shard.write_text("a")
    home.publish(shard)
    shard.unlink()
    assert home.fetch_all(home.shards("encoder")) / "a.parquet" == shard
    assert shard.read_text() == "a"


def test_folders_of_the_users_own_are_copied_into_a_store(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "config.json").write_text("{}")
    assert Home(tmp_path / "runs").adopt(mine, tmp_path / "runs", "key") == mine
    home = Home.at(bucket)
    adopted = home.adopt(mine, home.backbones, "key")
    assert adopted == home.backbones / "mine-key"
    monkeypatch.setenv(CACHE, str(tmp_path / "other"))
    other = Home.at(bucket)
    assert (other.fetch(other.path(home.name(adopted))) / "config.json").is_file()
    assert mine.is_dir()
    assert home.adopt(adopted, home.backbones, "key") == adopted


@pytest.mark.slow
def test_two_drivers_on_two_hosts_keep_apart(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def drive(host: str) -> AbstractContextManager[None]:
        monkeypatch.setenv(CACHE, str(tmp_path / host))
        home = Home.at(bucket)
        home.report("study", "key").mkdir(parents=True, exist_ok=True)
        return home.exclusive(home.report("study", "key"), "this study is already running", told.append)

    monkeypatch.setattr(lease, "_LEASE_S", 1.5)
    with drive("one"):
        with pytest.raises(UserError, match="already running"), drive("two"):
            pytest.fail("both run")
        assert "waiting" in told[0]
    with drive("two"):
        pass


def test_what_is_discarded_is_gone_everywhere(bucket: str, tmp_path: Path) -> None:
    home = Home.at(bucket)
    state = home.checkpoint("a")
    state.parent.mkdir(parents=True)
    state.write_text("epoch 1")
    home.publish(state)
    home.discard(state)
    assert not home.fetch(state).exists()
    assert not Home.at(bucket).fetch(state).exists()


@pytest.mark.slow
def test_leftovers_of_cut_uploads_are_removed_wherever_something_is_published(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home.at(bucket)
    assert home.store is not None
    published = [
        *(home.trial("a"), home.replaced_trials / "a", home.baselines / "a", home.datasets / "a", home.backbones / "a"),
        *(home.features / "a", home.shards("encoder") / "a", home.search("a"), home.report("a", "key")),
    ]
    for path in published:
        home.store.write(f"{home.name(path)}.cut.tar", b"")
    monkeypatch.setattr(object_store, "_CUT_AFTER", timedelta(0))
    home.remove_leftovers()
    assert [path for path in published if home.store.read(f"{home.name(path)}.cut.tar") is not None] == []
