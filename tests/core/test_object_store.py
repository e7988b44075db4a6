"""What lies in an object store is complete or not there, whatever happens to those who put it there."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import filelock
import pytest
from support.object_store import DOWN, REFUSING, StoreServer

from vip5core import object_store
from vip5core.errors import UserError
from vip5core.object_store import ObjectStore, StoreError

#: Puts a folder and is killed once so many bytes of it were sent.
_CUT = """
import os, signal, sys
from pathlib import Path
from vip5core import object_store
class Cut(object_store._Measured):
    def write(self, data):
        super().write(data)
        if self.size > 12_000_000:
            os.kill(os.getpid(), signal.SIGKILL)
object_store._Measured = Cut
object_store.ObjectStore(sys.argv[1]).put(Path(sys.argv[2]), "trials/a")
"""


def make_folder(path: Path, text: str) -> Path:
    (path / "deep").mkdir(parents=True)
    (path / "deep" / "file").write_text(text)
    return path


def stored(store: ObjectStore, folder: str = "trials") -> list[str]:
    return sorted(info.base_name for info in store._list(folder))


@pytest.mark.slow
def test_a_folder_comes_back_as_it_was_put(bucket: str, tmp_path: Path) -> None:
    store = ObjectStore(bucket)
    store.put(make_folder(tmp_path / "one", "first"), "trials/a")
    ObjectStore(bucket).get("trials/a", tmp_path / "cache" / "a")
    assert (tmp_path / "cache" / "a" / "deep" / "file").read_text() == "first"
    store.delete("trials/a")
    assert stored(store) == []
    ObjectStore(bucket).get("trials/a", tmp_path / "cache" / "a")
    assert not (tmp_path / "cache" / "a").exists()  # a copy counts only while the store has it


def test_a_file_that_changes_comes_back_as_it_is_now_and_one_content_is_left(bucket: str, tmp_path: Path) -> None:
    store, file, copy = ObjectStore(bucket), tmp_path / "state.pt", tmp_path / "cache" / "state.pt"
    for text in ("epoch 1", "epoch 2"):
        file.write_text(text)
        store.put(file, "trials/state.pt")
        store.get("trials/state.pt", copy)
        assert copy.read_text() == text
    assert len(stored(store)) == 2  # a tar, and the object that names it
    before = copy.stat().st_mtime_ns, copy.stat().st_ino
    store.get("trials/state.pt", copy)
    assert (copy.stat().st_mtime_ns, copy.stat().st_ino) == before  # it was current: not fetched again


def test_everything_of_a_folder_comes_by_pattern(bucket: str, tmp_path: Path) -> None:
    store = ObjectStore(bucket)
    for name in ("ab", "ac", "b"):
        store.put(make_folder(tmp_path / name, name), f"trials/{name}")
    store.get_all("trials", "a*", tmp_path / "cache")
    assert sorted(path.name for path in (tmp_path / "cache").glob("[!.]*")) == ["ab", "ac"]
    store.get_all("nothing", "*", tmp_path / "cache")


def test_of_an_upload_that_fails_in_the_middle_nothing_is_seen(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ObjectStore(bucket)
    store.put(make_folder(tmp_path / "one", "first"), "trials/a")
    write = object_store._Measured.write

    def fail(self: object_store._Measured, data: bytes) -> None:
        write(self, data[:100])
        raise ValueError

    monkeypatch.setattr(object_store._Measured, "write", fail)
    with pytest.raises(ValueError):
        store.put(make_folder(tmp_path / "two", "second"), "trials/a")
    assert len(stored(store)) == 3  # the half of it, which nothing names
    ObjectStore(bucket).get("trials/a", tmp_path / "cache" / "a")
    assert (tmp_path / "cache" / "a" / "deep" / "file").read_text() == "first"
    store.remove_leftovers("trials")
    assert len(stored(store)) == 3  # it may still be under way
    monkeypatch.setattr(object_store, "_CUT_AFTER", timedelta(0))
    store.remove_leftovers("trials")
    assert len(stored(store)) == 2
    ObjectStore(bucket).get("trials/a", tmp_path / "cache" / "a")
    assert (tmp_path / "cache" / "a" / "deep" / "file").read_text() == "first"


@pytest.mark.slow
def test_of_an_upload_whose_process_is_killed_nothing_is_seen(bucket: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "one", "x" * 30_000_000)
    done = subprocess.run([sys.executable, "-c", _CUT, bucket, str(folder)], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    store = ObjectStore(bucket)
    store.get("trials/a", tmp_path / "cache" / "a")
    assert [*(tmp_path / "cache").glob("[!.]*")] == []
    store.put(folder, "trials/a")
    ObjectStore(bucket).get("trials/a", tmp_path / "cache" / "a")
    assert (tmp_path / "cache" / "a" / "deep" / "file").stat().st_size == 30_000_000


@pytest.mark.slow
def test_a_store_that_fails_is_waited_for(bucket: str, store_server: StoreServer, tmp_path: Path) -> None:
    def sleep(seconds: float) -> None:
        (store_server.folder / DOWN).unlink()

    store = ObjectStore(bucket, sleep=sleep)
    (store_server.folder / DOWN).touch()
    store.put(make_folder(tmp_path / "one", "first"), "trials/a")
    assert not (store_server.folder / DOWN).exists()
    store.get("trials/a", tmp_path / "cache" / "a")
    assert (tmp_path / "cache" / "a" / "deep" / "file").read_text() == "first"


@pytest.mark.parametrize(
    ("patience_s", "pauses"), [(0, []), (1, [1]), (30, [1, 2, 4, 8, 16]), (70, [1, 2, 4, 8, 16, 30, 30])]
)
def test_the_pauses_between_tries_grow_until_patience_ends(patience_s: float, pauses: list[float]) -> None:
    waited: list[float] = []

    def fail() -> None:
        raise OSError("AWS Error SLOW_DOWN: HTTP status 503")  # without a number, as pyarrow's

    with pytest.raises(StoreError, match="503"):
        ObjectStore("s3://vip5/runs", patience_s=patience_s, sleep=waited.append)._persist(fail)
    assert waited == pauses


@pytest.mark.slow
def test_a_store_that_fails_for_too_long_is_named_in_a_line_and_copies_stay(
    bucket: str, store_server: StoreServer, tmp_path: Path
) -> None:
    ObjectStore(bucket).put(make_folder(tmp_path / "one", "first"), "trials/a")
    ObjectStore(bucket).get("trials/a", tmp_path / "cache" / "a")
    waited: list[float] = []
    (store_server.folder / DOWN).touch()
    try:
        with pytest.raises(StoreError, match=f"--home '{bucket}' cannot be used: .*503"):
            ObjectStore(bucket, patience_s=1, sleep=waited.append).get("trials/a", tmp_path / "cache" / "a")
    finally:
        (store_server.folder / DOWN).unlink()
    assert waited == [1]
    assert (tmp_path / "cache" / "a").is_dir()


@pytest.mark.parametrize("action", [ObjectStore.check, lambda store: store.write("x", b"x")])
def test_a_bucket_that_is_not_there_is_named_in_one_line(bucket: str, action: Callable[[ObjectStore], None]) -> None:
    with pytest.raises(UserError, match=r"--home 's3://nowhere/runs' cannot be used: .*bucket does not exist") as said:
        action(ObjectStore("s3://nowhere/runs", sleep=lambda seconds: pytest.fail("there is nothing to wait for")))
    assert "\n" not in str(said.value)


def test_a_store_that_refuses_is_not_asked_again(bucket: str, store_server: StoreServer) -> None:
    (store_server.folder / REFUSING).touch()
    try:
        with pytest.raises(StoreError, match=r"ACCESS_DENIED|403"):
            ObjectStore(bucket, sleep=lambda seconds: pytest.fail("it has refused")).write("x", b"x")
    finally:
        (store_server.folder / REFUSING).unlink()


def test_content_that_is_damaged_is_not_used(bucket: str, tmp_path: Path) -> None:
    store = ObjectStore(bucket)
    store.put(make_folder(tmp_path / "one", "first"), "trials/a")
    pack = next(name for name in stored(store) if name.endswith(".tar"))
    whole = store.read(f"trials/{pack}")
    assert whole is not None
    store.write(f"trials/{pack}", whole[:-10])
    with pytest.raises(StoreError, match=f"{pack} is damaged"):
        store.get("trials/a", tmp_path / "cache" / "a")
    assert [*(tmp_path / "cache").glob("[!.]*")] == []


def test_a_name_whose_content_is_gone_is_not_there(bucket: str, tmp_path: Path) -> None:
    store = ObjectStore(bucket)
    store.put(make_folder(tmp_path / "one", "first"), "trials/a")
    store.remove(f"trials/{next(name for name in stored(store) if name.endswith('.tar'))}")
    store.get("trials/a", tmp_path / "cache" / "a")
    assert not (tmp_path / "cache" / "a").exists()


def test_a_folder_that_its_process_has_yet_to_put_is_put_by_who_asks_for_it(bucket: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", "first")
    ObjectStore(bucket).get("trials/a", folder)
    assert (folder / "deep" / "file").read_text() == "first"
    ObjectStore(bucket).get("trials/a", tmp_path / "cache" / "a")  # its own process may have been killed
    assert (tmp_path / "cache" / "a" / "deep" / "file").read_text() == "first"
    ObjectStore(bucket).put(folder, "trials/a")
    assert len(stored(ObjectStore(bucket))) == 2


def test_a_folder_that_is_made_again_is_no_copy(bucket: str, tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "a", "first")
    ObjectStore(bucket).put(folder, "trials/a")
    object_store.remove_copy(folder)
    ObjectStore(bucket).delete("trials/a")
    make_folder(folder, "second")
    ObjectStore(bucket).get("trials/a", folder)
    assert (folder / "deep" / "file").read_text() == "second"


def test_what_is_being_put_is_not_fetched(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = ObjectStore._upload

    def check(self: ObjectStore, path: Path, pack: str) -> tuple[int, str]:
        with pytest.raises(filelock.Timeout):
            object_store._locked(path).acquire(timeout=0)
        return upload(self, path, pack)

    monkeypatch.setattr(ObjectStore, "_upload", check)
    ObjectStore(bucket).put(make_folder(tmp_path / "a", "first"), "trials/a")
    assert len(stored(ObjectStore(bucket))) == 2


def test_a_copy_of_what_is_deleted_while_it_is_fetched_again_does_not_stay(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, copy, download = ObjectStore(bucket), tmp_path / "cache" / "a", ObjectStore._download
    store.put(make_folder(tmp_path / "one", "first"), "trials/a")
    ObjectStore(bucket).get("trials/a", copy)
    store.put(make_folder(tmp_path / "two", "second"), "trials/a")

    def delete_and_download(self: ObjectStore, found: object_store.Pack, path: Path) -> None:
        store.delete("trials/a")
        download(self, found, path)

    monkeypatch.setattr(ObjectStore, "_download", delete_and_download)
    ObjectStore(bucket).get("trials/a", copy)
    assert not copy.exists()


def test_an_object_that_is_replaced_by_a_longer_one_while_it_is_read_is_not_cut(bucket: str) -> None:
    store = ObjectStore(bucket)
    store.write("x.json", b"[1]")
    files, root = store._files
    with files.open_input_stream(f"{root}/x.json") as stream:  # which asks for the size
        store.write("x.json", b"[1, 2]")
        assert json.loads(stream.read()) == [1, 2]
