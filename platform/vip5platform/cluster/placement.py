"""Where those processes of a worker group run that compute nothing: away from the head, which would hold them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray.tune import PlacementGroupFactory

from vip5platform.cluster.resources import most_resources

#: The memory of Tune's actor, Train's controller and their helpers, in bytes; `benchmarks/head_memory.py` measures it.
GROUP_MEMORY = int(1.5 * 2**30)

#: A resource that the head alone has, and the label by which Ray names each node.
_HEAD, _NODE = "node:__internal_head__", "ray.io/node-id"
_A_BIT_OF_HEAD = {_HEAD: 0.001}


@dataclass(frozen=True)
class Placement:
    """What a process that waits for a worker group asks for.

    No part of a CPU, which the group may need; as Ray needs some request, memory, or the head.

    Attributes:
        head: The id of the head, which is to be avoided; empty if there is no other node.
    """

    head: str

    @classmethod
    def on_cluster(cls) -> Placement:
        """The placement on the cluster that this process is connected to, and on the nodes that may be added to it."""
        nodes = [node for node in ray.nodes() if node["Alive"]]
        (head,) = (node for node in nodes if _HEAD in node["Resources"])
        others = [_memory(node["Resources"]) for node in nodes if node is not head]
        to_come = _memory(most_resources()) - _memory(head["Resources"])
        return cls(head["NodeID"] if max([*others, to_come]) >= GROUP_MEMORY else "")

    @property
    def of_trial(self) -> PlacementGroupFactory:
        """The request for a trial of Tune."""
        if self.head:
            return PlacementGroupFactory([{"memory": GROUP_MEMORY}], bundle_label_selector=[self._elsewhere])
        return PlacementGroupFactory([_A_BIT_OF_HEAD])

    @property
    def of_task(self) -> dict[str, Any]:
        """The request for a task, as options of `ray.remote`."""
        if self.head:
            return {"num_cpus": 0, "memory": GROUP_MEMORY, "label_selector": self._elsewhere}
        return {"num_cpus": 0, "resources": _A_BIT_OF_HEAD}

    @property
    def _elsewhere(self) -> dict[str, str]:
        return {_NODE: f"!{self.head}"}


def _memory(resources: dict[str, float]) -> float:
    return resources.get("memory", 0.0)
