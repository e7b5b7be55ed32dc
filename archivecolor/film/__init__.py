"""Films in and out of files: every frame with its exact time, everything but the colour of the pictures copied.

`source.open_source` and `source.read_frames` give frames with their luma unchanged, from a container (`header`, `read`)
or from numbered files (`image_sequence`, `dpx`). `survey` examines a whole film first. `planes` computes chroma for the
luma, `encoder` makes closed segments, a `WorkFolder` keeps them, and `muxer` joins them to a film.
"""

from __future__ import annotations

from archivecolor.film.probe import SUFFIXES, is_film, is_film_content, is_frame, is_numbered

__all__ = ["SUFFIXES", "is_film", "is_film_content", "is_frame", "is_numbered"]
