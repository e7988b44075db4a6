"""What a study would do, and how long it might take, without doing any of it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from rich import box
from rich.table import Table

from vip5core.home import Home
from vip5core.trial.result import TrialResult
from vip5platform.console import console, duration, say
from vip5platform.declarations import Choice, Search
from vip5platform.options import Options
from vip5platform.study.estimate import earlier_results, estimate_seconds
from vip5platform.study.inputs import PreparedInputs, find_inputs
from vip5platform.study.plan import PlannedTrial, SearchPlan


def show_plan(planned: Sequence[PlannedTrial], options: Options) -> None:
    """Print each cell: what is there already, what is to train, and an estimate from earlier trials of this machine."""
    home = Home(options.home.resolve())
    found, earlier = find_inputs([trial.request for trial in planned], options, home), earlier_results(home)
    cells: dict[str, list[PlannedTrial]] = {}
    for trial in planned:
        cells.setdefault(trial.name, []).append(trial)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head, justify in (("cell", "left"), ("trials", "right"), ("finished", "right"), ("to train", "right")):
        table.add_column(head, justify=justify)  # type: ignore[arg-type]
    table.add_column("estimate", justify="right")
    seen: set[str] = set()
    total, unknown, left = 0.0, False, 0
    for name, trials in cells.items():
        todo = [trial for trial in trials if not _finished(trial, found.get(trial.request), home, seen)]
        guesses = [_guess(trial, found.get(trial.request), earlier) for trial in todo]
        known = [guess for guess in guesses if guess is not None]
        unknown |= len(known) < len(guesses)
        total, left = total + sum(known), left + len(todo)
        shown = "" if not todo else duration(sum(known)) if len(known) == len(guesses) else "unknown"
        table.add_row(name, str(len(trials)), str(len(trials) - len(todo)), str(len(todo)), shown)
    console.print(table)
    say(_in_all(left, total, unknown, options))
    if len(found) < len({trial.request for trial in planned}):
        say("The dataset, or its backbone, is not there yet: making it takes time, too, and no trial can be finished.")
    say("Nothing was run or written (--dry-run).")


def show_search_plan(search: Search, plan: SearchPlan, options: Options) -> None:
    """Print the space, the budget and an estimate."""
    home = Home(options.home.resolve())
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("searched")
    table.add_column("values")
    size = 1.0
    for key, values in search.space.items():
        if isinstance(values, Choice):
            shown, size = ", ".join(map(str, values.values)), size * len(values.values)
        else:
            shown, size = f"{values.low:g} to {values.high:g}{' (logarithmic)' if values.log else ''}", math.inf
        table.add_row(key, shown)
    console.print(table)
    inputs = find_inputs([plan.request], options, home).get(plan.request)
    guess = _guess(PlannedTrial({}, plan.request, plan.example), inputs, earlier_results(home))
    count = int(min(options.trials, size))
    say(f"{options.sampler} over {size:g} combinations; objectives: {', '.join(search.objectives)}")
    say(_in_all(count, (guess or 0.0) * count, guess is None, options))
    say("Nothing was run or written (--dry-run).")


def _finished(trial: PlannedTrial, inputs: PreparedInputs | None, home: Home, seen: set[str]) -> bool:
    """Is there nothing to train for this trial? Of trials that are one and the same, the first is trained."""
    if inputs is None:
        return False
    spec = inputs.trial(trial, home).spec
    again = spec.fingerprint in seen
    seen.add(spec.fingerprint)
    return spec.finished(home) or again


def _guess(trial: PlannedTrial, inputs: PreparedInputs | None, earlier: Sequence[TrialResult]) -> float | None:
    return estimate_seconds(trial.config, inputs.dataset.fingerprint, earlier) if inputs is not None else None


def _in_all(left: int, seconds: float, unknown: bool, options: Options) -> str:
    if not left:
        return "Nothing is left to train."
    if unknown:
        return f"{left} trials to train; how long they take is unknown: nothing like them was run on this machine."
    if options.address:
        return f"{left} trials to train: {duration(seconds)} of trials' own time."
    abreast = max(1, min(left, os.cpu_count() or 1))
    return (
        f"{left} trials to train: {duration(seconds)} of trials' own time, about {duration(seconds / abreast)} "
        f"with {abreast} side by side."
    )
