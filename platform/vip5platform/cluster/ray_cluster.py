"""A Ray for as long as a study takes."""

from __future__ import annotations

import logging
import math
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import ray

from vip5core.errors import UserError
from vip5core.storage import process_alive


@dataclass(frozen=True)
class Resources:
    """What the cluster has, now.

    Attributes:
        cpus: of all nodes.
        gpus: of all nodes.
        cpus_per_gpu: on that node with GPUs which has the fewest.
    """

    cpus: float
    gpus: float
    cpus_per_gpu: float = math.inf

    @classmethod
    def of_cluster(cls) -> Resources:
        """Those of the Ray that this process is connected to."""
        found = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        nodes = [(resources.get("CPU", 0.0), resources.get("GPU", 0.0)) for resources in found]
        return cls(
            cpus=sum(cpus for cpus, _ in nodes),
            gpus=sum(gpus for _, gpus in nodes),
            cpus_per_gpu=min((cpus / gpus for cpus, gpus in nodes if gpus), default=0.0),
        )

    def with_nodes_to_come(self, processes: int, gpus: float) -> Resources:
        """What there is once an autoscaler has added room for `processes` with `gpus` GPUs and a CPU each."""
        return replace(self, cpus=max(self.cpus, processes), gpus=max(self.gpus, processes * gpus))


@contextmanager
def ray_session(address: str | None, cpus: int | None = None) -> Iterator[Resources]:
    """Start a Ray on this machine, or join the one at `address`; on leaving end or leave it.

    Args:
        address: of a running cluster, `auto` for this machine's.
        cpus: of a Ray started here; all by default.

    Raises:
        UserError: if there is no cluster at `address`.
    """
    # Ray's sockets lie in its temporary folder, and their paths may have 107 characters: so it is not under `--home`.
    temporary = None if address else process_folder(Path("/tmp"), "vip5-")
    try:
        if address:
            try:
                ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                reason = (str(error).splitlines() or [""])[0]
                raise UserError(
                    f"--address {address!r}: no Ray cluster there ({reason}): start one, or leave it out"
                ) from None
        else:
            ray.init(
                address="local",  # whatever RAY_ADDRESS says
                num_cpus=cpus,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _temp_dir=str(temporary),
            )
        yield Resources.of_cluster()
    finally:
        ray.shutdown()
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def process_folder(parent: Path, prefix: str) -> Path:
    """A new folder of this process; those of processes of this machine that were killed are removed."""
    prefix = f"{prefix}{socket.gethostname()}-"
    for folder in parent.glob(f"{prefix}*-*"):
        process = folder.name.removeprefix(prefix).partition("-")[0]
        if process.isdigit() and not process_alive(int(process)):
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=parent))


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Ray's libraries greet, report and print tracebacks of failed trials; we say what matters in a line ourselves."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train", "ray.data")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
