"""An MLflow server that can be left alone, `vip5 server`.

It starts MLflow, starts it again when it ends or no longer answers, and copies its database at regular intervals. The
database is on a disk of this machine (`database_copies`); on a new machine it begins with the newest copy. SIGTERM
makes a last copy and ends both. What it writes is readable by its user only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from vip5core.errors import UserError
from vip5core.storage import exclusive_lock
from vip5platform.tracking.database_copies import SQLITE, DatabaseCopies, database_of
from vip5platform.tracking.ui import PORT

#: In `--folder`: what MLflow's clients read as `~/.mlflow/credentials`, and the process that holds the folder.
CREDENTIALS, PROCESS = "credentials", "server.pid"
ADMIN = "vip5"

#: Seconds between looks at MLflow, and for how long it may be silent: usually, and after its start.
_LOOK_S, _SILENT_S, _START_S = 5, 60, 180
_LONGEST_PAUSE_S = 60.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServerSettings:
    """How MLflow is served.

    Attributes:
        folder: Where the file of SQLite and secrets are, on a disk of this machine.
        storage: What outlives this machine, `copies/` of the database and `artifacts/`: a folder, or its address in an
            object store.
        database: See `database_of`.
        host: The address on which MLflow listens.
        port: The port on which it listens.
        auth: Whether it asks for user and password.
        allowed_hosts: The names by which it may be reached, as MLflow takes them; None for `localhost` and private
            addresses.
        copy_every_s: Seconds between two copies of the database.
    """

    folder: Path
    storage: str
    database: str = SQLITE
    host: str = "127.0.0.1"
    port: int = PORT
    auth: bool = False
    allowed_hosts: str | None = None
    copy_every_s: float = 900.0


class Supervisor:
    """MLflow as a child process, which is replaced when it fails.

    Args:
        command: The command that starts it.
        environment: Its environment variables.
        port: The port on which it answers.
    """

    def __init__(self, command: Sequence[str], environment: dict[str, str], port: int) -> None:
        self.command, self.environment = list(command), environment
        self.health = f"http://127.0.0.1:{port}/health"
        self.stopped = threading.Event()

    def run(self) -> None:
        """Keep it running until `stopped` is set."""
        pause = 1.0
        while not self.stopped.is_set():
            began = time.monotonic()
            why = self._run_once()
            if self.stopped.is_set():
                return
            pause = 1.0 if time.monotonic() - began > _START_S else min(2 * pause, _LONGEST_PAUSE_S)
            log(f"MLflow {why}; starts again in {pause:g} s")
            self.stopped.wait(pause)

    def _run_once(self) -> str:
        """Run it until it ends, is silent for too long, or `stopped` is set; say which."""
        process = subprocess.Popen(self.command, env=self.environment, start_new_session=True, stdin=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + _START_S
            while not self.stopped.wait(_LOOK_S):
                if (code := process.poll()) is not None:
                    return f"ended with {code}"
                if self._answers():
                    deadline = time.monotonic() + _SILENT_S
                elif time.monotonic() > deadline:
                    return "does not answer"
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            return "was stopped"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its workers, which may outlive it and hold the port
            process.wait()

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.health, timeout=_LOOK_S).close()
        except urllib.error.HTTPError as refusal:  # it answers, if only that this name is not allowed
            return refusal.code < 500
        except OSError:
            return False
        return True


def serve(settings: ServerSettings) -> None:
    """Serve until SIGTERM.

    Raises:
        UserError: if a server has the folder already, or something given is impossible.
    """
    if settings.host not in _LOOPBACK and not settings.auth:
        raise UserError(
            f"--host {settings.host}: whoever reaches this machine could change and delete runs; add --auth, or leave "
            "it at 127.0.0.1 and use a tunnel (ssh -L)"
        )
    os.umask(0o077)
    if "://" not in settings.storage:
        settings = replace(settings, storage=str(Path(settings.storage).expanduser().resolve()))
    folder = settings.folder.expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    database = database_of(settings.database, folder)
    copies = DatabaseCopies(database, f"{settings.storage}/copies")
    with exclusive_lock(folder / "server.lock", f"--folder {str(folder)!r}: another server runs there; end it first"):
        if (name := copies.restore()) is not None:
            log(f"the database begins with the copy {name}")
        supervisor = Supervisor(mlflow_command(settings, database.uri), _environment(settings, folder), settings.port)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: supervisor.stopped.set())
        (folder / PROCESS).write_text(str(os.getpid()), "utf-8")
        # In a thread, because a network's file system may keep a copy waiting for minutes.
        arguments = copies, settings.copy_every_s, supervisor.stopped
        threading.Thread(target=_copy_regularly, args=arguments, daemon=True).start()
        supervisor.run()
        (folder / PROCESS).unlink(missing_ok=True)
        _copy(copies)


def mlflow_command(settings: ServerSettings, uri: str) -> list[str]:
    """The command that starts MLflow on the database `uri`."""
    words = [sys.executable, "-m", "mlflow", "server", "--host", settings.host, "--port", str(settings.port)]
    words += ["--backend-store-uri", uri, "--artifacts-destination", f"{settings.storage}/artifacts", "--workers", "1"]
    words += ["--uvicorn-opts", "--no-access-log"]  # else each look at its health is a line
    words += ["--app-name", "basic-auth"] if settings.auth else []
    words += ["--allowed-hosts", settings.allowed_hosts] if settings.allowed_hosts else []
    # Ends MLflow if this process is killed, so that the next one finds the port free.
    return ["setpriv", "--pdeathsig", "TERM", *words] if shutil.which("setpriv") else words


def _environment(settings: ServerSettings, folder: Path) -> dict[str, str]:
    # The first halves its memory.
    fixed = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **fixed, **(_authentication(folder) if settings.auth else {})}


def _authentication(folder: Path) -> dict[str, str]:
    """The variables with which MLflow asks for a password, whose secrets are files of `folder`."""
    settings, key, credentials = folder / "auth.ini", folder / "session-key", folder / CREDENTIALS
    if not key.exists():
        _write(key, secrets.token_hex(32))
    if not credentials.exists():
        password = os.environ.get("MLFLOW_AUTH_ADMIN_PASSWORD") or secrets.token_urlsafe(24)
        _write(credentials, f"[mlflow]\nmlflow_tracking_username = {ADMIN}\nmlflow_tracking_password = {password}\n")
    password = credentials.read_text("utf-8").rpartition(" = ")[2].strip()
    users = f"sqlite:///{folder / 'auth.db'}"
    _write(settings, f"[mlflow]\ndefault_permission = READ\ndatabase_uri = {users}\nadmin_username = {ADMIN}\n")
    return {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings),
        "MLFLOW_AUTH_ADMIN_USERNAME": ADMIN,
        "MLFLOW_AUTH_ADMIN_PASSWORD": password,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": key.read_text("utf-8"),
    }


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, "utf-8")


def _copy_regularly(copies: DatabaseCopies, every_s: float, stopped: threading.Event) -> None:
    while not stopped.wait(every_s):
        _copy(copies)


def _copy(copies: DatabaseCopies) -> None:
    try:
        if not copies.database.is_empty():
            log(f"copied the database: {copies.add()}")
    except UserError as error:  # the next copy may succeed
        log(str(error))


def log(text: str) -> None:
    """Print a line with the time."""
    print(f"{datetime.now().isoformat(' ', 'seconds')} {text}", flush=True)
