"""The trials to run: those planned by a study, or those proposed by a search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from vip5core.config import TrialConfig
from vip5core.data.feature_choice import FeatureChoice
from vip5core.encoder_names import short_names
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.trial.spec import TrialSpec
from vip5platform.analysis.record import RecordedTrial
from vip5platform.cluster.resources import TrialResources
from vip5platform.console import say
from vip5platform.declarations import Search, Study
from vip5platform.study.estimate import count_finished_by_other_code, load_earlier_results, longest_first
from vip5platform.study.inputs import PreparedInputs, RunnableTrial, UnavailableTrial
from vip5platform.study.observer import TrialObserver
from vip5platform.study.plan import InputRequest, SearchPlan, feature_choices

if TYPE_CHECKING:  # Ray and Optuna take seconds to import, and a finished study runs nothing
    from vip5platform.search import TrialSearcher


class Workload(Protocol):
    """The interface of studies and searches to `study.run.execute`."""

    @property
    def missing(self) -> int:
        """The number of trials still to be run."""

    @property
    def features(self) -> Mapping[InputRequest, Sequence[FeatureChoice]]:
        """The features that the missing trials need."""

    def describe(self, spec: TrialSpec) -> tuple[str, Mapping[str, str]]:
        """The label of a trial, and its levels or searched settings by name."""

    def specs(self) -> list[TrialSpec]:
        """All trials, without duplicates."""

    def announce(self) -> None:
        """Print which trials have been finished before."""

    def run(self, resources: TrialResources, at_once: int, observer: TrialObserver) -> None:
        """Run the missing trials."""

    def to_records(self, failures: Mapping[str, Failure]) -> list[RecordedTrial]:
        """All trials for the study record, given the failures of this run by fingerprint."""

    @property
    def succeeded(self) -> bool:
        """Has no trial failed?"""


class StudyWorkload:
    """The planned trials of a study.

    Args:
        study: The declaration.
        trials: The trials in its order.
        inputs: The available inputs.
        home: The folder that everything is written to.
    """

    def __init__(
        self,
        study: Study,
        trials: Sequence[RunnableTrial | UnavailableTrial],
        inputs: Mapping[InputRequest, PreparedInputs],
        home: Home,
    ) -> None:
        self.study, self.trials, self.inputs, self.home = study, trials, inputs, home
        self.runnable = [trial for trial in trials if isinstance(trial, RunnableTrial)]
        # Cells that differ in name only, such as text-only with several encoders, are one trial, represented by the
        # first.
        self._unique: dict[str, RunnableTrial] = {}
        for trial in self.runnable:
            self._unique.setdefault(trial.spec.fingerprint, trial)

    @property
    def examples(self) -> dict[InputRequest, TrialConfig]:
        """See `StudyRun.examples`."""
        examples: dict[InputRequest, TrialConfig] = {}
        for trial in self.runnable:
            examples.setdefault(trial.planned.request, trial.planned.config)
        return examples

    @property
    def _todo(self) -> list[RunnableTrial]:
        return [trial for trial in self._unique.values() if not trial.spec.is_finished(self.home)]

    @property
    def missing(self) -> int:
        return len(self._todo)

    @property
    def features(self) -> Mapping[InputRequest, Sequence[FeatureChoice]]:
        configs: dict[InputRequest, list[TrialConfig]] = {}
        for trial in self._todo:
            configs.setdefault(trial.planned.request, []).append(trial.planned.config)
        return {request: feature_choices(of_request) for request, of_request in configs.items()}

    def describe(self, spec: TrialSpec) -> tuple[str, Mapping[str, str]]:
        planned = self._unique[spec.fingerprint].planned
        return planned.label, planned.cell

    def specs(self) -> list[TrialSpec]:
        return [trial.spec for trial in self._unique.values()]

    def announce(self) -> None:
        todo = self._todo
        done = len(self._unique) - len(todo)
        if done:
            rest = f"; {len(todo)} to train" if todo else ": nothing to train"
            say(f"{done} of {len(self._unique)} trials were finished before{rest}")
        datasets = {prepared.dataset.folder: prepared.dataset.fingerprint for prepared in self.inputs.values()}
        other = (
            count_finished_by_other_code([t.spec for t in todo], datasets, load_earlier_results(self.home))
            if todo
            else 0
        )
        if other:
            say(f"{other} of those to train were finished by another version of the code, whose results are not reused")

    def run(self, resources: TrialResources, at_once: int, observer: TrialObserver) -> None:
        from vip5platform.cluster.tune import run_trials

        datasets = {prepared.dataset.folder: prepared.dataset for prepared in self.inputs.values()}
        specs = longest_first([trial.spec for trial in self._todo], datasets, load_earlier_results(self.home))
        run_trials(specs, self.home, resources, at_once, observer)

    def to_records(self, failures: Mapping[str, Failure]) -> list[RecordedTrial]:
        return [self._to_record(trial, failures) for trial in self.trials]

    def _to_record(self, trial: RunnableTrial | UnavailableTrial, failures: Mapping[str, Failure]) -> RecordedTrial:
        planned = trial.planned
        cell, seed, group = dict(planned.cell), planned.config.seed, planned.request.dataset
        if isinstance(trial, UnavailableTrial):
            return RecordedTrial(cell=cell, seed=seed, group=group, failure=trial.failure)
        return RecordedTrial(
            cell=cell,
            seed=seed,
            group=group,
            dataset=str(self.inputs[planned.request].dataset.folder),
            fingerprint=trial.spec.fingerprint,
            failure=failures.get(trial.spec.fingerprint),
        )

    @property
    def succeeded(self) -> bool:
        return len(self.runnable) == len(self.trials) and not self._todo


class SearchWorkload:
    """The trials that a search proposes.

    Args:
        search: The declaration.
        plan: What its trials have in common.
        inputs: The inputs of all trials.
        searcher: Proposes the trials.
        home: The folder that everything is written to.
    """

    def __init__(
        self, search: Search, plan: SearchPlan, inputs: PreparedInputs, searcher: TrialSearcher, home: Home
    ) -> None:
        self.search, self.plan, self.inputs, self.searcher, self.home = search, plan, inputs, searcher, home

    @property
    def missing(self) -> int:
        return self.searcher.missing

    @property
    def features(self) -> Mapping[InputRequest, Sequence[FeatureChoice]]:
        return {self.plan.request: self.plan.features} if self.missing else {}

    def describe(self, spec: TrialSpec) -> tuple[str, Mapping[str, str]]:
        settings = {key: str(getattr(spec.config, key)) for key in self.search.space}
        labels = dict(settings)
        if "encoder" in labels:  # without folders, unless two of the choices would then look alike
            names = list({choice.encoder.name: None for choice in self.plan.features} | {labels["encoder"]: None})
            labels["encoder"] = short_names(names)[names.index(labels["encoder"])]
        return ", ".join(f"{key} {_shorten(label)}" for key, label in labels.items()), settings

    def specs(self) -> list[TrialSpec]:
        return self.searcher.specs()

    def announce(self) -> None:
        if not self.missing:
            say(f"{self.searcher.trials} trials were run before: nothing to train")

    def run(self, resources: TrialResources, at_once: int, observer: TrialObserver) -> None:
        from vip5platform.cluster.tune import run_search

        run_search(self.searcher, self.searcher.scheduler, self.home, resources, at_once, observer)

    def to_records(self, failures: Mapping[str, Failure]) -> list[RecordedTrial]:
        stored = self.searcher.failures()
        return [
            RecordedTrial(
                cell=dict(self.describe(spec)[1]),
                seed=spec.config.seed,
                group=self.plan.request.dataset,
                dataset=str(self.inputs.dataset.folder),
                fingerprint=spec.fingerprint,
                failure=failures.get(spec.fingerprint) or stored.get(spec.fingerprint),
            )
            for spec in self.specs()
        ]

    @property
    def succeeded(self) -> bool:
        return all(failure.kind == "stopped_early" for failure in self.searcher.failures().values())


def _shorten(value: str) -> str:
    """A searched value for a label: numbers with three significant digits."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value
