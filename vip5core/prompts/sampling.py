"""The prompts that an epoch trains on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import repeat

import numpy as np

from vip5core.config import SamplingOptions
from vip5core.data.dataset import Dataset
from vip5core.prompts.negatives import Negatives
from vip5core.templates import TemplateSet
from vip5core.vocabulary import FADING
from vip5core.wording import Sample

#: The groups that ask about users, and the fewest training items that a user needs for them: a target, and a history
#: where one is shown.
PER_USER_GROUPS = {"next_item": 2, "next_check": 2, "user_check": 1, "choice": 1}

#: The share of prompts that have placeholders, if any have.
_PLACEHOLDERS = 0.5

Window = Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, np.ndarray]]


def paper_window(rng: np.random.Generator, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The official window: the target is one of the last three training items, the start one of the first three.

    Args:
        rng: The source of randomness.
        lengths: The number of training items of each row's user, at least two. Shape: [R].

    Returns:
        The positions, in the training part, of the first item of the history to show and of the target, which is the
        item right behind the history. Shape: [R] each.
    """
    targets = rng.integers(np.minimum(np.maximum(2, lengths - 3), lengths - 1), lengths)
    starts = rng.integers(0, np.maximum(np.minimum(3, targets - 1), 1))
    return starts, targets


def any_window(rng: np.random.Generator, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Any training item but the first is the target, and all items before it are shown.

    Long histories are then used completely; the official window only ever has their last three items as targets.
    """
    targets = rng.integers(1, lengths)
    return np.zeros_like(targets), targets


def newer_targets(rng: np.random.Generator, lengths: np.ndarray) -> np.ndarray:
    """Positions of targets; each is drawn `FADING` times as often as the next newer one.

    Args:
        rng: The source of randomness.
        lengths: The number of training items of each row's user, at least one. Shape: [R].

    Returns:
        The positions in the training part. Shape: [R].
    """
    shares = rng.random(len(lengths)) * (1 - FADING**lengths)
    ages = (np.log1p(-shares) / np.log(FADING)).astype(int)
    return lengths - 1 - np.minimum(ages, lengths - 1)


WINDOWS: dict[str, Window] = {"any": any_window, "paper": paper_window}


class TrainingSampler:
    """Draws the training prompts of each epoch: the same ones for the same seed and epoch, on any machine.

    Args:
        dataset: The dataset, of which the training part is drawn from.
        templates: The templates of prompts.
        options: How many prompts of which kind an epoch has.
        seed: The seed of all draws.
        placeholders: The most placeholders in the place of an image, in half of the prompts; 0 for none.
    """

    def __init__(
        self, dataset: Dataset, templates: TemplateSet, options: SamplingOptions, seed: int, placeholders: int = 0
    ) -> None:
        self.options = options
        self.seed = seed
        self.placeholders = placeholders
        self.templates = {
            group: templates.of_group(group, seen=True)
            for group in (*PER_USER_GROUPS, "explanation")
            if any(t.group == group and t.task in options.tasks for t in templates.templates.values())
        }
        rows = dataset.explanations
        self.explanation_users = rows["user"].to_numpy()
        self.explanation_items = rows["item"].to_numpy()
        self.lengths = dataset.training_lengths
        per_user = dict(zip(PER_USER_GROUPS, options.samples_per_user, strict=True))
        # Whom or what each group asks about in an epoch: users, or rows of the explanations.
        self.subjects = {
            group: np.repeat(np.flatnonzero(rows["split"] == "train"), options.samples_per_explanation)
            if group == "explanation"
            else np.repeat(np.flatnonzero(self.lengths >= PER_USER_GROUPS[group]), per_user[group])
            for group in self.templates
        }
        self.window = WINDOWS[options.history_window]
        users, splits = (dataset.interactions[column].to_numpy() for column in ("user", "split"))
        self.items = dataset.interactions["item"].to_numpy()
        # Where each user's items begin, which are those to train on at first; users count from 1, entry 0 is not used.
        self.begins = np.searchsorted(users, np.arange(dataset.n_users + 1))
        training = splits == "train"
        self.negatives = Negatives(users[training], self.items[training], dataset.n_users, dataset.n_items)

    def __len__(self) -> int:
        """The number of samples per epoch."""
        total = sum(map(len, self.subjects.values()))
        return min(total, self.options.max_samples or total)

    def steps(self, batch_size: int) -> int:
        """The number of batches per epoch; the last one may be smaller."""
        return -(-len(self) // batch_size)

    def draw(self, epoch: int) -> list[Sample]:
        """The samples of one epoch, in order."""
        rng = np.random.default_rng([self.seed, epoch])
        samples = [sample for group, of in self._subjects(rng) for sample in self._draw_group(rng, group, of)]
        samples = [samples[row] for row in rng.permutation(len(samples)).tolist()]
        if self.placeholders:
            counts = rng.integers(1, self.placeholders + 1, len(samples)) * (rng.random(len(samples)) < _PLACEHOLDERS)
            for sample, count in zip(samples, counts.tolist(), strict=True):
                sample.placeholders = count
        return samples

    def _subjects(self, rng: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
        """Whom or what an epoch asks about, by group: all of it, or as many as an epoch may have."""
        total = sum(map(len, self.subjects.values()))
        kept = np.ones(total, dtype=bool)
        if len(self) < total:
            kept[rng.permutation(total)[len(self) :]] = False
        start = 0
        for group, subjects in self.subjects.items():
            yield group, subjects[kept[start : start + len(subjects)]]
            start += len(subjects)

    def _draw_group(self, rng: np.random.Generator, group: str, subjects: np.ndarray) -> Iterator[Sample]:
        """The samples of a group, drawn column by column; each column has R rows."""
        choices = self.templates[group]
        templates = [choices[number] for number in rng.integers(len(choices), size=len(subjects)).tolist()]
        histories: Iterable[np.ndarray | None] = repeat(None)
        candidates: Iterable[np.ndarray | None] = repeat(None)
        answers: Iterable[bool] = repeat(True)
        if group == "explanation":
            users, items = self.explanation_users[subjects], self.explanation_items[subjects]
            rows = subjects.tolist()
            return map(Sample, templates, users.tolist(), items.tolist(), histories, candidates, answers, rows)
        separators = rng.integers(2, size=len(subjects)).tolist()
        begins, lengths = self.begins[subjects], self.lengths[subjects]
        if group in ("next_item", "next_check"):
            starts, targets = self.window(rng, lengths)
            starts = np.maximum(starts, targets - self.options.max_history)
            edges = zip((begins + starts).tolist(), (begins + targets).tolist(), strict=True)
            histories = [self.items[start:end] for start, end in edges]
        else:
            newer = self.options.direct_targets == "newer"
            targets = newer_targets(rng, lengths) if newer else rng.integers(0, lengths)
        items = self.items[begins + targets]
        if group in ("next_check", "user_check"):
            # The target with the answer yes or, equally often, a negative, if there is any, with the answer no.
            yes = (rng.random(len(items)) < 0.5) | (self.negatives.available[subjects] == 0)
            items[~yes] = self.negatives.draw(rng, subjects[~yes], 1)[:, 0]
            answers = yes.tolist()
        elif group == "choice":
            others = self.negatives.draw(rng, subjects, self.options.train_candidates - 1)
            lists = rng.permuted(np.column_stack([others, items]), axis=1)
            candidates = lists if lists.all() else [row[row > 0] for row in lists]  # 0: a small catalogue has no more
        numbers = repeat(-1)
        return map(
            Sample, templates, subjects.tolist(), items.tolist(), histories, candidates, answers, numbers, separators
        )
