"""The home folder, which holds everything that studies produce; no other module names its folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Home:
    """Paths under one folder.

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
        root: The home folder itself.
    """

    root: Path

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
        return str(self.root)
