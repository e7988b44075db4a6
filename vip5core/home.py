"""The home folder, which holds everything that studies produce; no other module names its folders."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vip5core.errors import UserError
from vip5core.object_store import ObjectStore, remove_copy
from vip5core.storage import atomic_folder, exclusive_lock, remove_leftovers, writable_folder

#: Object stores that pyarrow's file systems know.
SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")

#: Names the folder in which each machine keeps copies of what lies in object stores.
CACHE = "VIP5_CACHE"

_WAY_OUT = "give a folder, or an object store such as s3://bucket/runs or gs://bucket/runs"


@dataclass(frozen=True)
class Home:
    """Paths under one folder, which is shared by all nodes, or is this node's copy of what lies in an object store.

    With an object store, what one node makes another has only after `publish` there and `fetch` here. The store is the
    truth: copies of what it lacks are removed here by
    `fetch`. Without one, both do nothing.

        datasets/{source}-{key}/       prepared datasets
        features/{key}/                feature stores; features/shards/{encoder}/ what they are assembled from
        backbones/{name}-{key}/        backbones, trained here, downloaded or imported
        trials/{fingerprint}/          finished trials; .replaced/ keeps earlier results of trials that were run again
        baselines/{name}-{key}/        the answers of baselines
        searches/{key}.log             Optuna's journal of each search
        reports/{name}-{key}/          one study's or search's record and report
        mlflow.db, mlartifacts/        MLflow, where there is no server
        .lock                          held by every run of a study, and alone by what deletes

    Attributes:
        root: The home folder itself; with a store, this node's copy.
        store: The object store; None for a folder.
    """

    root: Path
    store: ObjectStore | None = None

    @classmethod
    def at(cls, where: Path | str) -> Home:
        """The home in a folder, or in an object store that pyarrow knows, by its address.

        Nothing is read or written.

        Raises:
            UserError: for an address of another kind.
        """
        address = str(where).rstrip("/")
        scheme, colon, _ = address.partition(":")
        if not colon or not (scheme in SCHEMES or re.match(r"[A-Za-z][\w+.-]*:/", address)):
            return cls(Path(where).resolve())
        _check_address(address)
        parts = urlsplit(address)
        cache = Path(os.environ.get(CACHE) or "~/.cache/vip5").expanduser()
        return cls((cache / scheme / parts.netloc / parts.path.strip("/")).resolve(), ObjectStore(address))

    def __reduce__(self) -> tuple[object, ...]:
        """As its address, because each node has its own copy of a store."""
        return (Home, (self.root,)) if self.store is None else (Home.at, (self.store.address,))

    def check_writable(self) -> Home:
        """Create the folder.

        Raises:
            UserError: if it, or the object store, cannot be written.
        """
        writable_folder(self.root, "--home" if self.store is None else f"${CACHE}")
        if self.store is not None:
            self.store.check()
        return self

    def name(self, path: Path) -> str:
        """`path` as every node knows it: relative to the home if it is inside."""
        return str(path.relative_to(self.root) if path.is_relative_to(self.root) else path.absolute())

    def path(self, name: str) -> Path:
        """The path here of what another node calls `name`."""
        return self.root / name

    def fetch(self, path: Path) -> Path:
        """`path`, which is here afterwards as it is in the store; see `ObjectStore.get`."""
        if self.store is not None and path.is_relative_to(self.root):
            unit = self._unit(path)
            self.store.get(self.name(unit), unit)
        return path

    def fetch_all(self, folder: Path, pattern: str = "*") -> Path:
        """`folder`, with the store's copy of everything in it whose name matches `pattern`."""
        if self.store is not None:
            self.store.get_all(self.name(folder), pattern, folder)
        return folder

    def publish(self, path: Path) -> Path:
        """`path`, a file or folder that is complete here, and then in the store."""
        if self.store is not None and path.is_relative_to(self.root):
            self.store.put(path, self.name(path))
        return path

    def adopt(self, folder: Path, parent: Path, key: str) -> Path:
        """A folder as all nodes find it: with a store, the copy in `parent` of one that lies outside the home.

        Args:
            folder: The folder.
            parent: A folder of the home.
            key: The identity of its content.
        """
        if self.store is None or folder.resolve().is_relative_to(self.root):
            return folder
        place = parent / f"{folder.name}-{key}"
        if not self.fetch(place).is_dir():
            with atomic_folder(place) as aside:
                shutil.copytree(folder, aside, dirs_exist_ok=True)
            self.publish(place)
        return place

    def discard(self, path: Path) -> None:
        """Remove a file or folder here and in the store."""
        remove_copy(path)
        if self.store is not None:
            self.store.delete(self.name(path))

    def remove_leftovers(self) -> None:
        """Remove what was not completed by processes of this machine that are gone, or, in a store, since yesterday."""
        for place in self._places():
            remove_leftovers(place)
            if self.store is not None:
                self.store.remove_leftovers(self.name(place))

    def _places(self) -> list[Path]:
        """The folders, here or in the store, in which something is published."""
        shards = self.features / "shards"
        encoders = {path.name for path in shards.glob("[!.]*")}
        if self.store is not None:
            encoders.update(self.store.folders(self.name(shards)))
        made = [self.trials, self.replaced_trials, self.baselines, self.datasets, self.backbones, self.features]
        return [*made, self.searches, self.reports, *(shards / encoder for encoder in sorted(encoders))]

    @contextlib.contextmanager
    def exclusive(self, folder: Path, refusal: str, tell: Callable[[str], None]) -> Iterator[None]:
        """Keep other processes that ask for the same `folder` out of the block.

        Args:
            folder: A folder of the home, which exists here.
            refusal: The message for the user if another process is in.
            tell: Told if this has to wait for another node that may be gone.

        Raises:
            UserError: if another process is in.
        """
        from vip5core.lease import hold_lease  # late, because most homes are folders

        with contextlib.ExitStack() as held:
            held.enter_context(exclusive_lock(folder / ".lock", refusal))
            if self.store is not None:
                held.enter_context(hold_lease(self.store, f"leases/{folder.name}.json", refusal, tell))
            yield

    @property
    def scratch(self) -> Path:
        """A folder for temporary files that has the same path on all nodes."""
        return self.root if self.store is None else Path(tempfile.gettempdir())

    def _unit(self, path: Path) -> Path:
        """What is published as a whole and holds `path`."""
        parts = path.relative_to(self.root).parts
        return self.root.joinpath(*parts[: 4 if parts[:2] == ("features", "shards") else 2])

    @property
    def datasets(self) -> Path:
        return self.root / "datasets"

    @property
    def features(self) -> Path:
        return self.root / "features"

    def shards(self, encoder: str) -> Path:
        """The folder of one encoder's features by image content; `encoder` is its fingerprint."""
        return self.features / "shards" / encoder

    @property
    def backbones(self) -> Path:
        return self.root / "backbones"

    def downloaded_backbone(self, name: str) -> Path:
        """The folder of a backbone from the hub, by its name there."""
        return self.backbones / name.replace("/", "--")

    def imported_backbone(self, key: str) -> Path:
        """The folder of a backbone from an official checkpoint."""
        return self.backbones / f"imported-{key}"

    @property
    def trials(self) -> Path:
        return self.root / "trials"

    def trial(self, fingerprint: str) -> Path:
        """The folder of a finished trial."""
        return self.trials / fingerprint

    def checkpoint(self, fingerprint: str) -> Path:
        """The state of a running trial after its last epoch."""
        return self.trials / f"{fingerprint}.running.pt"

    @property
    def replaced_trials(self) -> Path:
        return self.trials / ".replaced"

    @property
    def baselines(self) -> Path:
        return self.root / "baselines"

    @property
    def searches(self) -> Path:
        return self.root / "searches"

    def search(self, key: str) -> Path:
        """The journal of a search."""
        return self.searches / f"{key}.log"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    def report(self, name: str, key: str) -> Path:
        """The folder of a study's record and report."""
        return self.reports / f"{name}-{key}"

    @property
    def lock(self) -> Path:
        """The file that runs of studies lock together, so that nothing is deleted under them."""
        return self.root / ".lock"

    @property
    def mlflow_database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.root / "mlartifacts"

    def __str__(self) -> str:
        return str(self.root) if self.store is None else self.store.address


def _check_address(address: str) -> None:
    """Raises: UserError if it is not that of an object store that pyarrow knows, or holds a secret."""
    parts = urlsplit(address)
    if parts.password:
        raise UserError(f"--home {parts.scheme}://…: no secrets there; give them in the usual ways of its cloud")
    if parts.scheme not in SCHEMES:
        raise UserError(f"--home {address!r}: {parts.scheme}: is no object store known here; {_WAY_OUT}")
    if not address.startswith(f"{parts.scheme}://") or not parts.netloc:
        raise UserError(f"--home {address!r} names no bucket; {_WAY_OUT}")
