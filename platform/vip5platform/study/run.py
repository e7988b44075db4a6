"""Runs a study or search from its declaration to its report."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from rich.markup import escape

from vip5core.config import TrialConfig
from vip5core.data.feature_choice import FeatureChoice
from vip5core.errors import Failure
from vip5core.home import Home
from vip5core.storage import shared_lock
from vip5platform.analysis.baselines import check_baselines
from vip5platform.cluster.resources import TrialResources
from vip5platform.console import be_quiet, say, stage, warn
from vip5platform.declarations import Search, Study
from vip5platform.options import Options
from vip5platform.report.datasets import print_dataset_summary
from vip5platform.study.dry_run import show_plan, show_search_plan
from vip5platform.study.inputs import (
    Found,
    PreparedInputs,
    UnavailableTrial,
    check_backbones,
    check_inputs,
    prepare_inputs,
    unfinished_requests,
    without_effect,
)
from vip5platform.study.plan import InputRequest, PlannedTrial, feature_choices, plan_search, plan_trials
from vip5platform.study.pretrain import needs_of_search, needs_of_study, pretrain_backbones
from vip5platform.study.session import Session
from vip5platform.study.study_run import StudyRun, open_study_run
from vip5platform.study.timeline import Timeline
from vip5platform.study.workload import SearchWorkload, StudyWorkload, Workload

#: The refusal to run while `vip5 clean` deletes.
CLEANED = "vip5 clean is deleting in --home: run the same command again when it has ended"


def run(declared: Study | Search, options: Options) -> bool:
    """Run the missing trials of a study or search, then report and record all of them.

    Returns:
        Whether all trials finished (or, in a search, were stopped early).

    Raises:
        UserError: For any mistake that the user can correct.
    """
    be_quiet(options.quiet)
    check_baselines(options.baselines)
    return _run_study(declared, options) if isinstance(declared, Study) else _run_search(declared, options)


def _run_study(study: Study, options: Options) -> bool:
    timeline = Timeline()
    planned = plan_trials(study, options)
    check_inputs(options, {trial.request.dataset for trial in planned})
    say(f"[bold]{escape(study.question)}[/]")
    if options.dry_run:
        _check_resources(options)
        show_plan(planned, options)
        return True
    home = Home.at(options.home).check_writable()
    with _session(options, home, timeline) as session:
        found = _prepare(
            [trial.request for trial in planned],
            session,
            lambda prepared: prepared.keys() if options.force else unfinished_requests(planned, prepared, home),
        )
        configs: dict[InputRequest, list[TrialConfig]] = {}
        for trial in planned:
            configs.setdefault(trial.request, []).append(trial.config)
        _say_what_has_no_effect({request: feature_choices(of_one) for request, of_one in configs.items()}, found)
        found = pretrain_backbones(
            found, lambda inputs: needs_of_study(planned, inputs, session), len(planned), session
        )
        inputs = {request: prepared for request, prepared in found.items() if isinstance(prepared, PreparedInputs)}
        trials = [
            UnavailableTrial(trial, prepared) if isinstance(prepared, Failure) else prepared.trial(trial, home)
            for trial in planned
            for prepared in [found[trial.request]]
        ]
        workload = StudyWorkload(study, trials, inputs, home)
        with open_study_run(study, inputs, workload.examples, session) as study_run:
            if options.force:
                _move_replaced_results(workload, study_run)
            execute(study_run, workload, [factor.name for factor in study.factors], study.metrics)
        return workload.succeeded


def _run_search(search: Search, options: Options) -> bool:
    from vip5platform.search import TrialSearcher  # late, because a study needs no Optuna, and no Ray if it is finished

    timeline = Timeline()
    plan = plan_search(search, options)
    check_inputs(options, [plan.request.dataset])
    say(f"[bold]{escape(search.question)}[/]")
    if options.dry_run:
        _check_resources(options)
        show_search_plan(search, plan, options)
        return True
    home = Home.at(options.home).check_writable()
    with _session(options, home, timeline) as session:
        found = _prepare([plan.request], session, lambda prepared: prepared.keys())
        _say_what_has_no_effect({plan.request: plan.features}, found)
        found = pretrain_backbones(
            found, lambda inputs: needs_of_search(plan, inputs, session), options.trials, session
        )
        inputs = found[plan.request]
        assert isinstance(inputs, PreparedInputs), "an error is raised if the only request cannot be prepared"
        with (
            open_study_run(search, {plan.request: inputs}, {plan.request: plan.example}, session) as study_run,
            TrialSearcher(
                search,
                lambda settings: inputs.trial(PlannedTrial({}, plan.request, plan.config(settings)), home).spec,
                home,
                study_run.key,
                trials=options.trials,
                prune=options.early_stopping,
                sampler=options.sampler,
            ) as searcher,
        ):
            workload = SearchWorkload(search, plan, inputs, searcher, home)
            execute(study_run, workload, list(search.space), search.objectives)
            return workload.succeeded


def execute(study_run: StudyRun, workload: Workload, factors: Sequence[str], metrics: Sequence[str]) -> None:
    """Run the missing trials and publish the results.

    Args:
        study_run: The run of the study or search.
        workload: The trials to run.
        factors: The names of the varied settings.
        metrics: The metrics that answer the question.
    """
    study_run.record_finished(workload.specs(), workload.describe)
    workload.announce()
    resources: TrialResources | None = None
    failures: Mapping[str, Failure] = {}
    if workload.missing or study_run.lacks_baselines:
        with study_run.cluster(workload.missing, workload.features) as (given, at_once):
            if workload.missing:
                resources = given
                with study_run.observe(workload.describe, workload.missing) as observer:
                    workload.run(given, at_once, observer)
                study_run.catch_up(workload.specs(), observer)
                failures = observer.failures
    study_run.publish(workload, factors, metrics, failures, resources)


@contextlib.contextmanager
def _session(options: Options, home: Home, timeline: Timeline) -> Iterator[Session]:
    """A session on a home that nobody cleans meanwhile; before anything is written, a check that trials have room."""
    with Session(options, home, timeline) as session:
        session.check_resources()
        with shared_lock(home.lock, CLEANED):
            yield session


def _check_resources(options: Options) -> None:
    with Session(options, Home.at(options.home), Timeline()) as session:
        session.check_resources()


def _prepare(
    requests: Sequence[InputRequest], session: Session, unfinished: Callable[[Found], Collection[InputRequest]]
) -> Found:
    """The inputs of each request; of those that `unfinished` names, the backbones are read once, as a check."""
    with session.timeline.measure("data"):
        prepared: Found = prepare_inputs(requests, session.options, session.home, stage)
        prepared = check_backbones(prepared, unfinished(prepared))
    shown = set()
    for request, found in prepared.items():
        if isinstance(found, Failure):
            warn(f"{request.dataset}: {found.message}")
        elif found.dataset.fingerprint not in shown:
            shown.add(found.dataset.fingerprint)
            print_dataset_summary(found.dataset)
            if not found.dataset.has_images and not found.dataset.manifest.features:
                warn(f"{found.dataset.name} has no images: trials that need them are text-only (image_tokens=0)")
    return prepared


def _say_what_has_no_effect(features: Mapping[InputRequest, Sequence[FeatureChoice]], found: Found) -> None:
    """One line for each dataset and encoder whose features are the same with `item_images` as without."""
    lines = [
        without_effect(choice, prepared.dataset)
        for request, choices in features.items()
        if isinstance(prepared := found[request], PreparedInputs)
        and (prepared.dataset.has_images or prepared.dataset.manifest.features)
        for choice in choices
    ]
    for line in dict.fromkeys(line for line in lines if line is not None):
        say(escape(line))


def _move_replaced_results(workload: StudyWorkload, study_run: StudyRun) -> None:
    """Move results that are to be trained again to `trials/.replaced/`."""
    home = study_run.home
    for spec in workload.specs():
        # First, so that its old steps are not mixed with new ones.
        study_run.recording.tracker.discard(spec.fingerprint)
        home.discard(spec.checkpoint(home))
        if spec.is_finished(home):
            kept = home.replaced_trials / f"{spec.fingerprint}-{time.strftime('%Y%m%d-%H%M%S')}"
            kept.parent.mkdir(exist_ok=True)
            shutil.move(spec.folder(home), kept)
            home.publish(kept)
            home.discard(spec.folder(home))
