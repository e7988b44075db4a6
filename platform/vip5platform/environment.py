"""Settings of our libraries that must stand in the environment before they are imported."""

from __future__ import annotations

import os
import secrets

_DEFAULTS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's own progress output: ours replaces it
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # a worker group starts 8 s faster, its metrics come 3 s sooner
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # importing torch takes a busy machine more than the usual minute
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Tune's own ends its loop as if all were well
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # no csv, json and tensorboard files: MLflow records
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "5",  # 2 + 4 + 8 + 16 + 32 s: a server may be away for a minute
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TOKENIZERS_PARALLELISM": "false",
}


def set_environment(address: str | None) -> None:
    """Quiet libraries, and a token of its own for a Ray that is started here.

    Ray asks for a token by default and would write one to `~/.ray`; a cluster that is joined has its own.
    Values that the user has set are kept.
    """
    for name, value in _DEFAULTS.items():
        os.environ.setdefault(name, value)
    if address is None:  # a Ray of our own: its C++ side prints what Ray Data's actors always make it say
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if address is None and "RAY_AUTH_TOKEN" not in os.environ and "RAY_AUTH_MODE" not in os.environ:
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
