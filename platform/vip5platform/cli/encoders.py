"""`vip5 encoders`: which visual encoders there are, what they read and give, and how fast they were here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.markup import escape
from rich.table import Table

from vip5core.errors import UserError
from vip5platform.cli.runs import add_home

if TYPE_CHECKING:  # importing these takes a part of a second, and `--help` does not need them
    from vip5core.encoders import EncoderChoice
    from vip5platform.cluster.encoder_speed import EncoderSpeed

#: Shown without a word: families that researchers ask for, of a size that a laptop can take.
_SELECTION = (
    "open_clip:ViT-B-16-SigLIP2/webli",
    "open_clip:EVA02-L-14/merged2b_s4b_b131k",
    "open_clip:MobileCLIP2-S0/dfndr2b",
    "open_clip:PE-Core-B-16/meta",
    "open_clip:ViT-H-14-worldwide-quickgelu/metaclip2_worldwide",
    "timm:vit_base_patch14_dinov2.lvd142m",
    "timm:vit_base_patch16_dinov3.lvd1689m",
    "timm:convnext_base.clip_laion2b_augreg",
)
#: Rows of a table; each costs a part of a second, for its model is built without weights.
_MOST = 25


def add_encoders(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 encoders`."""
    parser.epilog = (
        "Others are named by where they are: open_clip:hf-hub:ORG/NAME, open_clip:local-dir:FOLDER, timm:NAME@FILE, "
        "timm:local-dir:FOLDER, hf:ORG/NAME, hf:FOLDER, features:PATH (docs/encoders.md)."
    )
    parser.add_argument(
        "word", nargs="?", metavar="WORD", help="list the encoders whose name contains this: siglip2, dinov3, openai, …"
    )
    add_home(parser)
    parser.set_defaults(run=_encoders)


def _encoders(given: argparse.Namespace) -> int:
    from vip5core.encoders import EncoderChoice
    from vip5core.home import Home
    from vip5platform.cluster.encoder_speed import speeds
    from vip5platform.console import console, say, stage

    word, families = (given.word or "").lower(), _families()
    names = [name for family in families.values() for name in family]
    chosen = [name for name in names if word in name.lower()]
    if not word:
        chosen = [name for name in names if name in (*families["the paper"], *_SELECTION)]
    rows: dict[EncoderChoice, EncoderSpeed | None] = {EncoderChoice(name, "openai"): None for name in chosen[:_MOST]}
    for speed in speeds(Home.at(given.home)):
        if word in speed.name.lower():
            rows[EncoderChoice(speed.name, speed.weights)] = speed
    if not rows:
        raise UserError(
            f"WORD {given.word!r}: no encoder's name contains it; `vip5 encoders` shows some that there are"
        )
    table = Table(box=box.SIMPLE_HEAVY)
    table.add_column("encoder", overflow="fold")
    for head in ("width", "image (px)", "parameters (M)", "images/s here"):
        table.add_column(head, justify="right")
    with stage("encoders") as update:
        for done, (choice, measured) in enumerate(rows.items(), start=1):
            table.add_row(*_cells(choice, measured))
            update(done, len(rows))
    console.print(table)
    if len(chosen) > _MOST:
        say(f"and {len(chosen) - _MOST:,} more: a longer word shows fewer")
    counts = ", ".join(f"{len(known):,} of {what}" for what, known in families.items())
    say(f"{counts}; besides hf:ORG/NAME, local folders of these libraries, and features:PATH (docs/encoders.md)")
    return 0


def _families() -> dict[str, list[str]]:
    """The names that are known, by who knows them; none of a library that is not installed."""
    from vip5core.encoders import open_clip_names, timm_names
    from vip5core.vocabulary import ENCODERS

    found = {"the paper": list(ENCODERS)}
    for library, names in (("open_clip", open_clip_names), ("timm", timm_names)):
        try:
            found[library] = [f"{library}:{name}" for name in names()]
        except UserError:
            found[library] = []
    return found


def _cells(choice: EncoderChoice, speed: EncoderSpeed | None) -> list[str]:
    """A row of the table; dashes for an encoder that is not there any more."""
    from vip5core.vocabulary import ENCODERS

    name = choice.name
    if name in ENCODERS and choice.weights != "openai":
        name += f" ({Path(choice.weights).name})"
    measured = f"{speed.images_per_second:,.1f} ({speed.device})" if speed is not None else "–"
    try:
        outline = choice.model.outline()
    except Exception:  # a folder that has gone, or a model that its library cannot build without weights
        return [escape(name), "–", "–", "–", measured]
    height, width = outline.image_size
    sides = str(height) if height == width else f"{height} × {width}"
    return [escape(name), str(outline.feature_width), sides, f"{outline.parameters / 1e6:.1f}", measured]
