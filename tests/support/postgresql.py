"""A PostgreSQL server of one's own, of Debian's package or whatever is on the path."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgresql_server() -> Iterator[Callable[[str, str], str]]:
    """Run a server that listens on a socket alone, with the current user as its owner; the environment leads there.

    Yields:
        A function that runs SQL in a database, and returns what `psql` prints.
    """
    places = [*sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin"))), os.environ["PATH"]]
    path = os.pathsep.join(places)
    if not shutil.which("initdb", path=path):
        pytest.skip("PostgreSQL is not installed (Debian's package `postgresql`)")
    # It refuses to run as root; the paths of sockets are short.
    as_user = ["setpriv", "--reuid=nobody", "--clear-groups", "--"] if os.getuid() == 0 else []
    data = Path(tempfile.mkdtemp(prefix="vip5-pg-"))
    if as_user:
        shutil.chown(data, "nobody")
    owner = pwd.getpwuid(os.getuid()).pw_name
    environment = {**os.environ, "PATH": path}

    def run(*words: str) -> str:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, cwd="/")
        assert done.returncode == 0, f"{words}: {done.stdout} {done.stderr}"
        return done.stdout.strip()

    def psql(sql: str, database: str) -> str:
        return run("psql", "-h", str(data), "-d", database, "-Atc", sql)

    control = [*as_user, "pg_ctl", "-D", f"{data}/data", "-w"]
    with pytest.MonkeyPatch.context() as patch:
        try:
            run(*as_user, "initdb", "--no-sync", "--auth=trust", f"--username={owner}", f"{data}/data")
            run(*control, "-l", f"{data}/log", "-o", f"-c listen_addresses= -k {data}", "start")
            patch.setenv("PGHOST", str(data))
            patch.setenv("PGUSER", owner)
            yield psql
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], env=environment, capture_output=True, check=False)
            shutil.rmtree(data)
