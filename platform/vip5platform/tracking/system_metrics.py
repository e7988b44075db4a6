"""The use of this machine in the runs of trials, by MLflow's own monitor."""

from __future__ import annotations

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor


class SystemMetrics:
    """One monitor for each running trial; it ends within its interval (10 s) after the run has ended.

    Args:
        uri: The tracking server or database.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._monitored: set[str] = set()

    def start(self, run: str) -> None:
        """Log the use of CPUs, memory, disk and network (of GPUs with nvidia-ml-py) in `run` as `system/` metrics."""
        if run not in self._monitored:  # one whose process was lost goes on in the same run
            self._monitored.add(run)
            SystemMetricsMonitor(run, resume_logging=True, tracking_uri=self._uri).start()
