"""Films in and out of files: every frame with its exact time, everything but the pictures' colour copied.

`open_film` and `Reader` give frames with their luma untouched, `stills` those that are files of their own; `survey`
looks at a whole film first; `planes` makes chroma beside that luma; `encode` makes closed segments, a `WorkFolder`
keeps them, `join` writes the film; `stamp` marks it.
"""

from __future__ import annotations

from archivecolor.film.probe import is_film, is_frame, is_numbered

__all__ = ["is_film", "is_frame", "is_numbered"]
