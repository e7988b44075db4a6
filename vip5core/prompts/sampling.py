"""The prompts that an epoch trains on, and those that an evaluation asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from vip5core.config import SamplingOptions
from vip5core.data.dataset import Dataset
from vip5core.prompts.prompt import Sample
from vip5core.templates import Template, TemplateSet

PER_USER_GROUPS = ("next_item", "next_check", "user_check", "choice")

Window = Callable[[np.random.Generator, np.ndarray], tuple[np.ndarray, int]]


def paper_window(rng: np.random.Generator, training: np.ndarray) -> tuple[np.ndarray, int]:
    """The official window: the target is one of the last three training items, the start one of the first three.

    Args:
        rng: The source of randomness.
        training: The training part of a user's items, at least two.

    Returns:
        The history to show and the target.
    """
    n = len(training)
    target = int(rng.integers(min(max(2, n - 3), n - 1), n))
    start = int(rng.integers(0, max(min(3, target - 1), 1)))
    return training[start:target], int(training[target])


def any_window(rng: np.random.Generator, training: np.ndarray) -> tuple[np.ndarray, int]:
    """Any training item but the first is the target, and all items before it are shown.

    Long histories are then used completely; the official window only ever has their last three items as targets.
    """
    target = int(rng.integers(1, len(training)))
    return training[:target], int(training[target])


WINDOWS: dict[str, Window] = {"any": any_window, "paper": paper_window}


class TrainingSampler:
    """Draws the training prompts of each epoch: the same ones for the same seed, epoch and step, on any machine."""

    def __init__(self, dataset: Dataset, templates: TemplateSet, options: SamplingOptions, seed: int) -> None:
        self.dataset = dataset
        self.options = options
        self.seed = seed
        self.templates = {
            group: templates.of_group(group, seen=True)
            for group in (*PER_USER_GROUPS, "explanation")
            if any(t.group == group and t.task in options.tasks for t in templates.templates.values())
        }
        rows = dataset.explanations
        self.explanation_rows = np.flatnonzero(rows["split"] == "train")
        self.explanation_users = rows["user"].to_numpy()
        self.explanation_items = rows["item"].to_numpy()
        self.window = WINDOWS[options.history_window]
        self.groups = list(self.templates)
        kinds, subjects = [], []
        for kind, group in enumerate(self.groups):
            if group == "explanation":
                who = self.explanation_rows
            else:
                each = options.samples_per_user[PER_USER_GROUPS.index(group)]
                who = np.repeat(np.arange(1, dataset.n_users + 1), each)
            kinds.append(np.full(len(who), kind))
            subjects.append(who)
        self.kinds, self.subjects = np.concatenate(kinds), np.concatenate(subjects)

    def __len__(self) -> int:
        """The number of samples per epoch."""
        return len(self.kinds)

    def steps(self, batch_size: int) -> int:
        """The number of batches per epoch; the last one may be smaller."""
        return -(-len(self) // batch_size)

    def epoch(self, epoch: int, batch_size: int) -> Iterator[list[Sample]]:
        """The batches of one epoch, in order."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self))
        for step in range(self.steps(batch_size)):
            rng = np.random.default_rng([self.seed, epoch, step + 1])  # numpy pads with zeros: 0 is the order's stream
            rows = order[step * batch_size : (step + 1) * batch_size]
            yield [self._draw(rng, self.groups[self.kinds[row]], int(self.subjects[row])) for row in rows]

    def _draw(self, rng: np.random.Generator, group: str, subject: int) -> Sample:
        choices = self.templates[group]
        template = choices[int(rng.integers(len(choices)))]
        separator = int(rng.integers(2))
        if group == "explanation":
            user, item = int(self.explanation_users[subject]), int(self.explanation_items[subject])
            return Sample(template, user, item, explanation_row=subject)
        training = self.dataset.history(subject)[:-2]
        if group in ("next_item", "next_check"):
            history, target = self.window(rng, training)
            history = history[-self.options.max_history :]
            if group == "next_item":
                return Sample(template, subject, target, history=history, separator=separator)
            item, yes = self._offer(rng, training, target)
            return Sample(template, subject, item, history=history, answer=yes, separator=separator)
        target = int(training[rng.integers(len(training))])
        if group == "user_check":
            item, yes = self._offer(rng, training, target)
            return Sample(template, subject, item, answer=yes)
        negatives = self._negatives(
            rng, training, min(self.options.train_candidates - 1, self.dataset.n_items - len(training))
        )
        candidates = rng.permutation(np.append(negatives, target))
        return Sample(template, subject, target, candidates=candidates, separator=separator)

    def _offer(self, rng: np.random.Generator, training: np.ndarray, target: int) -> tuple[int, bool]:
        """The target with the answer yes or, equally often, a negative with the answer no."""
        if rng.random() < 0.5:
            return target, True
        return int(self._negatives(rng, training, 1)[0]), False

    def _negatives(self, rng: np.random.Generator, training: np.ndarray, count: int) -> np.ndarray:
        """`count` distinct items outside the user's training part.

        Held-out items are among them: an item that is never a negative would be revealed by its absence.
        """
        allowed = np.ones(self.dataset.n_items + 1, dtype=bool)
        allowed[0], allowed[training] = False, False
        drawn = rng.integers(1, self.dataset.n_items + 1, 2 * count + 8)
        fresh = list(dict.fromkeys(drawn[allowed[drawn]].tolist()))
        if len(fresh) < count:  # a small catalogue: draw from the complement itself
            return rng.permutation(np.flatnonzero(allowed))[:count]
        return np.array(fresh[:count])


def evaluation_samples(
    dataset: Dataset, template: Template, split: str, subjects: Sequence[int] | np.ndarray, max_history: int
) -> list[Sample]:
    """The prompts that ask for the held-out items of `split`.

    Args:
        dataset: The dataset whose held-out items are asked for.
        template: The template of the prompts, which has no yes/no answer.
        split: The split of the held-out items, `valid` or `test`.
        subjects: The users; for an explanation template, rows of `dataset.explanations`.
        max_history: The number of the newest items of a history that are shown.

    Raises:
        ValueError: if the template asks for a yes/no answer, which cannot be ranked.
    """
    users, items = dataset.explanations["user"].to_numpy(), dataset.explanations["item"].to_numpy()
    samples = []
    for subject in map(int, subjects):
        match template.group:
            case "next_item":
                history = dataset.before(subject, split)[-max_history:]
                samples.append(Sample(template, subject, dataset.target(subject, split), history=history))
            case "choice":
                candidates = dataset.candidates(subject, split)
                samples.append(Sample(template, subject, dataset.target(subject, split), candidates=candidates))
            case "explanation":
                user, item = int(users[subject]), int(items[subject])
                samples.append(Sample(template, user, item, explanation_row=subject))
            case group:
                raise ValueError(f"template {template.id} of group {group!r} has no answer that can be ranked")
    return samples
