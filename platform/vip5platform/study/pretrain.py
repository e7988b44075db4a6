"""Trains the missing backbones of a study in P5 stages, and prepares beside them what else its trials will need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from vip5core.config import TrialConfig
from vip5core.data.feature_choice import FeatureChoice
from vip5core.errors import Failure, UserError
from vip5platform.analysis.baselines import datasets_without_sasrec
from vip5platform.console import warn
from vip5platform.study.inputs import Found, PreparedInputs, join_features, questions
from vip5platform.study.plan import InputRequest, PlannedTrial, SearchPlan, feature_choices
from vip5platform.study.session import Needs, Session

Inputs = Mapping[InputRequest, PreparedInputs]


def pretrain_backbones(found: Found, other_needs: Callable[[Inputs], Needs], trials: int, session: Session) -> Found:
    """Train the backbones of P5 stages that are missing; nothing is done if none is.

    Meanwhile the features that the trials need are extracted and SASRec is trained, on the CPUs that are left.

    Args:
        found: The inputs of each request, or why there are none.
        other_needs: Gives what trials with these inputs need besides backbones.
        trials: The number of trials to come.
        session: The Ray cluster of this run.

    Returns:
        `found`, with the failure of each backbone that could not be trained.

    Raises:
        UserError: If no request is left.
    """
    inputs = {request: prepared for request, prepared in found.items() if isinstance(prepared, PreparedInputs)}
    missing = {
        prepared.backbone: prepared.stage
        for prepared in inputs.values()
        if prepared.lacks_backbone and prepared.stage is not None
    }
    if not missing:
        return found
    failed = session.prepare(replace(other_needs(inputs), backbones=list(missing.values())), trials)
    failures = {
        folder: Failure(kind="unavailable", message=f"{missing[folder].label}: {failure.message}")
        for folder, failure in failed.items()
    }
    for failure in failures.values():
        warn(failure.message)
    left = {
        request: failures.get(prepared.backbone, prepared) if isinstance(prepared, PreparedInputs) else prepared
        for request, prepared in found.items()
    }
    if all(isinstance(prepared, Failure) for prepared in left.values()):
        raise UserError(next(iter(failures.values())).message)
    return left


def needs_of_study(planned: Sequence[PlannedTrial], inputs: Inputs, session: Session) -> Needs:
    """The features of the trials that are not finished, and the baselines of all datasets."""
    unfinished: dict[InputRequest, list[TrialConfig]] = {}
    examples: dict[InputRequest, TrialConfig] = {}
    for trial in planned:
        if (prepared := inputs.get(trial.request)) is None:
            continue
        config = prepared.adapt(trial).config
        examples.setdefault(trial.request, config)
        if prepared.lacks_backbone or not prepared.trial(trial, session.home).spec.is_finished(session.home):
            unfinished.setdefault(trial.request, []).append(config)
    features = {request: feature_choices(configs) for request, configs in unfinished.items()}
    return _needs(features, examples, inputs, session)


def needs_of_search(plan: SearchPlan, inputs: Inputs, session: Session) -> Needs:
    """The features that trials of the search may need, and the baselines."""
    return _needs({plan.request: plan.features}, {plan.request: plan.example}, inputs, session)


def _needs(
    features: Mapping[InputRequest, Sequence[FeatureChoice]],
    examples: Mapping[InputRequest, TrialConfig],
    inputs: Inputs,
    session: Session,
) -> Needs:
    baselines = datasets_without_sasrec(
        session.options.baselines, list(questions(examples, inputs).values()), session.home
    )
    return Needs(features=join_features(features, inputs), baselines=baselines)
