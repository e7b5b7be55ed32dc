"""Where an output goes. No two sources share an output, and no output leaves the output folder."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

from archivecolor import files, photo
from archivecolor.errors import OutputError, PictureError
from archivecolor.options import RunOptions
from archivecolor.pipeline.inputs import Job


def target_of(job: Job, format: str, options: RunOptions) -> Path:
    """The path of a photograph's output.

    Where the format is not what the file suffix says, the true suffix is added to the whole name: `a.gif` becomes
    `a.gif.png`. Where that is the name of another source's output, it becomes `a.gif.color.png`,
    `a.gif.color2.png`, …

    Args:
        format: the format that the output is written in.

    Raises:
        PictureError: the name would be too long for a file system.
    """
    source, target = job.source, job.target
    if options.format == "same" and source.suffix != "" and photo.suffix_for(format, source.suffix) != source.suffix:
        true_suffix = photo.suffix_for(format, "")
        infixes = itertools.chain(("", ".color"), (f".color{n}" for n in itertools.count(2)))
        stem = next(source.name + infix for infix in infixes if _is_free(source, infix, true_suffix))
        target = target.with_name(f"{stem}{job.tag}{options.suffix}{true_suffix}")
    if (length := len(os.fsencode(target.name))) > files.LONGEST_NAME:
        raise PictureError(
            f"its output's name would have {length} bytes, and {files.LONGEST_NAME} are allowed; use a shorter "
            "--suffix or rename it"
        )
    return target


def _is_free(source: Path, infix: str, true_suffix: str) -> bool:
    """Whether no other source can have the output `source` + `infix` + `true_suffix`: neither a source of exactly this
    name, nor one of the name without `true_suffix` whose content needs that suffix too."""
    name = source.name + infix
    return not source.with_name(name + true_suffix).exists() and (infix == "" or not source.with_name(name).exists())


def make_folder(folder: Path, out: Path) -> None:
    """Makes a folder inside the output folder `out`.

    Raises:
        PictureError: a file has its name, the file system refuses the name, or a link in the output folder leads
            elsewhere, perhaps to a source.
        OutputError: the output folder cannot be written.
    """
    try:
        files.make_folders(folder)
    except (FileExistsError, NotADirectoryError) as error:
        raise PictureError(
            f"{folder}: a file has the name of this output folder; move it or choose another --out"
        ) from error
    except OSError as error:
        if not out.exists():
            raise OutputError(f"{out}: the output folder is gone ({error.strerror}); run again") from error
        refused = next(each for each in (*reversed(folder.parents), folder) if not each.exists() or each == folder)
        raise files.write_error(refused, error) from error
    if not folder.resolve().is_relative_to(out.resolve()):
        raise PictureError(f"{folder}: a link leads out of the output folder; remove it or choose another --out")
