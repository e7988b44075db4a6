"""What is rehearsed: the pages of docs/ are followed, machines are lost, and results are compared."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil
from vip5platform.tracking.recorded import default_uri

from benchmarks.rehearsal.cloud import ADDRESS, REGION, ZONE, Instances, api, client
from benchmarks.rehearsal.hosts import Host, Machine, make_network
from benchmarks.survival.compare import differing_runs, differing_trials
from vip5core.home import Home

#: A study of three trials, which is the same in peace and on the cluster.
_STUDY = (
    "vip5 run image-token-ablation --levels image_tokens=0,1,2 --dataset minimart:40 --epochs 20 --p5-epochs 1 "
    "--baselines popularity --set test_users=20 validation_users=10 train_candidates=5 num_beams=10 max_target_tokens=8"
)
#: The page that a user follows, and the command there which enters what is marked `EDIT`.
PAGE, ENTER = Path("docs/cluster-aws.md"), "sed -i.before "
#: Two spot nodes, without the GPU that no simulated host has, which end soon, so that this is seen.
ONLY_HERE = {
    'resources: {"CPU": 8, "GPU": 1}': 'resources: {"CPU": 1, "GPU": 0}',
    "    max_workers: 4": "    max_workers: 2",
    "idle_timeout_minutes: 10": "idle_timeout_minutes: 1",
}
Found = TypeVar("Found")

#: Seconds within which each step has to be done.
_PATIENCE_S = 1200.0


@dataclass
class Rehearsal:
    """A run of all steps.

    Args:
        folder: For everything that is written.
        checkout: The root of the checkout whose last commit is rehearsed.
        tell: Takes a line about each step.
    """

    folder: Path
    checkout: Path
    tell: Callable[[str], None]

    def run(self) -> list[str]:
        """Do all steps.

        Returns:
            What was not as it should be, a line each.

        Raises:
            RuntimeError: A step failed or took too long.
        """
        shared, clone = self.folder / "shared", self.folder / "checkout"
        shared.mkdir()
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", self.checkout, clone], check=True)
        make_network()
        self.tell("the same study, in peace")
        peace = Home(self.folder / "peace")
        self._in_peace(clone, peace)
        machine = Machine(self.folder, clone, shared, ADDRESS)
        keys = self.folder / "laptop" / "upper" / "home" / "ubuntu" / ".ssh"
        with api(), Instances(machine, keys, self.tell) as instances:
            laptop = machine.start("laptop", "172.31.255.2")
            try:
                self._follow_the_page(laptop, clone)
                self._lose_machines(laptop, instances, shared)
                wrong = self._carry_home(laptop, instances)
            finally:
                laptop.power_off()
        self.tell("results are compared")
        wrong += differing_trials(peace, Home(shared / "runs"))
        return wrong + differing_runs(default_uri(peace), _copy_of_database(shared))

    def _in_peace(self, clone: Path, home: Home) -> None:
        command = [sys.executable, "-m", "vip5platform.cli", *shlex.split(_STUDY)[1:], "--home", str(home)]
        paths = os.pathsep.join((str(clone / "platform"), str(clone)))
        with (self.folder / "peace.log").open("w") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": paths})

    def _follow_the_page(self, laptop: Host, clone: Path) -> None:
        """From a clone to a running cluster."""
        laptop.run(
            "cp -r /srv/checkout vip5 && python3 -m venv ~/venv && echo 'PATH=$HOME/venv/bin:$PATH' >> ~/.profile"
        )
        laptop.run("pip install -q --disable-pip-version-check -c constraints.txt -e '.[server]'")
        laptop.run("(umask 077; RAY_AUTH_MODE=token ray get-auth-token --generate > /dev/null)")
        entered = " ".join(f"{name}={value}" for name, value in _account().items())
        laptop.run(f"export {entered}\n{command_of(clone / PAGE, ENTER)}")
        for text, other in ONLY_HERE.items():
            laptop.run(
                f"grep -qF {shlex.quote(text)} cluster.yaml && sed -i {shlex.quote(f's/{text}/{other}/')} cluster.yaml"
            )
        self.tell("ray up cluster.yaml")
        laptop.run("! grep -q '00000000' cluster.yaml && ray up -y cluster.yaml", _PATIENCE_S)

    def _lose_machines(self, laptop: Host, instances: Instances, shared: Path) -> None:
        """Submit the study; take back the instance of a trial in the middle, and kill the MLflow server."""
        self.tell("ray job submit")
        options = "--address auto --home /shared/runs --tracking-uri http://localhost:5000"
        submit = f"ray job submit --no-wait --submission-id rehearsal -- {_STUDY} {options}"
        laptop.run(f"ray exec cluster.yaml {shlex.quote(submit)}", _PATIENCE_S)
        head = instances.running()[0]
        lost = self._wait(instances, "a trial in the middle", lambda: _trials_in_the_middle(shared, instances))[0]
        self.tell(f"EC2 takes back {instances.hosts[lost].name}, where a trial is in the middle")
        instances.terminate(lost)
        server = _mlflow_server(instances.hosts[head])
        self.tell("the MLflow server is killed")
        server.kill()
        self._wait(instances, "the end of the study", lambda: "RUNNING" not in self._status(laptop))
        log = laptop.run("ray exec cluster.yaml 'ray job logs rehearsal'")
        (self.folder / "study.log").write_text(log)
        for line in re.findall(r"(?m)^.*(?:↻|warning:|waiting for).*$", log):
            self.tell(f"the study said: {line.strip()}")
        if "succeeded" not in self._status(laptop):
            raise RuntimeError(f"the study failed: {log[-3000:]}")
        if "↻" not in log:
            raise RuntimeError(f"no trial was restarted: {log[-3000:]}")

    def _carry_home(self, laptop: Host, instances: Instances) -> list[str]:
        """Fetch the report, end MLflow and the cluster."""
        self._wait(instances, "idle nodes to end", lambda: len(instances.running()) == 1)
        laptop.run("ray rsync-down cluster.yaml /shared/runs/reports/ reports/")
        laptop.run("ls reports/*/*.html reports/*.html 2> /dev/null | grep -q .")
        laptop.run("ray exec cluster.yaml '~/vip5/cluster/mlflow.sh stop'")
        self.tell("ray down cluster.yaml")
        laptop.run("ray down -y cluster.yaml", _PATIENCE_S)
        self._wait(instances, "all hosts to end", lambda: not instances.hosts)
        return [f"EC2 still runs {name}" for name in instances.running()]

    def _status(self, laptop: Host) -> str:
        return laptop.run("ray exec cluster.yaml 'ray job status rehearsal'")

    def _wait(self, instances: Instances, what: str, done: Callable[[], Found]) -> Found:
        """Ask until the answer is not empty."""
        deadline = time.monotonic() + _PATIENCE_S
        while not (found := done()):
            if instances.error:
                raise instances.error
            if time.monotonic() > deadline:
                raise RuntimeError(f"waited {_PATIENCE_S:.0f} s for {what}; logs are in {self.folder}")
            time.sleep(0.5)
        return found


def _account() -> dict[str, str]:
    """What the page's commands find out or create in an account, by the names that it gives them."""
    ec2 = client("ec2")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    group = ec2.create_security_group(GroupName="vip5", Description="VIP5 studies", VpcId=vpc)["GroupId"]
    permissions = [{"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": group}]}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=permissions)
    return {
        "AWS_DEFAULT_REGION": REGION,
        "ZONE": ZONE,
        "GROUP": group,
        "EFS": client("efs").create_file_system(Encrypted=True)["FileSystemId"],
        "IMAGE": ec2.describe_images()["Images"][0]["ImageId"],
    }


def command_of(page: Path, start: str) -> str:
    """The command of a page that starts so, with the lines that continue it."""
    lines = page.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip().startswith(start))
    indent = len(lines[first]) - len(lines[first].lstrip())
    after = (number for number in range(first + 1, len(lines)) if not lines[number].startswith(" " * (indent + 1)))
    return "\n".join(line.strip() for line in lines[first : next(after, len(lines))])


def _trials_in_the_middle(shared: Path, instances: Instances) -> list[str]:
    """The instances that run a trial, once each of these has written a checkpoint."""
    running = [
        name
        for name, host in list(instances.hosts.items())
        if any("ImplicitFunc" in _command_line(process) for process in host.processes())
    ]
    checkpoints = list((shared / "runs" / "trials").glob("*.running.pt"))
    return running if len(checkpoints) >= len(running) else []


def _mlflow_server(head: Host) -> psutil.Process:
    """The first process of the MLflow server."""
    return next(process for process in head.processes() if "mlflow server" in _command_line(process))


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def _copy_of_database(shared: Path) -> str:
    """The address of the newest copy of MLflow's database."""
    copy = max((shared / "mlflow" / "copies").glob("*.db"), key=lambda path: path.stat().st_mtime)
    return f"sqlite:///{copy}"
