"""`python -m benchmarks`: measure, print a table, and write it as Markdown if asked to."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from vip5platform.environment import set_environment

from benchmarks.data import data
from benchmarks.decoding import direct, explanation, sequential
from benchmarks.fleet import extraction, trials
from benchmarks.measure import Finding
from benchmarks.subject import Subject
from benchmarks.tiny_trial import tiny_trial
from benchmarks.training_step import training_step
from vip5core.data.dataset import Dataset
from vip5core.data.sources import prepare
from vip5core.home import Home

#: A benchmark takes the subject and gives findings; a new one is a line here.
BENCHMARKS: dict[str, Callable[[Subject], list[Finding]]] = {
    "data": data,
    "training-step": training_step,
    "tiny-trial": tiny_trial,
    "sequential": sequential,
    "direct": direct,
    "explanation": explanation,
    "extraction": extraction,
    "trials": trials,
}

_COLUMNS = ("benchmark", "unit", "ours", "baseline", "ratio", "target", "met?")


def main() -> None:
    """Run the benchmarks that were named."""
    options = _options()
    if "GLIBC_TUNABLES" not in os.environ:  # which a process reads when it starts
        set_environment(None)
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks", *sys.argv[1:]])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset.load(prepare(options.dataset, None, Home(Path(folder))))
        findings = []
        for name in options.only:
            subject = Subject(
                dataset, options.tokenizer, torch.device(options.device), options.precision, options.repeats
            )
            findings += BENCHMARKS[name](subject)
            print(name, "done", flush=True)
    rows = [_cells(finding) for finding in findings]
    table = Table(*_COLUMNS, title=_title(options, dataset))
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    if options.out is not None:
        options.out.write_text(markdown(_title(options, dataset), rows), "utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--repeats", type=int, default=3, help="how often each way is timed; the median counts")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--dataset", default="minimart:400", help="a name, or the folder of a prepared dataset")
    parser.add_argument("--tokenizer", type=Path, help="folder of a T5 tokenizer; default: of the dataset's own words")
    parser.add_argument("--out", type=Path, help="write the table here, as Markdown")
    return parser.parse_args()


def _title(options: argparse.Namespace, dataset: Dataset) -> str:
    where = "CPU, one thread, CPU time" if options.device == "cpu" else torch.cuda.get_device_name()
    vocabulary = "T5's vocabulary" if options.tokenizer else "a vocabulary of the dataset's words"
    return f"{where}; {options.precision}; {dataset.name}, {dataset.n_items} items; {vocabulary}"


def _cells(finding: Finding) -> tuple[str, ...]:
    def number(value: float | None, unit: str = "") -> str:
        return "" if value is None else f"{value:.3g}{unit}"

    met = {None: "", True: "yes", False: "no"}[finding.met]
    figures = (number(finding.ours), number(finding.baseline), number(finding.ratio, "×"))
    return (finding.benchmark, finding.unit, *figures, finding.target or "", met)


def markdown(title: str, rows: list[tuple[str, ...]]) -> str:
    """A table under its title."""
    lines = [_COLUMNS, ("---",) * len(_COLUMNS), *rows]
    return f"{title}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    main()
