"""Hosts on one machine: each has processes, a disk, a network and a user of its own."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

#: The network of all hosts, that of EC2's default, and the address of this process in it.
_BRIDGE, GATEWAY = "vip5", "172.31.255.1"
_HOST = Path(__file__).with_name("host.sh")
_STARTED_S = 60.0


def make_network() -> None:
    """Make the network that hosts are connected to, in the namespace of this process."""
    for command in (
        "link set lo up",
        f"link add {_BRIDGE} type bridge",
        f"address add {GATEWAY}/16 dev {_BRIDGE}",
        f"link set {_BRIDGE} up",
    ):
        subprocess.run(["ip", *command.split()], check=True)


@dataclass(frozen=True)
class Machine:
    """What all hosts are made of.

    Attributes:
        folder: Where their disks lie, all but the layer of this machine's disk under them.
        checkout: A clone of the project, read only in hosts (`/srv/checkout`).
        shared: The folder that stands for the shared file system.
        ec2: The address of EC2's stand-in.
    """

    folder: Path
    checkout: Path
    shared: Path
    ec2: str

    def start(self, name: str, private: str, public: str = "", key: str = "") -> Host:
        """Start a host.

        Args:
            name: Its name.
            private: Its address in the network.
            public: A second address, by which all reach it, too.
            key: The public key with which the user `ubuntu` may log in.
        """
        folder = self.folder / name
        folder.mkdir()
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "FOLDER": str(folder),
            "CHECKOUT": str(self.checkout),
            "SHARED": str(self.shared),
            "ENVIRONMENT": sys.prefix,
            "PYTHON": os.path.realpath(sys.executable),
            "NAME": name,
            "PRIVATE": private,
            "PUBLIC": public,
            "KEY": key,
            "EC2": self.ec2,
        }
        # Namespaces of mounts, network, names, processes and ipc; its processes end with `unshare`.
        command = ["unshare", "-m", "-n", "-u", "-i", "-p", "--fork", "--kill-child=KILL", "bash", str(_HOST)]
        with (folder / "host.log").open("w") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        host = Host(name, folder, process)
        host.connect()
        return host


@dataclass
class Host:
    """A running host.

    Attributes:
        name: Its name.
        folder: Where its disk and its log lie.
        process: That in which all its processes end.
    """

    name: str
    folder: Path
    process: subprocess.Popen[bytes]
    _link: str = field(init=False)

    def __post_init__(self) -> None:
        self._link = f"h{self.process.pid}"  # names of links have at most 15 characters

    def connect(self) -> None:
        """Connect it to the network, and wait until it answers to ssh."""
        own, theirs = Path("/proc/self/ns/net"), Path(f"/proc/{self.process.pid}/ns/net")
        self._until(lambda: theirs.readlink() != own.readlink())
        link = f"link add {self._link} type veth peer name eth0 netns {self.process.pid}"
        for command in (link, f"link set {self._link} master {_BRIDGE} up"):
            subprocess.run(["ip", *command.split()], check=True)
        self._until(lambda: "Server listening" in (self.folder / "host.log").read_text())

    def run(self, command: str, timeout: float | None = None) -> str:
        """Run a command as its user, in a new login shell in the folder of the project, and return what it prints.

        Raises:
            RuntimeError: It failed; has the last of what it printed.
        """
        (first,) = psutil.Process(self.process.pid).children()
        inside = ["nsenter", "--target", str(first.pid), "--all", "--", "runuser", "-l", "ubuntu", "-c"]
        with (self.folder / "commands.log").open("ab") as log:
            start = log.tell()
            done = subprocess.run(
                [*inside, f"cd vip5 2> /dev/null; {command}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                timeout=timeout,
                check=False,
            )
        printed = (self.folder / "commands.log").read_bytes()[start:].decode(errors="replace")
        if done.returncode:
            raise RuntimeError(f"{shlex.quote(command)} left with {done.returncode} on {self.name}:\n{printed[-3000:]}")
        return printed

    def processes(self) -> Iterator[psutil.Process]:
        """All of its processes."""
        if self.process.poll() is None:
            yield from psutil.Process(self.process.pid).children(recursive=True)

    def power_off(self) -> None:
        """End all of its processes at once, and take it off the network."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        subprocess.run(["ip", "link", "delete", self._link], check=False, capture_output=True)

    def _until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _STARTED_S
        while not done():
            log = (self.folder / "host.log").read_text()
            if self.process.poll() is not None:
                raise RuntimeError(f"the host {self.name} ended: {log[-1000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"the host {self.name} did not start within {_STARTED_S:.0f} s: {log[-1000:]}")
            time.sleep(0.1)
