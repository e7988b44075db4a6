"""Console output: messages, warnings and progress bars."""

from __future__ import annotations

import time
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
        disable=_quiet or not console.is_terminal,
    )


_quiet = False


def be_quiet(quiet: bool) -> None:
    """Print warnings and results only: no progress, and nothing by `say`."""
    global _quiet
    _quiet = quiet


def say(text: str) -> None:
    """Print a line of rich markup."""
    if not _quiet:
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


def amount(size: float) -> str:
    """An amount of bytes in convenient units.

    >>> amount(900), amount(12_345), amount(3_400_000_000)
    ('900 B', '12 kB', '3.4 GB')
    """
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


class TrialProgress:
    """An observer of trials that shows one bar for the study and one for each running trial.

    A log file gets a line for each trial that ends.

    Args:
        progress: The display of the bars.
        label: Gives the label of a trial.
        total: The number of trials.
    """

    def __init__(self, progress: bar_parts.Progress, label: Callable[[TrialSpec], str], total: int) -> None:
        self.progress = progress
        self.label = label
        self.total = total
        self.study = progress.add_task("trials", total=total, news="starting …")
        self.tasks: dict[str, bar_parts.TaskID] = {}
        self.pace = Pace(total)
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
        self.pace.start()
        self.progress.update(self.study, news=self.pace.left())
        if spec.fingerprint not in self.tasks:
            self.tasks[spec.fingerprint] = self.progress.add_task(
                f"  {escape(self.label(spec))}", total=spec.config.epochs, news=""
            )

    def epoch(self, spec: TrialSpec, metrics: Mapping[str, float]) -> None:
        self.pace.reach(spec.fingerprint, metrics["epoch"] / spec.config.epochs)
        self.progress.update(self.study, news=self.pace.left())
        task = self.tasks.get(spec.fingerprint)
        if task is not None:
            self.progress.update(task, completed=int(metrics["epoch"]), news=_epoch_news(metrics))

    def retried(self, spec: TrialSpec, failure: Failure, epochs: int) -> None:
        goes_on = f"continues after epoch {epochs}" if epochs else "starts again"
        self._say(f"[yellow]↻[/] {self._name(spec)}  {escape(failure.message)}; {goes_on} as soon as there is room")

    def finished(self, spec: TrialSpec, result: TrialResult) -> None:
        self._end(spec)
        shown = [*_shown(result.metrics), f"{result.metrics['cost/seconds']:.0f} s"]
        self._say(f"[green]✓[/] {self._name(spec)}  [dim]{'  '.join(shown)}[/]")

    def failed(self, spec: TrialSpec, failure: Failure) -> None:
        self._end(spec)
        self._say(f"[red]✗[/] {self._name(spec)}  {escape(failure.message)}")

    def pruned(self, spec: TrialSpec) -> None:
        self._end(spec)
        self._say(f"[dim]· {self._name(spec)}  stopped early: others were better at this epoch[/]")

    def _name(self, spec: TrialSpec) -> str:
        return escape(self.label(spec))

    def _end(self, spec: TrialSpec) -> None:
        self.pace.end(spec.fingerprint)
        task = self.tasks.pop(spec.fingerprint, None)
        if task is not None:
            self.progress.remove_task(task)
        self.progress.update(self.study, advance=1, news=self.pace.left())

    def _say(self, text: str) -> None:
        if not console.is_terminal:  # which has a bar for it
            left = self.pace.left()
            text += f"  [dim]{self.pace.ended} of {self.total}{f', {left}' if left else ''}[/]"
        say(text)


class Pace:
    """How far a number of trials has come, and how long the rest may take.

    Args:
        total: The number of trials.
        clock: Gives the seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.clock = total, clock
        self.begin: float | None = None
        self.shares: dict[str, float] = {}
        self.ended = 0

    def start(self) -> None:
        """Note that a trial starts; the first one starts the clock."""
        if self.begin is None:
            self.begin = self.clock()

    def reach(self, trial: str, share: float) -> None:
        """Note which share of its epochs a trial has finished, from 0 to 1."""
        self.shares[trial] = max(share, self.shares.get(trial, 0.0))

    def end(self, trial: str) -> None:
        """Note that a trial has ended, at whichever epoch."""
        self.reach(trial, 1.0)
        self.ended += 1

    def left(self) -> str:
        """An estimate of the time that is left: the shares that are left take as long as those that are done.

        >>> seconds = iter((100.0, 110.0))
        >>> pace = Pace(4, lambda: next(seconds))
        >>> pace.start()
        >>> pace.reach("a", 1.0)
        >>> pace.left()
        'about 30 s left'
        """
        done = sum(self.shares.values())
        if self.begin is None or not 0 < done < self.total:
            return ""
        return f"about {duration((self.clock() - self.begin) * (self.total - done) / done)} left"


def _epoch_news(metrics: Mapping[str, float]) -> str:
    """The validation loss of an epoch, and the first metric that answers, on the validation items."""
    validated = {name: metrics.get(name.replace("test/", "valid/", 1)) for name in answer_names()}
    headline = _shown({name: value for name, value in validated.items() if value is not None})[:1]
    return "  ".join([*([f"loss {metrics['valid/loss']:.3f}"] if "valid/loss" in metrics else []), *headline])


def _shown(metrics: Mapping[str, float]) -> list[str]:
    """The metrics that answer, with their values."""
    return [f"{metric(name).title} {metric(name).show(metrics[name])}" for name in answer_names() if name in metrics]
