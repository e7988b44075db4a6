"""Starts or joins a Ray cluster for the duration of a study."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vip5core.errors import UserError, first_line
from vip5core.storage import machine_name, process_alive
from vip5platform.cluster.resources import ClusterResources

#: A folder of another machine in which nothing was written for so long belongs to no living process.
_ABANDONED_S = 7 * 86_400
#: How often a start is tried: on a busy machine a process of Ray may need more than the 30 s that Ray gives it.
_ATTEMPTS = 2


@contextmanager
def ray_session(address: str | None, cpus: int | None = None) -> Iterator[ClusterResources]:
    """Start Ray on this machine, or join the cluster at `address`; on exit shut down or disconnect.

    Args:
        address: The address of a running cluster, or `auto` for one on this machine; None starts one.
        cpus: The CPUs of a cluster started here; all by default.

    Raises:
        UserError: If there is no cluster at `address`, or none can be started.
    """
    import ray  # late, because a session of a finished study starts none, and this takes a second

    # Ray's sockets are in its temporary folder and their paths are limited to 107 characters, so it is not in --home.
    temporary = None if address else make_process_folder(Path("/tmp"), "vip5-")
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    # Ray prints every loss of a process or node, and every wait for one; the observers do that.
    ray._private.worker._worker_logs_enabled = False
    try:
        with _muted_stderr():
            if address:
                _join(address, quiet)
            else:
                _start(cpus, {"_temp_dir": str(temporary), **quiet})
        yield ClusterResources.of_cluster(may_grow=bool(address))
    finally:
        ray.shutdown()
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def _start(cpus: int | None, options: dict[str, Any]) -> None:
    import ray

    for attempts_left in reversed(range(_ATTEMPTS)):
        try:  # "local" ignores RAY_ADDRESS
            ray.init(address="local", num_cpus=cpus, include_dashboard=False, **options)
            return
        except Exception as error:  # of no class of its own: a process of Ray was too slow
            ray.shutdown()
            if not attempts_left:
                raise UserError(
                    f"Ray did not start on this machine ({first_line(error)}): it may be too busy, or short of memory; "
                    "run the same command again when it is not, or join a cluster by --address"
                ) from None


def _join(address: str, options: dict[str, Any]) -> None:
    import ray

    try:
        ray.init(address=address, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--address {address!r}: no Ray cluster there ({first_line(error)}); start one, or omit the option"
        ) from None


@contextmanager
def _muted_stderr() -> Iterator[None]:
    """Discard what Ray's C++ code writes to stderr in the block: that the log level was set."""
    sys.stderr.flush()
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)


def make_process_folder(parent: Path, prefix: str) -> Path:
    """Make a folder for this process, and remove those of killed processes.

    Whether a process of another machine lives cannot be asked: its folder goes when nothing was written there for days.
    """
    host = machine_name()
    for folder in parent.glob(f"{prefix}*"):
        maker = re.fullmatch(r"(.+)-(\d+)-\w{8}", folder.name.removeprefix(prefix))  # as below
        if maker is None:
            continue
        at_home = maker[1] == host
        if not process_alive(int(maker[2])) if at_home else _last_written(folder) < time.time() - _ABANDONED_S:
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{host}-{os.getpid()}-", dir=parent))


def _last_written(folder: Path) -> float:
    """When something in a folder was written last, in seconds of the epoch; now if it is going."""
    try:
        return max(path.stat().st_mtime for path in [folder, *folder.rglob("*")])
    except OSError:
        return time.time()


@contextmanager
def quiet_ray() -> Iterator[None]:
    """Silence the loggers of Ray's libraries; failures are reported in one line by the observers."""
    loggers = [logging.getLogger(name) for name in ("ray", "ray.tune", "ray.train", "ray.data")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
