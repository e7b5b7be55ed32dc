"""Many machines, through Ray: the same way of a picture as on one, in actors that load the weights once.

Paths travel, pictures do not. What the actors have done streams back to the driver, which alone hands rows to the
ledger, the one process that holds the manifest; actors ask it before they write. When an actor dies, Ray starts another
one, and the parcel that it had in hand is done again from its beginning.
"""

from __future__ import annotations

from archivecolor.execution.ray.driver import drive

__all__ = ["drive"]
