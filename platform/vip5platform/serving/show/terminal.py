"""The short form of a page, for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from vip5core.metrics import UNRANKED
from vip5platform.report.formatting import format_probability
from vip5platform.serving.show.gather import Asked, Person, Show
from vip5platform.serving.show.page import best_items

_USERS, _BEST, _WORDS = 3, 3, 24


def print_short(show: Show, console: Console) -> None:
    """Print the first users: prompt, best items and the rank of the target."""
    for person in show.people[:_USERS]:
        console.print(f"[bold]{escape(_name(person))}[/]  {', '.join(person.verdicts)}", highlight=False)
        for asked in person.asked:
            _print_asked(show, asked, console)


def _name(person: Person) -> str:
    return f"{person.name or person.raw_id} (user_{person.user})"


def _print_asked(show: Show, asked: Asked, console: Console) -> None:
    titles = ["", *show.dataset.items["title"]]
    prompt = " ".join("▢" if word.item else "".join(word.pieces) for word in asked.cases[0].words[:_WORDS])
    dots = " …" if len(asked.cases[0].words) > _WORDS else ""
    console.print(f"  [dim]{asked.task}:[/] {escape(prompt)}{dots}", highlight=False)
    for name, case in zip(show.models, asked.cases, strict=True):
        label = f"{escape(name)}: " if len(show.models) > 1 else ""
        if not asked.is_ranking:
            console.print(
                f"    {label}[italic]{escape(case.text)}[/]  [dim]user: {escape(case.reference)}[/]", highlight=False
            )
            continue
        best = "; ".join(f"{titles[item]} {format_probability(share)}" for item, share in best_items(case)[:_BEST])
        place = "not in the list" if case.rank == UNRANKED else f"rank {case.rank}"
        console.print(
            f"    {label}{escape(best)}  [dim]target {escape(titles[asked.item])}: {place}[/]", highlight=False
        )
