"""What a page shows, independent of its form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vip5core.data.dataset import Dataset
from vip5core.serving import Case, TrainedModel, answer_cases, nearest_items, questions_about
from vip5core.vocabulary import RANKING_TASKS
from vip5platform.serving.show.choose import verdict
from vip5platform.serving.show.slices import SliceGain

#: Nearest items of a target.
_NEAREST = 5


@dataclass(frozen=True)
class Asked:
    """One task of one user.

    Attributes:
        task: The task.
        cases: The case of each model, in the order of the page.
        nearest: The nearest items of the target in training.
    """

    task: str
    cases: Sequence[Case]
    nearest: Sequence[int]

    @property
    def item(self) -> int:
        """The target, or what an explanation is about."""
        return self.cases[0].sample.item

    @property
    def is_ranking(self) -> bool:
        return self.task in RANKING_TASKS


@dataclass(frozen=True)
class Person:
    """One user.

    Attributes:
        user: The number of the user.
        raw_id: The id of the source.
        name: The name that prompts use.
        history: The items before those of the test, in time order.
        asked: The tasks.
    """

    user: int
    raw_id: str
    name: str
    history: Sequence[int]
    asked: Sequence[Asked]

    @property
    def verdicts(self) -> list[str]:
        """What the first ranking task came to with each model; empty without one."""
        ranking = next((asked for asked in self.asked if asked.is_ranking), None)
        return [verdict(case.rank) for case in ranking.cases] if ranking else []


@dataclass(frozen=True)
class Show:
    """The content of a page.

    Attributes:
        models: The name of each model.
        dataset: Their dataset.
        people: The users in their order.
        slices: Who gains and who loses; empty for one model.
        whole_prompts: Whether long prompts are shown to their last word.
    """

    models: Sequence[str]
    dataset: Dataset
    people: Sequence[Person]
    slices: Sequence[SliceGain] = ()
    whole_prompts: bool = False


def gather(trained: Sequence[TrainedModel], users: Sequence[int], tasks: Sequence[str]) -> list[Person]:
    """Ask each model about each of `users`, who stay in this order, without those whom the test does not ask."""
    dataset = trained[0].dataset
    by_user: dict[int, list[Asked]] = {user: [] for user in users}
    for task in tasks:
        answers = [answer_cases(model, questions_about(model, task, users)) for model in trained]
        near = nearest_items(dataset, {case.sample.item for case in answers[0]}, _NEAREST)
        for cases in zip(*answers, strict=True):
            by_user[cases[0].sample.user].append(Asked(task, cases, near[cases[0].sample.item]))
    histories = _histories(dataset, users)
    raw_ids, names = (dataset.users[column].to_numpy() for column in ("raw_id", "name"))
    return [
        Person(user, raw_ids[user - 1], names[user - 1], histories.get(user, []), asked)
        for user, asked in by_user.items()
        if asked
    ]


def _histories(dataset: Dataset, users: Sequence[int]) -> dict[int, list[int]]:
    """The items of each user before the test; users whose first item is in the test are left out."""
    rows = dataset.interactions
    before = rows[rows["user"].isin(users) & (rows["split"] != "test")]
    found: dict[int, list[int]] = before.groupby("user")["item"].agg(list).to_dict()  # type: ignore[assignment]
    return found
