"""moto's S3 server as a process of its own, which can be told to fail: `python -m support.object_store FOLDER`."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

#: The files whose presence makes the server answer with an error, and the start of that answer.
DOWN, REFUSING = "down", "refusing"
_ERRORS = {DOWN: ("503 Slow Down", "SlowDown"), REFUSING: ("403 Forbidden", "AccessDenied")}
_PORT = "port"


class StoreServer:
    """A server that keeps its objects in memory, with one bucket.

    Attributes:
        folder: Where it can be told to fail, by the files `DOWN` and `REFUSING`.
        environment: The variables with which clients find it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._count = folder, itertools.count()
        paths = [str(Path(__file__).parents[1]), *filter(None, sys.path)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "support.object_store", str(folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while not (folder / _PORT).is_file():
            assert self._process.poll() is None, "the server ended"
            time.sleep(0.05)
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{(folder / _PORT).read_text()}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        urllib.request.urlopen(urllib.request.Request(f"{self.environment['AWS_ENDPOINT_URL']}/vip5", method="PUT"))

    def new_folder(self) -> str:
        """The address of an unused folder."""
        return f"s3://vip5/runs-{next(self._count)}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()


def _serve(folder: Path) -> None:
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    moto: Any = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        for name, (status, code) in _ERRORS.items():
            if (folder / name).exists():
                start(status, [("Content-Type", "application/xml")])
                return [f"<Error><Code>{code}</Code><Message>{name}</Message></Error>".encode()]
        return moto(environ, start)

    server = make_server("127.0.0.1", 0, answer, threaded=True)
    ready = folder / f"{_PORT}.part"
    ready.write_text(str(server.port))
    ready.rename(folder / _PORT)
    server.serve_forever()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
