"""What a worker group has reserved on the cluster, freed by its next attempt.

Ray Train frees it when its controller ends in order. If the controller is lost, a helper of Train's does, which asks
Ray's dashboard whether the controller lives: there may be none, and where several Rays run on a machine it finds none.
The next attempt would wait for ever. So each group notes its reservation in the store that all processes of a cluster
share, and an attempt begins by freeing what the one before has left.
"""

from __future__ import annotations

import pickle

import ray
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_put
from ray.util.placement_group import get_current_placement_group, remove_placement_group

_NAMESPACE = b"vip5-reservations"


def note_reservation(group: str) -> None:
    """Note what has been reserved for the worker group of this process, by the name of the group."""
    _internal_kv_put(_key(group), pickle.dumps(get_current_placement_group()), namespace=_NAMESPACE)


def free_reservation(group: str) -> None:
    """Free what was noted for a group that has ended, with all of its processes; nothing if it is free already."""
    noted = _internal_kv_get(_key(group), namespace=_NAMESPACE)
    if noted is not None:
        remove_placement_group(pickle.loads(noted))
        _internal_kv_del(_key(group), namespace=_NAMESPACE)


def _key(group: str) -> bytes:
    """Of this driver's: another may train a trial of the same name on the cluster, for another home."""
    return f"{ray.get_runtime_context().get_job_id()}/{group}".encode()
