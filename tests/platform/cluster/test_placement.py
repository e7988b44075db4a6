"""Where the processes of a worker group run that compute nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray._private.state import state
from vip5platform.cluster import placement, resources
from vip5platform.cluster.placement import GROUP_MEMORY, Placement
from vip5platform.cluster.resources import most_resources


def on_cluster(monkeypatch: pytest.MonkeyPatch, workers: list[float], most: dict[str, float]) -> Placement:
    """The placement on a head of 8 GB with nodes of this memory, of which an autoscaler may add more."""

    def node(name: str, alive: bool = True, **resources: float) -> dict[str, Any]:
        return {"NodeID": name, "Alive": alive, "Resources": resources}

    head = node("head", **{"node:__internal_head__": 1.0, "memory": 8.0 * 2**30})
    lost = node("lost", alive=False, memory=8.0 * 2**30)
    nodes = [lost, head, *(node(f"worker{number}", memory=memory) for number, memory in enumerate(workers))]
    monkeypatch.setattr(ray, "nodes", lambda: nodes)
    monkeypatch.setattr(placement, "most_resources", lambda: most)
    return Placement.on_cluster()


@pytest.mark.parametrize(
    ("workers", "most"),
    [
        ([GROUP_MEMORY], {}),
        ([0.0, GROUP_MEMORY], {}),
        ([], {"memory": 8 * 2**30 + GROUP_MEMORY, "CPU": 8}),  # nodes to come
    ],
)
def test_groups_avoid_the_head_where_another_node_has_room_or_will_have(monkeypatch, workers, most):
    found = on_cluster(monkeypatch, workers, most)
    assert found.of_task["label_selector"] == {"ray.io/node-id": "!head"}
    assert found.of_trial.bundles == [{"memory": GROUP_MEMORY}]


@pytest.mark.parametrize(
    ("workers", "most"),
    [
        ([], {}),  # a single machine
        ([GROUP_MEMORY - 1], {}),
        ([], {"CPU": 32, "GPU": 4}),  # an autoscaler that does not know the memory of its nodes may never add one
        ([], {"memory": 8 * 2**30 + GROUP_MEMORY - 1}),
    ],
)
def test_otherwise_they_go_to_the_head(monkeypatch, workers, most):
    found = on_cluster(monkeypatch, workers, most)
    assert "label_selector" not in found.of_task
    assert found.of_trial.bundles == [{"node:__internal_head__": 0.001}]


@pytest.mark.parametrize(
    ("kinds", "most"),
    [
        ([{"CPU": 8, "GPU": 1, "memory": 2**34}], {"CPU", "GPU", "memory"}),
        ([{"CPU": 8, "GPU": 1}], {"CPU", "GPU"}),
        ([{"CPU": 8, "GPU": 1}, {"CPU": 8, "memory": 2**34}], {"CPU", "GPU"}),
        ([{"CPU": 8, "GPU": 0}], {"CPU"}),
        ([{}], {"CPU", "GPU"}),  # a provider that does not know
        ([], set()),
    ],
)
def test_what_ray_up_has_left_on_the_head_says_what_nodes_to_come_have(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kinds: list[dict[str, int]], most: set[str]
):
    file = tmp_path / "bootstrap.yaml"
    types = {"head": {"resources": {"CPU": 0}}, **{f"kind{n}": {"resources": kind} for n, kind in enumerate(kinds)}}
    file.write_text(yaml.safe_dump({"head_node_type": "head", "available_node_types": types}))
    monkeypatch.setattr(resources, "_BY_RAY_UP", file)
    monkeypatch.setattr(state, "get_max_resources_from_cluster_config", lambda: None)
    assert most_resources() == dict.fromkeys(most, math.inf)
