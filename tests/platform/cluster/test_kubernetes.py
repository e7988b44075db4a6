"""The manifests for Kubernetes say what KubeRay and MLflow need, and fit each other."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from support.imports import ROOT

FOLDER = ROOT / "cluster" / "kubernetes"


def manifests(name: str) -> dict[str, Any]:
    """The objects of a file by their kind."""
    return {document["kind"]: document for document in yaml.safe_load_all((FOLDER / name).read_text())}


CLUSTER = manifests("raycluster.yaml")["RayCluster"]
JOB = manifests("rayjob.yaml")["RayJob"]
MLFLOW = manifests("mlflow.yaml")
GROUPS = [CLUSTER["spec"]["headGroupSpec"], *CLUSTER["spec"]["workerGroupSpecs"]]


def container(group: dict[str, Any]) -> dict[str, Any]:
    (only,) = group["template"]["spec"]["containers"]
    return dict(only)


def environment(of: dict[str, Any]) -> dict[str, Any]:
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in of["env"]}


def test_required_fields_are_there():
    assert CLUSTER["apiVersion"] == JOB["apiVersion"] == "ray.io/v1"
    for group in CLUSTER["spec"]["workerGroupSpecs"]:
        assert {"groupName", "minReplicas", "maxReplicas", "template"} <= set(group)
        assert 0 == group["minReplicas"] < group["maxReplicas"]
    assert CLUSTER["spec"]["enableInTreeAutoscaling"]


def test_the_version_of_ray_is_the_one_of_the_image():
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert CLUSTER["spec"]["rayVersion"] == pinned[1]


def test_the_head_runs_no_trials_and_workers_have_gpus():
    head, *workers = GROUPS
    assert head["rayStartParams"]["num-cpus"] == "0"
    for group in GROUPS:
        of = container(group)["resources"]
        assert of["requests"] == of["limits"]  # Ray takes the limits for what there is
    assert all(container(group)["resources"]["limits"]["nvidia.com/gpu"] >= 1 for group in workers)


def test_ray_asks_for_a_token_which_is_in_no_file():
    assert CLUSTER["spec"]["authOptions"] == {"mode": "token"}
    assert not any("RAY_AUTH" in text for text in (path.read_text() for path in FOLDER.iterdir()))


def test_the_driver_alone_has_mlflows_password_and_from_the_secret():
    head, *workers = (environment(container(group)) for group in GROUPS)
    secret = {"secretKeyRef": {"name": "vip5-mlflow", "key": "password"}}
    assert head["MLFLOW_TRACKING_PASSWORD"] == secret
    assert not any("PASSWORD" in name for worker in workers for name in worker)
    server = container(MLFLOW["Deployment"]["spec"])
    assert environment(server)["MLFLOW_AUTH_ADMIN_PASSWORD"] == secret


def test_the_server_is_found_under_a_name_that_it_answers_to():
    pod = MLFLOW["Deployment"]["spec"]["template"]
    server = container(MLFLOW["Deployment"]["spec"])
    arguments = dict(word.removeprefix("--").partition("=")[::2] for word in server["args"][1:])
    service = MLFLOW["Service"]
    (port,) = service["spec"]["ports"]
    assert f"{service['metadata']['name']}:{port['port']}" in arguments["allowed-hosts"].split(",")
    assert f"http://{service['metadata']['name']}:{port['port']}" in JOB["spec"]["entrypoint"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    assert "auth" in arguments
    (mount,) = server["volumeMounts"]
    assert arguments["folder"].startswith(mount["mountPath"])
    assert arguments["storage"].startswith("s3://")
    assert MLFLOW["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}


def test_a_study_is_submitted_to_this_cluster_with_a_home_in_a_bucket():
    assert JOB["spec"]["clusterSelector"] == {"ray.io/cluster": CLUSTER["metadata"]["name"]}
    assert "backoffLimit" not in JOB["spec"]  # KubeRay refuses it for a cluster that is there
    assert "--home s3://" in JOB["spec"]["entrypoint"]
    assert "--address auto" in JOB["spec"]["entrypoint"]


@pytest.mark.parametrize("name", ["raycluster.yaml", "mlflow.yaml"])
def test_what_is_to_be_filled_in_is_marked(name):
    for line in (FOLDER / name).read_text().splitlines():
        assert not re.search(r"\b(IMAGE|BUCKET)\b", line) or "# EDIT" in line
