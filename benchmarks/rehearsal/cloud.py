"""An EC2 whose instances are hosts on this machine: moto answers its API, and a thread does what it says."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3

from benchmarks.rehearsal.hosts import GATEWAY, Host, Machine

REGION, ZONE = "us-west-2", "us-west-2a"
ADDRESS = f"http://{GATEWAY}:5555"
_STARTED_S = 60.0
#: Between two looks at what the API says.
_LOOK_S = 1.0


@contextlib.contextmanager
def api() -> Iterator[None]:
    """Run moto's server at `ADDRESS`."""
    command = [sys.executable, "-m", "moto.server", "-H", GATEWAY, "-p", ADDRESS.rpartition(":")[2]]
    # With Amazon's own policies, two of which Ray gives to the head.
    environment = {**os.environ, "MOTO_IAM_LOAD_MANAGED_POLICIES": "true"}
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        deadline = time.monotonic() + _STARTED_S
        while True:
            try:
                urllib.request.urlopen(f"{ADDRESS}/moto-api/", timeout=5).close()
                break
            except OSError:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise
                time.sleep(0.2)
        yield
    finally:
        server.kill()
        server.wait()


def client(service: str) -> Any:
    """A client of one of its services."""
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=ADDRESS,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


class Instances:
    """Starts a host for each instance that is to run, and ends those of terminated ones.

    Args:
        machine: What hosts are made of.
        keys: Where the private keys are that the laptop has made, of which instances get the public one.
        tell: Takes a line for each host that is started or ended.
    """

    def __init__(self, machine: Machine, keys: Path, tell: Callable[[str], None]) -> None:
        self.machine, self.keys, self.tell = machine, keys, tell
        self.hosts: dict[str, Host] = {}
        self.error: Exception | None = None
        self._ended: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="instances")

    def __enter__(self) -> Instances:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        for host in self.hosts.values():
            host.power_off()

    def running(self) -> list[str]:
        """The ids of instances that EC2 calls running."""
        return [found["InstanceId"] for found in self._described() if found["State"]["Name"] == "running"]

    def terminate(self, instance: str) -> None:
        """Take an instance back, as EC2 does with spot instances."""
        client("ec2").terminate_instances(InstanceIds=[instance])

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                for instance in self._described():
                    self._follow(instance)
            except Exception as error:  # raised by whoever waits for something
                self.error = error
                return

    def _follow(self, instance: dict[str, Any]) -> None:
        name, state = instance["InstanceId"], instance["State"]["Name"]
        if state == "running" and name not in self.hosts and name not in self._ended:
            private = instance["PrivateIpAddress"]
            host = "ip-" + private.replace(".", "-")
            market = instance.get("InstanceLifecycle", "on demand")
            self.hosts[name] = self.machine.start(host, private, instance.get("PublicIpAddress", ""), self._key())
            self.tell(f"EC2 starts {host} ({instance['InstanceType']}, {market})")
        elif state in ("shutting-down", "terminated") and name in self.hosts:
            host = self.hosts.pop(name)
            self._ended.add(name)
            host.power_off()
            self.tell(f"EC2 has ended {host.name}")

    @staticmethod
    def _described() -> list[dict[str, Any]]:
        reservations = client("ec2").describe_instances()["Reservations"]
        return [instance for reservation in reservations for instance in reservation["Instances"]]

    def _key(self) -> str:
        """The public key of the laptop's."""
        (key,) = self.keys.glob("*.pem")
        return subprocess.run(["ssh-keygen", "-y", "-f", str(key)], check=True, capture_output=True, text=True).stdout
