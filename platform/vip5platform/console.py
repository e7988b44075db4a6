"""Console output: messages, warnings and progress bars."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import progress as bar_parts
from rich.console import Console
from rich.markup import escape

from vip5core.errors import Failure
from vip5core.metrics import answer_names, metric
from vip5core.progress import Progress

if TYPE_CHECKING:  # preparing a dataset shows progress too, but does not need PyTorch
    from vip5core.trial.result import TrialResult
    from vip5core.trial.spec import TrialSpec

console = Console()
if not console.is_terminal:  # a log file has no width, but tables need one
    console = Console(width=150)

#: Stages that took fewer seconds are not mentioned.
_SHORTEST_STAGE = 0.5


def bars() -> bar_parts.Progress:
    """Progress bars, disabled in log files."""
    return bar_parts.Progress(
        bar_parts.SpinnerColumn(),
        bar_parts.TextColumn("{task.description}"),
        bar_parts.BarColumn(bar_width=24),
        bar_parts.MofNCompleteColumn(),
        bar_parts.TimeElapsedColumn(),
        bar_parts.TextColumn("[dim]{task.fields[news]}"),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def say(text: str) -> None:
    """Print a line of rich markup."""
    console.print(text, highlight=False, soft_wrap=True)


def warn(text: str) -> None:
    """Print a warning of plain text."""
    console.print(f"[yellow]warning:[/] {escape(text)}", highlight=False, soft_wrap=True)


@contextmanager
def stage(what: str) -> Iterator[Progress]:
    """Show a progress bar for one stage; yields `update(done, total, news)`. A log file gets one line per news."""
    with stages() as add:
        yield add(what)


@contextmanager
def stages() -> Iterator[Callable[[str], Progress]]:
    """Show progress bars of stages side by side; yields the function that adds one and returns its `update`."""
    with bars() as progress:

        def add(what: str) -> Progress:
            task = progress.add_task(what, total=None, news="")

            def update(done: int, total: int, news: str = "") -> None:
                progress.update(task, completed=done, total=total, news=news)
                if news and not console.is_terminal:
                    say(f"{what} {done}/{total}  {news}")

            return update

        yield add


def describe_stages(seconds: Mapping[str, float]) -> str:
    """Where time went, by stage, without those that took next to none.

    >>> describe_stages({"trials": 42.0, "ray": 0.1})
    'trials 42 s'
    """
    return ", ".join(f"{name} {duration(took)}" for name, took in seconds.items() if took >= _SHORTEST_STAGE)


def duration(seconds: float) -> str:
    """A duration in convenient units.

    >>> duration(4.2), duration(42), duration(600), duration(7300)
    ('4.2 s', '42 s', '10 min', '2 h 2 min')
    """
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


class TrialProgress:
    """An observer of trials that shows one bar for the study and one for each running trial.

    Args:
        progress: The display of the bars.
        label: Gives the label of a trial.
        total: The number of trials.
    """

    def __init__(self, progress: bar_parts.Progress, label: Callable[[TrialSpec], str], total: int) -> None:
        self.progress = progress
        self.label = label
        self.study = progress.add_task("trials", total=total, news="starting …")
        self.tasks: dict[str, bar_parts.TaskID] = {}
        self._waits_for = ""

    def waiting(self, wanted: str, seconds: float) -> None:
        """Show a wait for the cluster in the bar of the study; in a log file in one line."""
        minutes, rest = divmod(int(seconds), 60)
        self.progress.update(self.study, news=f"waiting for {wanted}, {minutes}:{rest:02}")
        if not self.progress.console.is_terminal and wanted != self._waits_for:
            self._say(f"waiting for {wanted}")
        self._waits_for = wanted

    def started(self, spec: TrialSpec) -> None:
        self._waits_for = ""
        self.progress.update(self.study, news="")
        if spec.fingerprint not in self.tasks:
            self.tasks[spec.fingerprint] = self.progress.add_task(
                f"  {escape(self.label(spec))}", total=spec.config.epochs, news=""
            )

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
        task = self.tasks.get(spec.fingerprint)
        news = f"valid/loss {metrics['valid/loss']:.3f}" if "valid/loss" in metrics else ""
        if task is not None:
            self.progress.update(task, completed=int(metrics["epoch"]), news=news)

    def retried(self, spec: TrialSpec, failure: Failure, epochs: int) -> None:
        goes_on = f"continues after epoch {epochs}" if epochs else "starts again"
        self._say(f"[yellow]↻[/] {self._name(spec)}  {escape(failure.message)}; {goes_on} as soon as there is room")

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        self._end(spec)
        shown = [
            f"{metric(name).title} {metric(name).show(result.metrics[name])}"
            for name in answer_names()
            if name in result.metrics
        ]
        seconds = result.metrics["cost/seconds"]
        self._say(f"[green]✓[/] {self._name(spec)}  [dim]{'  '.join(shown)}  {seconds:.0f} s[/]")

    def failed(self, spec: TrialSpec, failure: Failure) -> None:
        self._end(spec)
        self._say(f"[red]✗[/] {self._name(spec)}  {escape(failure.message)}")

    def pruned(self, spec: TrialSpec) -> None:
        self._end(spec)
        self._say(f"[dim]· {self._name(spec)}  stopped early: others were better at this epoch[/]")

    def _name(self, spec: TrialSpec) -> str:
        return escape(self.label(spec))

    def _end(self, spec: TrialSpec) -> None:
        task = self.tasks.pop(spec.fingerprint, None)
        if task is not None:
            self.progress.remove_task(task)
        self.progress.advance(self.study)

    def _say(self, text: str) -> None:
        self.progress.console.print(text, highlight=False, soft_wrap=True)
