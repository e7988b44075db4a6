"""A study or a search from its declaration to its answer."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.markup import escape
from vip5platform.analysis.baselines import check_baselines
from vip5platform.analysis.record import RecordedTrial
from vip5platform.cluster.resources import TrialResources
from vip5platform.cluster.tune import run_search, run_trials
from vip5platform.console import say, stage, warn
from vip5platform.declarations import Search, Study
from vip5platform.options import Options
from vip5platform.report.datasets import dataset_summary
from vip5platform.search import TrialSearcher, history
from vip5platform.study.dry_run import show_plan, show_search_plan
from vip5platform.study.estimate import earlier_results, of_other_code
from vip5platform.study.inputs import PreparedInputs, RunnableTrial, check_given, prepare_inputs
from vip5platform.study.plan import InputRequest, PlannedTrial, encoders_of, plan_search, plan_trials
from vip5platform.study.study_run import StudyRun, open_study_run

from vip5core.config import TrialConfig
from vip5core.errors import UserError
from vip5core.profiling import Stopwatch
from vip5core.storage import writable_folder
from vip5core.trial.spec import TrialSpec


@dataclass(frozen=True)
class UnavailableTrial:
    """A planned trial that has nothing to stand on."""

    planned: PlannedTrial
    reason: str


def run(declared: Study | Search, options: Options) -> bool:
    """Run what of a study or search is not yet finished, report and record it.

    Returns:
        Whether every trial finished (or, in a search, was ended early).

    Raises:
        UserError: for anything that the user can mend.
    """
    check_baselines(options.baselines)
    return _run_study(declared, options) if isinstance(declared, Study) else _run_search(declared, options)


def _run_study(study: Study, options: Options) -> bool:
    stopwatch = Stopwatch()
    planned = plan_trials(study, options)
    check_given(options, {trial.ground.dataset for trial in planned})
    say(f"[bold]{escape(study.question)}[/]")
    if options.dry_run:
        show_plan(planned, options)
        return True
    home = writable_folder(options.home, "--home")
    grounds = _grounds([trial.ground for trial in planned], options, home, stopwatch)
    there = {ground: found for ground, found in grounds.items() if isinstance(found, PreparedInputs)}
    trials: list[RunnableTrial | UnavailableTrial] = []
    for trial in planned:
        found = grounds[trial.ground]
        trials.append(
            found.trial(trial, home) if isinstance(found, PreparedInputs) else UnavailableTrial(trial, str(found))
        )
    with open_study_run(study, options, home, there, stopwatch) as job:
        real = [trial for trial in trials if isinstance(trial, RunnableTrial)]
        if options.force:
            _set_aside(real, job)
        failures, share = _run_missing(real, job)
        recorded = [_recorded(trial, failures, there) for trial in trials]
        job.report(job.record([factor.name for factor in study.factors], study.metrics, recorded, share))
    return all(isinstance(trial, RunnableTrial) and trial.spec.finished(home) for trial in trials)


def _grounds(
    wanted: Sequence[InputRequest], options: Options, home: Path, stopwatch: Stopwatch
) -> Mapping[InputRequest, PreparedInputs | UserError]:
    with stopwatch.measure("data and backbone"):
        grounds = prepare_inputs(wanted, options, home, stage)
    shown = set()
    for ground, found in grounds.items():
        if isinstance(found, UserError):
            warn(f"{ground.dataset}: {found}")
        elif found.dataset.fingerprint not in shown:
            shown.add(found.dataset.fingerprint)
            dataset_summary(found.dataset)
            if not found.dataset.items["image_sha256"].notna().any() and not found.dataset.manifest.features:
                warn(f"{found.dataset.name} has no pictures: every trial is text-only (image_tokens=0)")
    return grounds


def _set_aside(trials: Sequence[RunnableTrial], job: StudyRun) -> None:
    """Make room for trials that are to be trained anew; what they came to before is kept in `trials/.replaced/`."""
    for spec in {trial.spec.fingerprint: trial.spec for trial in trials}.values():
        job.tracker.discard(spec.fingerprint)  # first: its steps must not be taken for those to come
        spec.checkpoint(job.home).unlink(missing_ok=True)
        if spec.finished(job.home):
            kept = job.home / "trials" / ".replaced" / f"{spec.fingerprint}-{time.strftime('%Y%m%d-%H%M%S')}"
            kept.parent.mkdir(exist_ok=True)
            shutil.move(spec.folder(job.home), kept)


def _run_missing(trials: Sequence[RunnableTrial], job: StudyRun) -> tuple[dict[str, str], TrialResources | None]:
    """Train what is missing; returns the reason of each trial that failed, by fingerprint, and the trials' share."""
    # Cells that differ in name only, such as text-only under several encoders, are one trial: the first stands for all.
    unique: dict[str, RunnableTrial] = {}
    for trial in trials:
        unique.setdefault(trial.spec.fingerprint, trial)

    def describe(spec: TrialSpec) -> tuple[str, Mapping[str, str]]:
        planned = unique[spec.fingerprint].planned
        return planned.label, planned.cell

    done = [trial.spec for trial in unique.values() if trial.spec.finished(job.home)]
    todo = [trial for trial in unique.values() if not trial.spec.finished(job.home)]
    job.record_finished(done, describe)
    _say_what_is_done(len(done), todo, job)
    job.asked = {trial.planned.ground: trial.planned.config for trial in reversed(trials)}
    if not todo and not job.lacks_baselines:
        return {}, None
    by_ground: dict[InputRequest, list[TrialConfig]] = {}
    for trial in todo:
        by_ground.setdefault(trial.planned.ground, []).append(trial.planned.config)
    encoders = {ground: encoders_of(configs) for ground, configs in by_ground.items()}
    with job.fleet(max(1, len(todo)), encoders) as (share, at_once):
        if not todo:
            return {}, None
        with job.watched(describe, len(todo)) as observer:
            run_trials([trial.spec for trial in todo], job.home, share, at_once, observer)
        if observer.missed:
            job.catch_up([trial.spec for trial in todo], observer)
    return observer.failures, share


def _say_what_is_done(done: int, todo: Sequence[RunnableTrial], job: StudyRun) -> None:
    if done:
        rest = f"; {len(todo)} to train" if todo else ": nothing to train"
        say(f"{done} of {done + len(todo)} trials were finished before{rest}")
    datasets = {ground.dataset.folder: ground.dataset.fingerprint for ground in job.grounds.values()}
    other = of_other_code([trial.spec for trial in todo], datasets, earlier_results(job.home)) if todo else 0
    if other:
        say(f"{other} of them were finished by another version of the code, which does not count for this one")


def _recorded(
    trial: RunnableTrial | UnavailableTrial, failures: Mapping[str, str], grounds: Mapping[InputRequest, PreparedInputs]
) -> RecordedTrial:
    planned = trial.planned
    common = {"cell": dict(planned.cell), "seed": planned.config.seed, "group": planned.ground.dataset}
    if isinstance(trial, UnavailableTrial):
        return RecordedTrial(**common, failure=trial.reason)
    ground = grounds[planned.ground]
    return RecordedTrial(
        **common,
        dataset=str(ground.dataset.folder),
        fingerprint=trial.spec.fingerprint,
        failure=failures.get(trial.spec.fingerprint, ""),
    )


def _run_search(search: Search, options: Options) -> bool:
    stopwatch = Stopwatch()
    plan = plan_search(search, options)
    check_given(options, [plan.ground.dataset])
    say(f"[bold]{escape(search.question)}[/]")
    if options.dry_run:
        show_search_plan(search, plan, options)
        return True
    home = writable_folder(options.home, "--home")
    prepared = _grounds([plan.ground], options, home, stopwatch)[plan.ground]
    assert isinstance(prepared, PreparedInputs), "a ground that cannot be had alone is an error by itself"
    with (
        open_study_run(search, options, home, {plan.ground: prepared}, stopwatch) as job,
        TrialSearcher(
            search,
            lambda settings: prepared.trial(PlannedTrial({}, plan.ground, plan.config(settings)), home).spec,
            home,
            job.key,
            trials=options.trials,
            prune=options.early_stopping,
            sampler=options.sampler,
        ) as searcher,
    ):

        def describe(spec: TrialSpec) -> tuple[str, Mapping[str, str]]:
            settings = {key: str(getattr(spec.config, key)) for key in search.space}
            return ", ".join(f"{key} {_short(value)}" for key, value in settings.items()), settings

        job.asked = {plan.ground: plan.example}
        share = None
        if searcher.missing:
            with job.fleet(searcher.missing, {plan.ground: plan.encoders}) as (share, at_once):
                with job.watched(describe, searcher.missing) as observer:
                    run_search(searcher, searcher.scheduler, home, share, at_once, observer)
                if observer.missed:
                    job.catch_up(searcher.specs(), observer)
        else:
            say(f"{options.trials} trials were made before: nothing to train")
        specs = searcher.specs()
        job.record_finished([spec for spec in specs if spec.finished(home)], describe)
        told = history(searcher.study).dropna(subset=["fingerprint"]).set_index("fingerprint")
        states, reasons = told["state"].to_dict(), told["reason"].to_dict()
        recorded = [
            RecordedTrial(
                cell=dict(describe(spec)[1]),
                seed=spec.config.seed,
                group=plan.ground.dataset,
                dataset=str(prepared.dataset.folder),
                fingerprint=spec.fingerprint,
                failure=_why_unfinished(states.get(spec.fingerprint), reasons.get(spec.fingerprint)),
            )
            for spec in specs
        ]
        job.report(job.record(list(search.space), search.objectives, recorded, share))
    return "failed" not in states.values()


def _short(value: str) -> str:
    """A searched value for a label: numbers to three digits."""
    try:
        return f"{float(value):.3g}"
    except ValueError:
        return value


def _why_unfinished(state: str | None, reason: object) -> str:
    """What is to be said of a search's trial that left no result; nothing of one that did."""
    if state == "complete":
        return ""
    return "ended early" if state == "pruned" else str(reason or "failed")
