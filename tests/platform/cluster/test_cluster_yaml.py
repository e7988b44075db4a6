"""Clusters that `ray up` starts: valid for Ray, the same on every node, and free of secrets. No network, no boto3."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from vip5platform.analysis.record import HEAD_LOG

ROOT = Path(__file__).parents[3]
#: The file of a cluster and its page.
CLUSTERS = {
    "cluster.yaml": "docs/cluster-aws.md",
    "cluster/gcp.yaml": "docs/cluster-gcp.md",
    "cluster/own-machines.yaml": "docs/cluster-own-machines.md",
}
TEXT = (ROOT / "cluster.yaml").read_text()
GUIDE = (ROOT / CLUSTERS["cluster.yaml"]).read_text()
#: What `ray up` calls once it has an account.
NEEDED_OF_EC2 = {"DescribeInstances", "RunInstances", "CreateTags", "TerminateInstances"}


def prepared_config(name: str) -> dict[str, Any]:
    """A file as `ray up` sees it, filled out with Ray's defaults."""
    prepared: dict[str, Any] = prepare_config(yaml.safe_load((ROOT / name).read_text()))
    return prepared


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(ROOT)
    return prepared_config("cluster.yaml")


@pytest.mark.parametrize("name", CLUSTERS)
def test_ray_accepts_it(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    validate_config(prepared_config(name))


@pytest.mark.parametrize("name", CLUSTERS)
def test_all_install_start_and_copy_the_same(name, cluster):
    other = yaml.safe_load((ROOT / name).read_text())
    same = yaml.safe_load(TEXT)
    assert other["setup_commands"] == same["setup_commands"]
    assert other["worker_start_ray_commands"] == same["worker_start_ray_commands"]
    assert other["head_start_ray_commands"][1:] == same["head_start_ray_commands"][1:]
    user = other["auth"]["ssh_user"]
    mounts = {
        target.replace(f"/home/{user}/", "/home/ubuntu/"): source for target, source in other["file_mounts"].items()
    }
    assert mounts == same["file_mounts"]


@pytest.mark.parametrize("name", CLUSTERS)
def test_mlflow_has_its_database_on_the_heads_disk_and_is_reached_through_the_head_alone(name):
    """The script leaves host and folder at their defaults, which test_server.py tries."""
    (line,) = (
        line for line in yaml.safe_load((ROOT / name).read_text())["head_start_ray_commands"] if "mlflow" in line
    )
    script, database, storage = line.split()[1:]
    assert (ROOT / script.removeprefix("~/vip5/")).is_file()
    assert database == "sqlite"
    assert storage.endswith("/mlflow")
    page = (ROOT / CLUSTERS[name]).read_text()
    assert "--tracking-uri http://localhost:5000" in page
    assert "cluster/mlflow.sh stop" in page


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_page_submits_studies_as_jobs_and_never_prints_the_token(name):
    page = (ROOT / CLUSTERS[name]).read_text()
    assert f"ray exec {name} 'ray job submit --no-wait" in page
    assert "ray job logs --follow" in page
    for made in re.findall(r".*get-auth-token.*", page + TEXT):
        assert made.rstrip(")").endswith("> /dev/null")


def test_the_guides_command_fills_in_all_that_is_marked(tmp_path):
    words = re.search(r'sed -i\.before "(.*?)" cluster\.yaml', GUIDE, re.DOTALL)
    assert words is not None
    values = {"ZONE": "eu-west-1b", "AWS_DEFAULT_REGION": "eu-west-1", "IMAGE": "ami-1", "GROUP": "sg-2", "EFS": "fs-3"}
    copy = tmp_path / "cluster.yaml"
    copy.write_text(TEXT)
    subprocess.run(["bash", "-c", f'sed -i "{words[1]}" {copy}'], env={**os.environ, **values}, check=True)
    filled = yaml.safe_load(copy.read_text())
    assert filled["provider"]["region"] == "eu-west-1"
    assert filled["provider"]["availability_zone"] == "eu-west-1b"
    node = filled["available_node_types"]["gpu"]["node_config"]
    assert (node["ImageId"], node["SecurityGroupIds"]) == ("ami-1", ["sg-2"])
    assert "fs-3.efs.eu-west-1.amazonaws.com" in " ".join(filled["initialization_commands"])


def statements(name: str) -> list[dict[str, Any]]:
    """The statements of a policy, with their actions as lists."""
    found = json.loads((ROOT / "cluster" / name).read_text())["Statement"]
    return [
        {**part, "Action": [part["Action"]] if isinstance(part["Action"], str) else part["Action"]} for part in found
    ]


def actions(parts: list[dict[str, Any]]) -> set[str]:
    return {action for part in parts for action in part["Action"]}


def test_the_policy_of_the_head_lets_it_end_the_nodes_of_this_cluster_alone():
    parts = statements("aws-head-policy.json")
    ec2 = {action.removeprefix("ec2:") for action in actions(parts) if action.startswith("ec2:")}
    assert ec2 >= NEEDED_OF_EC2
    assert not any("*" in action for action in actions(parts))
    (ending,) = (part for part in parts if "ec2:TerminateInstances" in part["Action"])
    name = yaml.safe_load(TEXT)["cluster_name"]
    assert ending["Condition"] == {"StringEquals": {"ec2:ResourceTag/ray-cluster-name": name}}
    assert all("Condition" in part for part in parts if "ec2:CreateTags" in part["Action"])
    botocore = pytest.importorskip("botocore.session")
    assert ec2 <= set(botocore.get_session().get_service_model("ec2").operation_names)


def test_the_policy_of_the_bucket_grants_what_a_home_needs():
    parts = statements("aws-bucket-policy.json")
    assert actions(parts) == set(re.findall(r"`(s3:\w+)`", (ROOT / "docs" / "object-store.md").read_text()))
    assert all(part["Resource"].startswith("arn:aws:s3:::BUCKET") for part in parts)


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


def test_the_guides_command_asks_for_gpus_by_number():
    command = next(line for line in GUIDE.split("\n\n") if "--address auto" in line and "vip5 run" in line)
    assert "--gpus-per-worker" in command


def test_ray_asks_every_node_for_the_same_token_which_is_not_in_the_file(cluster):
    assert cluster["file_mounts"]["/home/ubuntu/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in cluster["initialization_commands"])
    assert "RAY_AUTH_TOKEN" not in TEXT


@pytest.mark.parametrize(
    "path",
    sorted(
        str(path.relative_to(ROOT))
        for path in [
            *(ROOT / "docs").glob("cluster*.md"),
            ROOT / "cluster.yaml",
            *(path for path in (ROOT / "cluster").rglob("*") if path.is_file()),
        ]
    ),
)
def test_there_are_no_secrets_and_nobodys_account(path):
    text = (ROOT / path).read_text()
    assert not re.search(r"AKIA|ASIA|PRIVATE KEY|aws_secret|password\s*[:=]\s*\w{6,}", text)
    assert not re.search(r"\b[0-9a-f]{32,}\b", text)
    for identity in re.findall(r"\b(?:ami|sg|fs|subnet|vpc)-([0-9a-f]+)\b", text):
        assert set(identity) == {"0"}, "an id of somebody's account: keep the placeholder"
