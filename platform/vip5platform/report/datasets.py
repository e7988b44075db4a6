"""Summaries of datasets, as the `vip5` command and studies print them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.markup import escape
from rich.table import Table

from vip5core.data.dataset import Dataset, IdTokens
from vip5core.data.leak import ANSWERS
from vip5platform.console import console, say, warn
from vip5platform.report.sections.data import describe_split, describe_ties

if TYPE_CHECKING:  # these imports take seconds and `prepare` does not need them
    from vip5core.data.describe import Ascent, Description
    from vip5core.data.images.dataset_images import AddedImages

#: Smaller p-values are shown as smaller than this.
_LEAST_P = 1e-99


def print_dataset_summary(dataset: Dataset) -> None:
    """Print one line of counts, and a warning for everything that was dropped."""
    counts = dataset.manifest.counts
    say(
        f"{escape(dataset.name)}: {dataset.n_users:,} users, {dataset.n_items:,} items "
        f"({counts['items_with_image']:,} with image), {counts['interactions']:,} interactions, "
        f"{len(dataset.explanations):,} explanations"
    )
    if dataset.manifest.ids_leak:
        warn("its item ids leak the held-out items, which inflates every ranking metric (docs/item-ids.md)")
    for drop in dataset.manifest.drops:
        examples = f" ({', '.join(drop.examples)}, …)" if drop.examples else ""
        warn(f"{drop.count:,} {drop.what}: {drop.reason}{examples}")


def description_tables(dataset: Dataset, found: Description) -> Iterable[Table]:
    """The statistics of a dataset, its history lengths, and what was dropped from its source."""
    manifest = dataset.manifest
    source = ", ".join(value if key == "name" else f"{key} {value}" for key, value in manifest.source.items() if value)
    facts = Table(title=escape(source), box=box.SIMPLE_HEAVY, show_header=False, title_justify="left")
    facts.add_column(style="dim")
    facts.add_column(justify="right")
    facts.add_column(style="dim")
    mean, median, longest = found.history_lengths
    words, frequent = found.aspects
    explanations = found.explanations
    rows = [
        ("users", f"{found.users:,}", ""),
        ("items", f"{found.items:,}", ""),
        ("interactions", f"{found.interactions:,}", f"of {manifest.counts['interactions_in_source']:,} in the source"),
        ("density", f"{found.density:.3%}", f"sparsity {1 - found.density:.3%}"),
        ("history length", f"{mean:.1f}", f"mean; median {median:g}, longest {longest:,}"),
        (
            "time",
            found.last or "–",
            f"since {found.first}" if found.first else "the source has an order but no timestamps",
        ),
        *_time_rows(dataset, found),
        ("popularity", f"{found.top_decile:.1%}", "of training interactions are with the most popular 10 % of items"),
        ("with image", f"{found.with_image:.1%}", f"of items; {found.with_url:.1%} have an image URL"),
        (
            "further images",
            f"{found.with_further:,}",
            f"items have more than one; {found.with_further_url:,} have URLs of several",
        ),
        ("with title", f"{found.with_title:.1%}", f"of items; {found.with_description:.1%} with description"),
        (
            "explanations",
            f"{sum(explanations.values()):,}",
            ", ".join(f"{split} {count:,}" for split, count in explanations.items()),
        ),
        ("with explanation", f"{found.with_explanation:.1%}", "of interactions"),
        ("explanation length", f"{found.explanation_words:g}", "words, median"),
        ("aspects", f"{words:,}", ", ".join(frequent)),
        ("provided features", str(len(manifest.features)), ", ".join(manifest.features)),
        (
            "item ids",
            manifest.id_scheme,
            "leaky: numbered along histories that include the held-out items" if manifest.ids_leak else "leak-free",
        ),
        *_id_token_rows(manifest.id_tokens),
        (
            f"next ids, HR@{ANSWERS}",
            f"{found.leak.hit_rate:.4f}",
            f"no model, ids after the history; NDCG@{ANSWERS} {found.leak.ndcg:.4f}; chance {found.leak.chance:.4f}",
        ),
        ("candidates", str(manifest.candidates), found.candidates or "in every list, as asked"),
        (
            "options",
            "",
            f"k_core={manifest.k_core}, duplicates={manifest.duplicates}, repeats={manifest.repeats}, "
            f"ties={manifest.ties}, split={manifest.split}, held_out={manifest.held_out:g}, "
            f"candidates={manifest.candidates}, seed={manifest.seed}",
        ),
    ]
    for name, value, note in rows:
        facts.add_row(name, value, escape(note))
    yield facts
    yield _histogram(found)
    if manifest.drops:
        yield _drops_table(dataset)


def _time_rows(dataset: Dataset, found: Description) -> Iterable[tuple[str, str, str]]:
    """What is held out, what of it training has not seen, and how ties came from the source."""
    manifest = dataset.manifest
    yield "split", manifest.split, ""
    for split, held_out in manifest.held_out_splits.items():
        yield split, "", describe_split(held_out)
    users, items = (manifest.counts[f"{what}_in_training"] for what in ("users", "items"))
    yield "in training", f"{users:,}", f"users, and {items:,} items"
    yield "ties", manifest.ties if manifest.has_times else "–", describe_ties(manifest)
    kind = "tied" if manifest.has_times else "neighbouring"
    for name, ascent in ((f"{kind} pairs", found.tied_pairs), (f"{kind} last pairs", found.tied_ends)):
        if ascent.pairs:
            yield name, f"{ascent.ascending / ascent.pairs:.1%}", _describe_ascent(ascent)


def _describe_ascent(ascent: Ascent) -> str:
    told = f"{ascent.ascending:,} of {ascent.pairs:,} came in ascending order of raw ids (by chance 50 %"
    if ascent.p_value is None:
        return f"{told})"
    return f"{told}, p {f'= {ascent.p_value:.2g}' if ascent.p_value >= _LEAST_P else f'< {_LEAST_P:g}'})"


def _id_token_rows(ids: IdTokens | None) -> Iterable[tuple[str, str, str]]:
    """What there is to say about ids that are made of tokens of their own."""
    if ids is None:
        return
    yield "id tokens", f"{ids.tokens:,}", f"added to the vocabulary; up to {ids.longest} in an id"
    if ids.collisions is None:
        return
    yield "codes in use", f"{np.mean(ids.code_use):.1%}", ", ".join(f"{share:.1%}" for share in ids.code_use)
    told = f"; {ids.without_content:,} more have no content, and share codes" if ids.without_content else ""
    yield (
        "code collisions",
        f"{ids.collisions:.1%}",
        f"of items share all codes with another: a last token tells them apart{told}",
    )


def _histogram(found: Description) -> Table:
    table = Table(title="users by history length", box=box.SIMPLE_HEAVY, show_header=False, title_justify="left")
    table.add_column(justify="right", style="dim")
    table.add_column()
    table.add_column(justify="right")
    most = max(count for _, count in found.length_classes)
    for name, count in found.length_classes:
        table.add_row(name, "█" * round(40 * count / most) or ("▏" if count else ""), f"{count:,}")
    return table


def _drops_table(dataset: Dataset) -> Table:
    table = Table(title="dropped or repaired", box=box.SIMPLE_HEAVY, title_justify="left")
    for name, justify in (("count", "right"), ("what", "left"), ("reason", "left"), ("examples", "left")):
        table.add_column(
            name, justify="right" if justify == "right" else "left", style="dim" if name == "examples" else ""
        )
    for drop in dataset.manifest.drops:
        table.add_row(f"{drop.count:,}", drop.what, escape(drop.reason), escape("; ".join(drop.examples[:2])))
    return table


def print_images_summary(added: AddedImages, downloads: Path) -> None:
    """Print how many pictures the items have now, and why others could not be downloaded."""
    new = added.now - added.before
    further, more = added.further, added.further - added.further_before
    told = f"; {further:,} further pictures, {more:,} of them new" if further else ""
    say(f"{added.now:,} items with image, {new:,} of them new{told}; files and ledger in {escape(str(downloads))}")
    if added.reasons.empty:
        return
    table = Table(title="not downloaded", box=box.SIMPLE_HEAVY, title_justify="left")
    table.add_column("pictures", justify="right")
    table.add_column("reason")
    table.add_column("example", style="dim", overflow="fold")
    for (reason, final), rows in added.reasons.groupby(["reason", "final"], sort=False):
        again = "" if final else " (retried by the next run)"
        table.add_row(f"{len(rows):,}", escape(f"{reason}{again}"), escape(rows["url"].iloc[0]))
    console.print(table)
