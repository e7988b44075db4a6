"""Environment variables of libraries, which must be set before these are imported."""

from __future__ import annotations

import os
import secrets

#: Makes glibc keep what a process frees, in one pool for all threads. By default each large tensor is mapped
#: afresh, and touching its pages for the first time takes a third of a training step on a CPU. glibc reads this when a
#: process starts: Ray's workers inherit it.
KEEP_FREED_MEMORY = ":".join(
    f"glibc.malloc.{name}={value}"
    for name, value in {
        "arena_max": 1,  # the pools of threads are cut into 64 MB and given back piece by piece
        "mmap_max": 0,  # a large block with a mapping of its own would be unmapped when freed
        "trim_threshold": 2**31 - 1,
        "top_pad": 64 * 2**20,
    }.items()
)

_DEFAULTS = {
    "GLIBC_TUNABLES": KEEP_FREED_MEMORY,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # silences lines of core_worker.cc, which Ray Data's actors always cause
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's progress output, which ours replaces
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # a worker group starts 8 s sooner, its metrics 3 s
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # importing torch can exceed the default of 60 s
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's handler ends its loop without an error
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no CSV, JSON and TensorBoard files: MLflow has it all
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",  # 2 + 4 + 8 + 16 + 32 s: tolerates a server that is down for a minute
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


def set_environment(address: str | None) -> None:
    """Silence libraries, and set an authentication token for a Ray cluster that is started here.

    By default Ray would write a token to `~/.ray`; a cluster that is joined has its own. Variables that the user has
    set are kept.

    Args:
        address: The address of the cluster to join; None if one is started here.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if address is None and "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
