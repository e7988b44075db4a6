"""Optimiser and schedule: AdamW, linear warm-up and decay, clipped gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vip5core.config import OptimOptions
from vip5core.model import RMSNorm, is_layer_norm

_BETAS = (0.9, 0.999)


class Optimizer:
    """AdamW with its schedule, stepping the trainable parameters of a model.

    Args:
        model: The model, of which the parameters with `requires_grad` are trained.
        options: The learning rates, the weight decay and the clipping.
        total_steps: The number of steps of the whole training, for the schedule.
    """

    def __init__(self, model: nn.Module, options: OptimOptions, total_steps: int) -> None:
        self.options = options
        norms = {
            id(parameter)
            for module in model.modules()
            if is_layer_norm(module) or isinstance(module, RMSNorm)
            for parameter in module.parameters()
        }
        tables = {
            id(module.weight)
            for name, module in model.named_modules()
            if isinstance(module, nn.Embedding) and not name.endswith("relative_attention_bias")
        }
        named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in named]
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, p in named:
            exempt = name.endswith("bias") or (id(p) in norms and not options.decay_norms)
            rate = options.learning_rate * (options.embedding_rate if id(p) in tables else 1.0)
            groups.setdefault((rate, 0.0 if exempt else options.weight_decay), []).append(p)
        self.adam = torch.optim.AdamW(
            [{"params": ps, "lr": rate, "weight_decay": decay} for (rate, decay), ps in groups.items()],
            betas=_BETAS,
            fused=True,
        )
        self.total_steps = total_steps
        self.warmup_steps = int(total_steps * options.warmup)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.adam, self._rate)

    def _rate(self, step: int) -> float:
        """The learning rate of a step, as a share of the peak rate."""
        if step < self.warmup_steps:
            return step / self.warmup_steps
        return max(0.0, (self.total_steps - step) / max(self.total_steps - self.warmup_steps, 1))

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step, for all parameters but embedding tables."""
        return self.options.learning_rate * self._rate(self.schedule.last_epoch)

    def step(self) -> Tensor:
        """Clip gradients, update parameters, advance the schedule; returns the norm of the gradient before clipping."""
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self.options.clip)
        # Epsilon is added before bias correction (the "epsilon hat" of Kingma and Ba, 2015, section 2), as the
        # `transformers.AdamW` of the official code did; torch adds it after. At 1e-6, the official value, it drowns the
        # small gradients of tokens that are rare in a batch: a backbone trained from scratch then learns nothing of its
        # items but their popularity.
        correction = 1.0 - _BETAS[1] ** (self.schedule.last_epoch + 1)
        for group in self.adam.param_groups:
            group["eps"] = self.options.adam_epsilon / math.sqrt(correction)
        self.adam.step()
        self.schedule.step()
        self.adam.zero_grad(set_to_none=True)
        return norm

    def state_dict(self) -> dict[str, object]:
        return {"adam": self.adam.state_dict(), "schedule": self.schedule.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.adam.load_state_dict(state["adam"])
        self.schedule.load_state_dict(state["schedule"])
