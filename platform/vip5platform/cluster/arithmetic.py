"""Refuses arithmetic that the hardware can only imitate."""

from __future__ import annotations

from vip5core.errors import UserError
from vip5platform.options import Options


def check_precision(precision: str, on_gpu: bool) -> None:
    """Refuse bfloat16 on a CPU of the x86 family without instructions for it.

    There PyTorch converts each number back and forth, which takes 5 to 23 times as long as float32 and gains nothing.
    Of other families PyTorch does not say what they can do, so they are trusted.

    Args:
        precision: The `precision` of a trial.
        on_gpu: Whether the trial runs on a GPU; otherwise on a CPU of this machine.

    Raises:
        UserError: Naming the value, the rule and the ways out.
    """
    if precision != "bfloat16" or on_gpu:
        return
    import torch  # late, because a study is planned and its mistakes are found without it

    able = torch.cpu.get_capabilities()
    if able.get("architecture") == "x86_64" and not (able.get("avx512_bf16") or able.get("amx_bf16")):
        raise UserError(
            f"precision={precision}: this machine's CPU has neither AVX512-BF16 nor AMX, and would take 5 to 23 times "
            "as long as with precision=float32; use that, or GPUs"
        )


def check_local_precision(precision: str, options: Options) -> None:
    """Refuse it before anything is prepared, if trials run on this machine; on a cluster, its nodes refuse it.

    Raises:
        UserError: As `check_precision` does.
    """
    if precision != "bfloat16" or options.address is not None:
        return
    import torch

    gpus = options.gpus_per_worker
    check_precision(precision, torch.cuda.is_available() if gpus is None else gpus > 0)
