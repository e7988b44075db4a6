"""cluster.yaml: valid for Ray, the same on every node, and free of secrets. No network, no boto3."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from vip5platform.analysis.record import HEAD_LOG

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "cluster.yaml").read_text()
GUIDE = (ROOT / "docs" / "cluster.md").read_text()


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The file as `ray up` sees it, filled out with Ray's defaults."""
    monkeypatch.chdir(ROOT)
    prepared: dict[str, Any] = prepare_config(yaml.safe_load(TEXT))
    return prepared


def test_ray_accepts_it(cluster):
    validate_config(cluster)


def test_the_head_runs_no_trials_and_gpus_are_spot_machines_that_come_and_go(cluster):
    nodes = cluster["available_node_types"]
    head = nodes.pop(cluster["head_node_type"])
    assert head["resources"]["CPU"] == 0
    assert not head["resources"].get("GPU")
    assert "InstanceMarketOptions" not in head["node_config"]  # it holds the driver and MLflow: never taken away
    for node in nodes.values():
        assert node["min_workers"] == 0
        assert 0 < node["max_workers"] <= cluster["max_workers"]
        assert node["resources"]["GPU"] >= 1
        assert node["resources"]["CPU"] >= 2 * node["resources"]["GPU"]  # beside a trial, decoding needs one
        assert node["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
    assert 0 < cluster["idle_timeout_minutes"] <= 30


def test_nodes_are_alike_where_they_must_be(cluster):
    head, *workers = (node["node_config"] for node in cluster["available_node_types"].values())
    for key in ("ImageId", "SecurityGroupIds", "BlockDeviceMappings"):
        assert all(worker[key] == head[key] for worker in workers)
    # Commands of a single node type would replace those of all.
    assert not any("initialization_commands" in node for node in cluster["available_node_types"].values())


@pytest.mark.parametrize("commands", ["head_setup_commands", "worker_setup_commands"])
def test_every_node_installs_this_project_in_the_pinned_versions(cluster, commands):
    install = next(command for command in cluster[commands] if "pip install" in command)
    assert "-c constraints.txt" in install
    assert "-e ." in install
    folder = "/home/ubuntu" + install.partition("cd ~")[2].split()[0]
    for needed in _needed_to_install():
        assert any(mount == f"{folder}/{needed}" for mount in cluster["file_mounts"]), f"{needed} is not copied"


def _needed_to_install() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    tops = {package.partition("/")[0] for package in packages}
    return [*tops, "pyproject.toml", "constraints.txt", project["project"]["readme"]]


def test_what_is_copied_exists_and_leaves_out_environments_and_results(cluster):
    for mount, source in cluster["file_mounts"].items():
        if not source.startswith(("~", ".git/")):  # a checkout may be a worktree, whose .git is elsewhere
            assert (ROOT / source).exists(), f"{mount} from {source}"
    assert {".venv/", "runs/"} <= set(cluster["rsync_exclude"])


def test_the_nodes_know_the_commit(cluster):
    assert cluster["file_mounts"][f"/home/ubuntu/vip5/{HEAD_LOG}"] == ".git/logs/HEAD"


def test_every_node_mounts_the_storage_that_the_guide_uses(cluster):
    mounts = " ".join(cluster["initialization_commands"])
    assert "sudo mount /shared" in mounts
    assert f".efs.{cluster['provider']['region']}.amazonaws.com:/ /shared nfs4" in mounts
    homes = re.findall(r"--home (\S+)", GUIDE.replace("`--home`", ""))
    homes = [home for home in homes if home.startswith("/")]
    assert homes
    assert all(home.startswith("/shared/") for home in homes)
    server = " ".join(cluster["head_start_ray_commands"])
    assert "sqlite:////shared/" in server
    assert "--artifacts-destination /shared/" in server


def test_the_mlflow_server_is_small_and_where_the_guide_looks_for_it(cluster):
    server = next(command for command in cluster["head_start_ray_commands"] if "mlflow server" in command)
    assert "--workers 1" in server
    assert "MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false" in server
    port = re.search(r"--port (\d+)", server)
    assert port is not None
    assert f"--tracking-uri http://localhost:{port[1]}" in GUIDE
    assert f"--port-forward {port[1]}" in GUIDE


def test_the_guides_command_asks_for_gpus_by_number():
    command = next(line for line in GUIDE.split("\n\n") if "--address auto" in line and "python sweeps/" in line)
    assert "--gpus-per-worker" in command


def test_ray_asks_every_node_for_the_same_token_which_is_not_in_the_file(cluster):
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in cluster["initialization_commands"])
    assert "RAY_AUTH_TOKEN" not in TEXT


@pytest.mark.parametrize("text", [TEXT, GUIDE], ids=["cluster.yaml", "docs/cluster.md"])
def test_there_are_no_secrets_and_nobodys_account(text):
    assert not re.search(r"AKIA|ASIA|PRIVATE KEY|aws_secret|password\s*[:=]", text)
    assert not re.search(r"\b[0-9a-f]{32,}\b", text)
    for identity in re.findall(r"\b(?:ami|sg|fs|subnet|vpc)-([0-9a-f]+)\b", text):
        assert set(identity) == {"0"}, "an id of somebody's account: keep the placeholder"
