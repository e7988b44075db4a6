"""`python -m benchmarks.dumps`: time and memory of preparing review dumps in the real formats.

Each dump is generated (users with 5 reviews and more, popular and rare items, reviews of about 60 words, a file
of items with five times those that are reviewed) and prepared by the `vip5` command in a process of its own.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

_NOUNS = ("battery", "color", "fit", "smell", "price", "quality", "size", "screen", "strap", "texture", "zipper")
_JUDGED = ("the {} is great", "i love the {}", "the {} could be better", "a very good {}", "the {} broke at once")
_FILLER = "i bought this for my sister last year and we used it every day since then without any trouble"


def main() -> None:
    """Generate, prepare, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dumps", description=__doc__)
    parser.add_argument("--reviews", type=int, nargs="+", default=[278_677, 300_000, 3_000_000], metavar="N")
    parser.add_argument("--release", type=int, choices=(2014, 2018, 2023), default=2014)
    given = parser.parse_args()
    table = Table("reviews", "dump MB", "wall s", "CPU s", "CPU s / million", "peak MB", "explanations")
    for reviews in given.reviews:
        with tempfile.TemporaryDirectory() as home:
            table.add_row(*_measured(reviews, given.release, Path(home)))
    Console(width=110).print(table)


def _measured(reviews: int, release: int, home: Path) -> tuple[str, ...]:
    source = home / "source"
    source.mkdir()
    size = write_dump(source, reviews, release)
    command = [sys.executable, "-m", "vip5platform.cli", "prepare", f"amazon-{release}", "--source", str(source)]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--out", str(home / "out")], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"{command} failed")
    cpu = usage.ru_utime + usage.ru_stime
    counts = json.loads((home / "out" / "manifest.json").read_text("utf-8"))["counts"]
    told = sum(count for name, count in counts.items() if name.startswith("explanations_"))
    return (
        f"{counts['interactions_in_source']:,}",
        f"{size / 1e6:,.0f}",
        f"{wall:.0f}",
        f"{cpu:.0f}",
        f"{cpu / counts['interactions_in_source'] * 1e6:.0f}",
        f"{usage.ru_maxrss / 1024:,.0f}",
        f"{told:,}",
    )


def write_dump(folder: Path, reviews: int, release: int) -> int:
    """Write a category called Things; returns the bytes of its files before packing."""
    rng = np.random.default_rng(0)
    lengths = 5 + rng.geometric(0.25, max(1, reviews // 8))
    users = np.repeat(np.arange(len(lengths)), lengths)[:reviews]
    n_items = max(20, reviews // 12)
    items = (n_items * rng.random(len(users)) ** 2).astype(int)
    times = 1_300_000_000 + rng.integers(0, 100_000_000, len(users))
    texts = [_text(rng) for _ in range(2_000)]
    names = {
        2014: ("reviews_Things_5.json.gz", "meta_Things.json.gz"),
        2018: ("Things_5.json.gz", "meta_Things.json.gz"),
    }
    review_name, meta_name = names.get(release, ("Things.jsonl.gz", "meta_Things.jsonl.gz"))
    size = 0
    with gzip.open(folder / review_name, "wt", compresslevel=1) as file:
        for user, item, second, text in zip(
            users.tolist(),
            items.tolist(),
            times.tolist(),
            rng.integers(0, len(texts), len(users)).tolist(),
            strict=True,
        ):
            size += file.write(json.dumps(_review(release, user, item, second, texts[text])) + "\n")
    with gzip.open(folder / meta_name, "wt", compresslevel=1) as file:
        for item in range(5 * n_items):
            record = _item(release, item)
            size += file.write((repr(record) if release == 2014 else json.dumps(record)) + "\n")
    return size


def _review(release: int, user: int, item: int, second: int, text: str) -> dict[str, object]:
    if release == 2023:
        who = {"user_id": f"AE{user:010d}", "parent_asin": f"B{item:09d}", "asin": f"B{item:09d}"}
        return {"rating": 5.0, "title": "So good", "text": text, "images": [], **who, "timestamp": second * 1000}
    who = {"reviewerID": f"A{user:012d}", "asin": f"B{item:09d}", "reviewerName": f"Buyer {user}"}
    return {**who, "reviewText": text, "overall": 5.0, "summary": "So good", "unixReviewTime": second}


def _item(release: int, item: int) -> dict[str, object]:
    key = "parent_asin" if release == 2023 else "asin"
    related = {"also_bought": [f"B{(item + step) % 10**6:09d}" for step in range(60)]}
    url = f"http://images.example/{item}.jpg"
    images = {2014: {"imUrl": url}, 2018: {"imageURL": [url]}, 2023: {"images": [{"large": url, "variant": "MAIN"}]}}
    title = {"title": f"Thing number {item}", "description": f"{_FILLER} " * 5, "categories": [["Things"]]}
    return {key: f"B{item:09d}", **title, **images[release], "related": related}


def _text(rng: np.random.Generator) -> str:
    judged = rng.choice(_JUDGED, 2)
    return ". ".join(
        [" ".join(rng.permutation(_FILLER.split())), *(text.format(rng.choice(_NOUNS)) for text in judged)] * 2
    )


if __name__ == "__main__":
    main()
