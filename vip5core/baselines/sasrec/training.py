"""Training of SASRec, with early stopping on validation.

The loss is the cross-entropy over the whole catalogue, not against one sampled negative as in the paper: that gives a
much stronger recommender (Klenitskiy & Vasilev, "Turning Dross Into Gold Loss", 2023), and a baseline should be strong.

Shape letters: B users, L items of a history, D width, N scored positions.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from vip5core.baselines.identity import SasrecOptions
from vip5core.baselines.sasrec.network import SasrecModel
from vip5core.data.dataset import Dataset
from vip5core.errors import DivergedError
from vip5core.metrics import UNRANKED, metric, rank_by_score
from vip5core.profiling import Stopwatch
from vip5core.progress import Progress, no_progress
from vip5core.prompts import GroupingCosts, group_by_length

#: The fixed cost of a micro-batch, in items.
_OVERHEAD_ITEMS = 200

#: The number of scores computed at a time, positions times items: 16 MB of float32.
_SCORES_AT_A_TIME = 2**22

#: The number of users scored at a time.
USERS_AT_A_TIME = 256

_SELECT_BY = "valid/sequential/ndcg_at_10"


@dataclass(frozen=True)
class FittedSasrec:
    """A trained SASRec.

    Attributes:
        model: The network, with the weights of the best epoch.
        options: The options that it was trained with.
        best_epoch: The epoch with the best validation NDCG@10, counted from 1.
        history: The `epoch`, `train/loss` (nats per item) and `valid/sequential/…` metrics of each epoch.
        stopwatch: The seconds of training and validation.
    """

    model: SasrecModel
    options: SasrecOptions
    best_epoch: int
    history: list[dict[str, float]]
    stopwatch: Stopwatch

    def scores(self, histories: Sequence[np.ndarray]) -> Tensor:
        """Score every item as the next one of each history.

        Args:
            histories: The items of each user, at least one, oldest first; only the newest `max_history` count.

        Returns:
            The scores, on the CPU; entry 0 is minus infinity. Shape: [B, items + 1].
        """
        return _scores(self.model, histories, self.options.max_history)


def train_sasrec(
    dataset: Dataset,
    options: SasrecOptions,
    device: torch.device | str = "cpu",
    progress: Progress = no_progress,
    *,
    exclude_history: bool = True,
) -> FittedSasrec:
    """Train on the training part of each history, and keep the epoch that ranks the validation items best.

    The test items are never read. On a CPU the same seed gives the same numbers, bit for bit.

    Args:
        dataset: The dataset to train on.
        options: The options of the network and its training.
        device: The device of the network.
        progress: Called after each epoch with the epochs done, their largest number, and the latest metrics.
        exclude_history: Whether items of the user's history are left out of the validation ranking.

    Raises:
        DivergedError: if the loss is not finite.
    """
    device, stopwatch = torch.device(device), Stopwatch()
    users = np.flatnonzero(dataset.training_lengths >= 2).tolist()  # a history and a target
    training = [dataset.training_history(user)[-options.max_history - 1 :] for user in users]
    rng = np.random.default_rng(options.seed)
    history: list[dict[str, float]] = []
    best_epoch, best_state = 0, {}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(options.seed)
        model = SasrecModel(dataset.n_items, options).to(device)
        optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate)
        for epoch in range(1, options.epochs + 1):
            with stopwatch.measure("train", device):
                loss = _train_epoch(model, training, optimizer, options.batch_size, rng)
            if not math.isfinite(loss):
                raise DivergedError(f"SASRec's loss is {loss} in epoch {epoch}: try a lower learning rate")
            with stopwatch.measure("validation", device):
                metrics = _validate(model, dataset, options, exclude_history)
            history.append({"epoch": float(epoch), "train/loss": loss, **metrics})
            if not best_epoch or metrics[_SELECT_BY] > history[best_epoch - 1][_SELECT_BY]:
                best_epoch, best_state = epoch, copy.deepcopy(model.state_dict())
            best = history[best_epoch - 1][_SELECT_BY]
            progress(epoch, options.epochs, f"loss {loss:.2f}, best validation NDCG@10 {best:.4f}")
            if epoch - best_epoch >= options.patience:
                break
    model.load_state_dict(best_state)
    return FittedSasrec(model, options, best_epoch, history, stopwatch)


def _train_epoch(
    model: SasrecModel,
    training: list[np.ndarray],
    optimizer: torch.optim.Optimizer,
    batch_size: int,
    rng: np.random.Generator,
) -> float:
    """Train on all users once, in a new order; returns the mean loss per item."""
    model.train()
    total, count = 0.0, 0
    order = rng.permutation(len(training))
    for start in range(0, len(order), batch_size):
        users = order[start : start + batch_size]
        lengths = np.array([len(training[user]) - 1 for user in users])
        items = int(lengths.sum())
        optimizer.zero_grad()
        # Micro-batches of similar length save padding; their gradients add up to that of the batch.
        for group in group_by_length(lengths, GroupingCosts(_OVERHEAD_ITEMS)):
            total += _backward(model, [training[users[row]] for row in group], items)
        optimizer.step()
        count += items
    return total / count


def _backward(model: SasrecModel, sequences: list[np.ndarray], items: int) -> float:
    """Add the gradient of the sequences' loss, divided by `items`; returns their summed loss.

    Logits are computed for real positions only, one chunk at a time: the gradient of each chunk is added to the states'
    before the next chunk is scored, and goes from there through the blocks once.
    """
    histories, lengths = _pad([sequence[:-1] for sequence in sequences], model)
    targets, _ = _pad([sequence[1:] for sequence in sequences], model)
    real = targets > 0
    states = model(histories, lengths)[real]  # [N, D]
    leaf = states.detach().requires_grad_()
    total = 0.0
    for rows in _chunks(len(leaf), len(model.items.weight)):
        logits = leaf[rows] @ model.items.weight[1:].T  # [chunk, items]
        loss = functional.cross_entropy(logits, targets[real][rows] - 1, reduction="sum")
        (loss / items).backward()
        total += loss.item()
    states.backward(leaf.grad)
    return total


def _pad(histories: Sequence[np.ndarray], model: SasrecModel) -> tuple[Tensor, Tensor]:
    """Pad histories with 0 at the end into one tensor, with their lengths. Shapes: [B, L] and [B]."""
    device = model.items.weight.device
    rows = [torch.from_numpy(np.asarray(history, dtype=np.int64)) for history in histories]
    lengths = torch.tensor([len(row) for row in rows])
    return nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device), lengths.to(device)


def _chunks(n: int, n_items: int) -> Iterator[slice]:
    size = max(1, _SCORES_AT_A_TIME // n_items)
    return (slice(start, start + size) for start in range(0, n, size))


@torch.inference_mode()
def _scores(model: SasrecModel, histories: Sequence[np.ndarray], max_history: int) -> Tensor:
    """See `FittedSasrec.scores`. Shape: [B, items + 1]."""
    model.eval()
    padded, lengths = _pad([history[-max_history:] for history in histories], model)
    states = model(padded, lengths)[torch.arange(len(lengths), device=lengths.device), lengths - 1]  # [B, D]
    scores = states @ model.items.weight.T
    scores[:, 0] = -torch.inf
    return scores.cpu()


def _validate(model: SasrecModel, dataset: Dataset, options: SasrecOptions, exclude_history: bool) -> dict[str, float]:
    """The metrics of the validation items of all who are asked, ranked among all items."""
    rng = np.random.default_rng(options.seed)
    ranks = []
    asked = dataset.asked_users("valid").tolist()
    for start in range(0, len(asked), USERS_AT_A_TIME):
        users = asked[start : start + USERS_AT_A_TIME]
        histories = [dataset.before(user, "valid") for user in users]
        scores = _scores(model, histories, options.max_history).numpy()
        for user, history, mine in zip(users, histories, scores, strict=True):
            allowed, target = np.ones(dataset.n_items + 1, dtype=bool), dataset.target(user, "valid")
            allowed[0] = False
            if exclude_history:
                allowed[history] = False
            ranks.append(rank_by_score(target, mine, np.flatnonzero(allowed), rng) if allowed[target] else UNRANKED)
    rows = pd.DataFrame({"rank": ranks})
    return {name: metric(name).value(rows) for name in ("valid/sequential/hit_rate_at_10", _SELECT_BY)}
