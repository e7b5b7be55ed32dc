"""Where an output goes: no two sources share one, and none leads out of the output folder."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from archivecolor import files, photo
from archivecolor.errors import OutputError, PictureError
from archivecolor.options import RunOptions
from archivecolor.pipeline.inputs import Job


def target_of(job: Job, kind: str, options: RunOptions) -> Path:
    """Where the colour goes. A file whose content is not what its suffix says, or of a kind that is only read, gets the
    true suffix behind its whole name: `a.gif` becomes `a.gif.png`, or `a.gif.color.png` where that is the name of
    another source's output, and so on.

    Raises:
        PictureError: the name would be longer than a name can be.
    """
    own, target = job.source.suffix, job.target
    if options.format == "same" and own != "" and photo.suffix_for(kind, own) != own:
        true = photo.suffix_for(kind, "")
        words = itertools.chain(("", ".color"), (f".color{n}" for n in itertools.count(2)))
        name = next(job.source.name + word for word in words if _is_free(job.source, word, true))
        target = job.target.with_name(f"{name}{options.suffix}{true}")
    if (length := len(os.fsencode(target.name))) > files.LONGEST_NAME:
        raise PictureError(
            f"its output's name would have {length} bytes, and {files.LONGEST_NAME} are allowed; use a shorter "
            "--suffix or rename it"
        )
    return target


def _is_free(source: Path, word: str, true: str) -> bool:
    """Whether no other source can come to have the output `source` + `word` + `true`: neither one of this very name,
    nor one of the name without `true`, should its content call for that suffix, too."""
    name = source.name + word
    return not source.with_name(name + true).exists() and (word == "" or not source.with_name(name).exists())


def make_folder(folder: Path, out: Path) -> None:
    """Makes a folder of the output tree `out`.

    Raises:
        PictureError: a file has its name, or a link in the tree leads elsewhere, perhaps to a source.
        OutputError: the output cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise PictureError(
            f"{folder}: a file has the name of this output folder; move it or choose another --out"
        ) from error
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made ({error.strerror}); choose another --out") from error
    if not folder.resolve().is_relative_to(out.resolve()):
        raise PictureError(f"{folder}: a link leads out of the output folder; remove it or choose another --out")
