"""bfloat16 is refused where it is imitated: before anything is trained, in one line that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
import ray.train
import torch
from vip5platform.cluster import trainable
from vip5platform.cluster.arithmetic import check_local_precision, check_precision
from vip5platform.declarations import Search, Study, choice, factor
from vip5platform.options import Options
from vip5platform.study.plan import plan_search, plan_trials

from vip5core.errors import UserError
from vip5core.home import Home

REFUSED = r"precision=bfloat16: .* neither AVX512-BF16 nor AMX.* precision=float32; use that, or GPUs"
STUDY = Study("s", "Which?", (factor("reduction_factor", 2, 4),))
BFLOAT16 = (("precision", "bfloat16"), ("image_tokens", "0"))


def be_a_machine(patch: pytest.MonkeyPatch, *, gpus: bool = False, **able: object) -> None:
    capabilities = {"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False, **able}
    patch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    patch.setattr(torch.cuda, "is_available", lambda: gpus)


def test_what_pytorch_says_of_this_cpu_has_what_is_asked_for() -> None:
    able = torch.cpu.get_capabilities()
    assert "architecture" in able
    if able["architecture"] == "x86_64":
        assert {"avx512_bf16", "amx_bf16"} <= able.keys()


def test_a_cpu_that_imitates_bfloat16_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    be_a_machine(monkeypatch)
    with pytest.raises(UserError, match=REFUSED):
        check_precision("bfloat16", on_gpu=False)
    check_precision("float32", on_gpu=False)
    check_precision("bfloat16", on_gpu=True)


@pytest.mark.parametrize("able", [{"avx512_bf16": True}, {"amx_bf16": True}, {"architecture": "aarch64"}])
def test_a_cpu_that_has_it_or_does_not_tell_is_trusted(
    monkeypatch: pytest.MonkeyPatch, able: dict[str, object]
) -> None:
    be_a_machine(monkeypatch, **able)
    check_precision("bfloat16", on_gpu=False)


def test_a_study_and_a_search_are_refused_as_they_are_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    be_a_machine(monkeypatch)
    with pytest.raises(UserError, match=REFUSED):
        plan_trials(STUDY, Options(settings=BFLOAT16))
    with pytest.raises(UserError, match=REFUSED):  # one level is enough
        plan_trials(Study("s", "Which?", (factor("precision", "float32", "bfloat16"),)), Options())
    with pytest.raises(UserError, match=REFUSED):
        plan_search(Search("s", "Which?", {"precision": choice("float32", "bfloat16")}, ("valid/loss",)), Options())
    assert plan_trials(STUDY, Options())


def test_where_trials_run_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    be_a_machine(monkeypatch, gpus=True)
    check_local_precision("bfloat16", Options())
    with pytest.raises(UserError, match=REFUSED):
        check_local_precision("bfloat16", Options(gpus_per_worker=0.0))
    be_a_machine(monkeypatch)
    check_local_precision("bfloat16", Options(address="auto"))  # other machines' CPUs are not known here


def test_a_node_of_a_cluster_refuses_its_trial_itself(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    be_a_machine(monkeypatch)
    monkeypatch.setattr(
        trainable, "TorchTrainer", lambda loop, **settings: type("Trainer", (), {"fit": staticmethod(loop)})
    )
    monkeypatch.setattr(trainable, "run_trial", lambda *given, **settings: pytest.fail("it was trained"))
    config = {"precision": "bfloat16", "image_tokens": 0}
    parameters = {"config": config, "dataset": "d", "backbone": "b", "features": None, "fingerprint": "f"}
    run = trainable.trainable(Home(tmp_path), tmp_path, 1, 1, 0.0)
    with pytest.raises(UserError, match=REFUSED):
        run({trainable.TRIAL: parameters})
    monkeypatch.setattr(trainable, "TuneReportCallback", ray.train.UserCallback)  # its own wants a session of Tune
    for without_ray in ("note_reservation", "free_reservation"):
        monkeypatch.setattr(trainable, without_ray, lambda group: None)
    monkeypatch.setattr(trainable.ray.train.torch, "get_device", lambda: torch.device("cpu"))
    run = trainable.trainable(Home(tmp_path), tmp_path, 2, 1, 0.0)
    with pytest.raises(UserError, match=REFUSED):
        run({trainable.TRIAL: parameters})
