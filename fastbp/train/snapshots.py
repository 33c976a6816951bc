"""Snapshots and copies of trainers."""

from __future__ import annotations

import copy
from typing import Any, TypeVar

from fastbp.engine.blocks import Block, Snapshot
from fastbp.errors import ConfigError

Own = TypeVar("Own", bound="Snapshots")


class Snapshots:
    """A trainer of one network."""

    net: Any
    _average: Block | None = None  # a running average of the parameters

    def __copy__(self: Own) -> Own:
        return copy.deepcopy(self)

    def snapshot(self, into: Snapshot | None = None) -> Snapshot:
        """A copy of the parameters, running statistics and running average, for `restore`."""
        net = self.net
        blocks = [net.parameters.block, net.states.block, *([] if self._average is None else [self._average])]
        with net.lock:
            return Snapshot(blocks) if into is None else into.take()

    def restore(self, snapshot: Snapshot) -> None:
        """Restore a snapshot."""
        if not isinstance(snapshot, Snapshot) or not snapshot.has(self.net.parameters.block):
            raise ConfigError("snapshot", "must be one of this trainer's")
        with self.net.parameters.changing():
            snapshot.put_back()
