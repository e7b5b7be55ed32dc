"""Many machines, through Ray. Actors load the weights once and colour pictures as one machine does.

Paths are sent, pictures are not. Outcomes stream back to the driver. Only the driver sends rows to the manifest actor,
the one process that writes the manifest; the other actors ask it before they write a file. When an actor dies, Ray
starts another one, which does the dead one's job batch again from its beginning.
"""

from __future__ import annotations

from archivecolor.execution.ray.driver import drive

__all__ = ["drive"]
