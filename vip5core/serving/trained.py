"""A trained model, put together again from its files, that answers prompts.

Shape letters: B prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from vip5core.data.dataset import Dataset
from vip5core.data.feature_store import FeatureStore
from vip5core.decoding import BeamOptions, StepDecoder
from vip5core.errors import UserError, first_few
from vip5core.evaluation.rank import ConstrainedRanker, RankedList, offered_items, rank_allowed
from vip5core.model import load_backbone
from vip5core.prompts import Sample
from vip5core.trial.components import TrialComponents
from vip5core.trial.result import TrialResult

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class ModelFiles:
    """Where the parts of a trained model are.

    Attributes:
        trial: The folder of the trial's result, with the trained parameters.
        dataset: The folder of the dataset.
        backbone: The folder of the backbone that the trial started from.
        features: The folder of the feature store; None for a text-only model.
    """

    trial: Path
    dataset: Path
    backbone: Path
    features: Path | None


class TrainedModel:
    """A model with its trained parameters, and the items that it ranks.

    Args:
        files: Where its parts are.
        dataset: The dataset whose prompts it reads; see `open_catalogue`.
        device: Where it computes; a GPU if there is one, unless it is given.

    Raises:
        UserError: if a part cannot be read, or the parts do not belong together.
    """

    def __init__(self, files: ModelFiles, dataset: Dataset, device: torch.device | str | None = None) -> None:
        self.result = TrialResult.load(files.trial)
        # Whatever its test measured, items are ranked by their probability, and only those that exist.
        protocol = {"protocol": "constrained"} if self.result.config.protocol == "paper" else {}
        self.config = self.result.config.model_copy(update=protocol)
        features = FeatureStore.load(files.features) if files.features is not None else None
        self.components = TrialComponents(dataset, load_backbone(files.backbone), features)
        self.dataset = dataset
        self.model = self.components.model(self.config)
        weights = self.result.load_weights()
        fits = {name: parameter.shape for name, parameter in self.model.named_parameters()}
        wrong = next((name for name, tensor in weights.items() if fits.get(name) != tensor.shape), None)
        if wrong is not None:
            raise UserError(f"{str(files.trial)!r}: {wrong!r} does not fit the backbone in {str(files.backbone)!r}")
        lacking = sorted(self.model.trainable_state().keys() - weights.keys())
        if lacking:
            raise UserError(
                f"{str(files.trial)!r}: its trained parameters lack {first_few(lacking)}, which its settings train: "
                "make this folder again"
            )
        self.model.load_state_dict(weights, strict=False)
        self.model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        self.evaluator = self.components.evaluator(self.config)
        assert isinstance(self.evaluator.ranker, ConstrainedRanker)
        self._ranker = self.evaluator.ranker

    def rank(self, samples: Sequence[Sample], excluded: Sequence[np.ndarray], k: int) -> list[RankedList]:
        """The `k` most probable items for each of `samples`, all of one task, or as many as may be offered.

        Args:
            samples: The prompts. Length: B.
            excluded: The items that are not offered for each; lists of candidates are offered as they are. Length: B.
            k: The length of the longest list; more than the beams of the trial widen the search.
        """
        options = BeamOptions(max(k, self._ranker.options.num_beams), max_new_tokens=len(self._ranker.trie.widths))

        def answer(decoder: StepDecoder, rows: Sequence[int]) -> list[RankedList]:
            allowed = np.stack([offered_items(self.dataset.n_items, samples[row], excluded[row]) for row in rows])
            return rank_allowed(decoder, self._ranker.trie, allowed, options)

        return [RankedList(found.items[:k], scores=found.scores[:k]) for found in self._answer(samples, answer)]

    def explain(self, samples: Sequence[Sample]) -> list[str]:
        """The text that the model writes for each of `samples`, all of the explanation task."""
        return self._answer(samples, lambda decoder, rows: self.evaluator.texts(decoder))

    @torch.inference_mode()
    def _answer(
        self, samples: Sequence[Sample], answer: Callable[[StepDecoder, Sequence[int]], list[Answer]]
    ) -> list[Answer]:
        """The answers to `samples`, in their order; `answer` gives those to the rows that are decoded together."""
        task, answers = samples[0].template.task, dict[int, Answer]()
        for batches in self.evaluator.batches(samples, task, self.model):
            rows = [int(row) for batch in batches for row in batch.rows]
            with self.evaluator.decoding(self.model, batches, task) as (_, decoder):
                answers |= zip(rows, answer(decoder, rows), strict=True)
        return [answers[row] for row in range(len(samples))]
