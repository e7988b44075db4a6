"""What is done to a running study: kill its driver, the process of a trial, a node, or the MLflow server."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ray.cluster_utils import Cluster
from vip5platform.tracking.recorded import default_uri

from benchmarks.local_cluster import add_node, lose_node_of, trial_processes
from vip5core.home import Home

#: Seconds that an MLflow server is down, at most.
_DOWN_S = 10.0
_STARTED_S = 300


class MlflowServer:
    """A context in which an MLflow server runs on the database of a home.

    Args:
        home: The home.
    """

    def __init__(self, home: Home) -> None:
        home.root.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        self._command += ["--workers", "1", "--backend-store-uri", default_uri(home)]
        self._command += ["--artifacts-destination", str(home.root / "artifacts")]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        deadline = time.monotonic() + _STARTED_S
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return self
            except OSError:
                time.sleep(0.2)
        self.kill()
        raise RuntimeError(f"the MLflow server did not start within {_STARTED_S} s")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self._process = subprocess.Popen(
            self._command,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )

    def kill(self) -> None:
        """Kill the server with its workers."""
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None


class Faults:
    """Injects faults.

    Args:
        cluster: The cluster that trials run on.
        server: The MLflow server.
        rng: Chooses among processes, and how long a server is down.
    """

    def __init__(self, cluster: Cluster, server: MlflowServer, rng: random.Random) -> None:
        self.cluster, self.server, self.rng = cluster, server, rng
        self.known: dict[str, Callable[[subprocess.Popen[bytes]], bool]] = {
            "driver": self._driver,
            "trial": self._trial,
            "node": self._node,
            "mlflow": self._mlflow,
        }

    def inject(self, name: str, driver: subprocess.Popen[bytes]) -> bool:
        """Do it; False if there was nothing that it could be done to."""
        return self.known[name](driver)

    def _driver(self, driver: subprocess.Popen[bytes]) -> bool:
        if driver.poll() is not None:
            return False
        driver.kill()
        driver.wait()
        return True

    def _trial(self, driver: subprocess.Popen[bytes]) -> bool:
        processes = trial_processes()
        if processes:
            self.rng.choice(processes).kill()
        return bool(processes)

    def _node(self, driver: subprocess.Popen[bytes]) -> bool:
        processes = trial_processes()
        if processes:
            lose_node_of(self.rng.choice(processes), self.cluster)
            add_node(self.cluster)
        return bool(processes)

    def _mlflow(self, driver: subprocess.Popen[bytes]) -> bool:
        self.server.kill()
        time.sleep(self.rng.uniform(0.0, _DOWN_S))
        self.server.start()
        return True
