"""The current schema's tree as the mapping that `federated.provenance.merkle` computes on."""

from collections import defaultdict
from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import TypeVar

from django.db.models import Q

from apps.provenance.models import Node
from federated.errors import Unavailable
from federated.provenance.merkle import Key, Nodes, keys_needed, node_key, node_place

T = TypeVar("T")


def load_nodes(keys: set[Key]) -> dict[Key, bytes]:
    """The hashes at `keys`, in one query. Raises `Unavailable` if the tree lacks one."""
    if not keys:
        return {}
    by_level: dict[int, list[int]] = defaultdict(list)
    for level, index in map(node_place, keys):
        by_level[level].append(index)
    wanted = reduce(or_, (Q(level=level, index__in=at) for level, at in by_level.items()))
    rows = Node.objects.filter(wanted).values_list("level", "index", "hash")
    nodes = {node_key(level, index): bytes(hash_) for level, index, hash_ in rows}
    missing = keys - nodes.keys()
    if missing:
        raise Unavailable(f"the log's tree lacks the node {node_place(min(missing))}")
    return nodes


def compute(computation: Callable[[Nodes], T]) -> T:
    """Run a root or proof computation on the stored tree."""
    return computation(load_nodes(keys_needed(computation)))
