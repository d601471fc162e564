"""The current schema's log as static tiles: C2SP tlog-tiles (https://c2sp.org/tlog-tiles).

A tile is up to 256 consecutive hashes of one level, 8 levels of the tree apart; an entry bundle is
the same leaves' data. Nothing past the newest checkpoint is served, so a tile never changes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.db.models import Max

from apps.provenance.models import Checkpoint, Leaf, Node
from federated.errors import NotFound

WIDTH = 256
HEIGHT = 8
HIGHEST = 63
_INDEX = re.compile(r"(?P<index>(?:x[0-9]{3}/)*[0-9]{3})(?:\.p/(?P<width>[1-9][0-9]{0,2}))?")


@dataclass(frozen=True)
class Place:
    """Tile number `index` of a level (of the entry bundles: level 0), `width` hashes of it."""

    level: int
    index: int
    width: int

    @property
    def start(self) -> int:
        return self.index * WIDTH

    @classmethod
    def parse(cls, level: str, path: str) -> Place:
        """Parse ``<L>`` (or ``entries``) and ``<N>[.p/<W>]``. Raises NotFound otherwise."""
        found = _INDEX.fullmatch(path)
        number = "0" if level == "entries" else level
        if found is None or not re.fullmatch(r"0|[1-9][0-9]?", number) or int(number) > HIGHEST:
            raise NotFound("There is no such tile.")
        index = int(found["index"].replace("x", "").replace("/", ""))
        width = int(found["width"] or WIDTH)
        if index_path(index) != found["index"] or (found["width"] and width >= WIDTH):
            raise NotFound("There is no such tile.")
        return cls(int(number), index, width)


def index_path(index: int) -> str:
    """``x001/x234/067`` for 1234067."""
    digits = str(index)
    parts = re.findall("...", digits.zfill(-(-len(digits) // 3) * 3))
    return "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])


def tile(place: Place) -> bytes:
    """The hashes of a tile, 32 bytes each. Raises NotFound for one that is not (yet) there."""
    _available(place)
    rows = Node.objects.filter(
        level=HEIGHT * place.level, index__gte=place.start, index__lt=place.start + place.width
    )
    return b"".join(bytes(row) for row in rows.order_by("index").values_list("hash", flat=True))


def entries(place: Place) -> bytes:
    """The data of a tile's leaves, each after its length in two bytes. Raises NotFound."""
    _available(place)
    rows = Leaf.objects.filter(
        log_index__gte=place.start, log_index__lt=place.start + place.width
    ).order_by("log_index")
    found = [bytes(row) for row in rows.values_list("event__canonical", flat=True)]
    return b"".join(len(data).to_bytes(2, "big") + data for data in found)


def _available(place: Place) -> None:
    size = Checkpoint.objects.aggregate(size=Max("size"))["size"] or 0
    if place.start + place.width > size >> HEIGHT * place.level:
        raise NotFound("There is no such tile.")
