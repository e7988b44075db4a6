"""`make rehearsal`: `ray up cluster.yaml` and a study on hosts and an EC2 that are simulated on this machine.

A host has processes, a disk, a network and an sshd of its own (namespaces of Linux); moto answers for EC2, EFS and IAM,
and what it calls an instance becomes a host. The page docs/cluster-aws.md is followed from a clone on one host, the
laptop: token, fields marked EDIT, `ray up`, `ray job submit`; then EC2 takes back the instance of a running trial,
the MLflow server is killed, idle nodes end, the report is fetched, `ray down`. Results are compared with those of the
same study in peace.

Needs root, iproute2, openssh-server, sudo and rsync; says so and ends elsewhere. No GPU: spot nodes offer a CPU.
It happens in namespaces of its own, so that it leaves nothing running, however it ends.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from vip5platform.environment import set_environment

#: Programs that hosts need, and the packages of Debian and Ubuntu that have them.
_NEEDED = {"ip": "iproute2", "sshd": "openssh-server", "sudo": "sudo", "rsync": "rsync", "unshare": "util-linux"}
#: Runs a command with mounts, a network, a name and processes of its own, which end with it.
_NAMESPACES = ("unshare", "-m", "-n", "-u", "-p", "--fork", "--kill-child=KILL", "--mount-proc")
#: Set in these namespaces.
_INSIDE = "VIP5_REHEARSAL"


def missing() -> list[str]:
    """What this machine lacks."""
    path = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))
    lacking = [package for program, package in _NEEDED.items() if shutil.which(program, path=path) is None]
    if os.geteuid():
        return ["root", *lacking]
    if "util-linux" not in lacking and subprocess.run([*_NAMESPACES, "true"], capture_output=True).returncode:
        lacking.append("the right to make namespaces, which containers lack unless they are privileged")
    return lacking


def main() -> None:
    """Rehearse in namespaces of its own, and leave with 1 if something was not as it should be."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rehearsal", description=__doc__)
    parser.add_argument("--folder", metavar="DIR", help="for disks and logs, which are kept there (default: a new one)")
    given = parser.parse_args()
    console = Console()
    if lacking := missing():
        console.print(f"skipped: the rehearsal needs {', '.join(lacking)}")
        return
    if _INSIDE not in os.environ:
        command = [*_NAMESPACES, sys.executable, "-m", "benchmarks.rehearsal", *sys.argv[1:]]
        os.execvpe(command[0], command, {**os.environ, _INSIDE: "1"})
    set_environment(None)  # before Ray is imported
    from benchmarks.rehearsal.steps import Rehearsal

    kept = Path(given.folder) if given.folder else None
    if kept:
        kept.mkdir(parents=True)
    folder = kept or Path(tempfile.mkdtemp(prefix="vip5-rehearsal-"))
    start = time.monotonic()

    def tell(line: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - start), 60)
        console.print(f"{minutes:3}:{seconds:02}  {line}", markup=False, soft_wrap=True)

    try:
        wrong = Rehearsal(folder.resolve(), Path(__file__).parents[2], tell).run()
    except Exception:
        tell(f"failed; disks and logs are kept in {folder}")
        raise
    if not kept:
        shutil.rmtree(folder)
    tell(f"done, {len(wrong)} mismatches")
    for line in wrong:
        console.print(f"  {line}", markup=False)
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
