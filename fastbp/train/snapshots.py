"""Snapshots and copies of trainers, and the average of what they train."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fastbp.engine.blocks import Block, Snapshot
from fastbp.errors import ConfigError

if TYPE_CHECKING:
    from fastbp.model.network import Network

Own = TypeVar("Own", bound="Snapshots")


class Snapshots:
    """A trainer of one network."""

    net: Any
    _average: Block | None = None  # a running average of the parameters
    _averaged: Network | None = None  # the network that has it
    _still: Sequence[str] = ()  # parameters that are not trained

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

    @property
    def averaged(self) -> Network:
        """A network with the running average of the parameters, which training continues to update."""
        if self._average is None:
            raise ConfigError("`averaged` needs a Trainer with `ema`")
        with self.net.lock:
            found = self._averaged or self.net.sharing(self._average)
            self._averaged = found
            found.parameters.version += 1  # changed by steps
            for name in self._still:  # frozen ones are not averaged
                found.parameters[name] = self.net.parameters[name]
            return found

    @property
    def evaluated(self) -> Network:
        """The network used for validation: `averaged` with an `ema`, otherwise `net`."""
        return self.net if self._average is None else self.averaged
