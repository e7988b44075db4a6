"""`vip5 server`: MLflow for a cluster."""

from __future__ import annotations

import argparse
from pathlib import Path

from vip5platform.tracking.database_copies import POSTGRESQL, SQLITE
from vip5platform.tracking.server import ServerSettings, serve


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `vip5 server`."""
    parser.description = (
        "Run an MLflow server that can be left alone: it is started again when it fails, and its database is copied at "
        "regular intervals. On a new machine it begins with the newest copy. See docs/mlflow-server.md."
    )
    parser.add_argument(
        "--folder",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder on a disk of this machine, for database and secrets",
    )
    parser.add_argument(
        "--storage",
        required=True,
        metavar="DIR",
        help="what outlives this machine, artifacts and copies of the database: a folder, or s3://bucket/folder",
    )
    parser.add_argument(
        "--database",
        default=ServerSettings.database,
        metavar="KIND",
        help=f"{SQLITE} (default), {POSTGRESQL} (the server of this machine), or an address postgresql://…",
    )
    parser.add_argument(
        "--host",
        default=ServerSettings.host,
        metavar="ADDRESS",
        help=f"address to listen on (default: {ServerSettings.host}); one that others can reach needs --auth",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=ServerSettings.port,
        metavar="N",
        help=f"port to listen on (default: {ServerSettings.port})",
    )
    parser.add_argument(
        "--auth", action="store_true", help="ask for user and password; needs the packages of the extra `server`"
    )
    parser.add_argument(
        "--allowed-hosts",
        metavar="NAMES",
        help="names by which clients may reach it, joined by commas (default: localhost and private addresses)",
    )
    parser.add_argument(
        "--copy-every",
        type=float,
        default=ServerSettings.copy_every_s,
        metavar="SECONDS",
        help=f"time between two copies of the database (default: {ServerSettings.copy_every_s:g})",
    )
    parser.set_defaults(run=_server)


def _server(given: argparse.Namespace) -> int:
    names = ("folder", "storage", "database", "host", "port", "auth", "allowed_hosts")
    serve(ServerSettings(**{name: getattr(given, name) for name in names}, copy_every_s=given.copy_every))
    return 0
