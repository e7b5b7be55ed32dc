"""The manual page, made from the same tables as the help. The build of the wheel writes it (`.ci/build_man.py`)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import typer

from archivecolor import __version__
from archivecolor.cli import Command, app


def page() -> str:
    """`archivecolor.1` in the man macros: every verb with every option, the rare ones too."""
    root = typer.main.get_command(app)
    lines = [
        f'.TH ARCHIVECOLOR 1 "" "archivecolor {__version__}" "User Commands"',
        ".SH NAME",
        f"archivecolor \\- {_plain(_sentences(root.help or '')[0]).rstrip('.')}",
        ".SH SYNOPSIS",
        ".B archivecolor",
        r"\fICOMMAND\fR [\fIOPTIONS\fR] ...",
        ".SH COMMANDS",
    ]
    for words, command in _verbs(root, []):
        lines += _verb(" ".join(words), command)
    lines += [
        ".SH EXIT STATUS",
        "0 all done, 1 fatal, 2 wrong usage, 3 some pictures failed, 4 no input, 5 output not writable, 6 weights,",
        "7 a package is missing, 130 interrupted.",
        ".SH FILES",
        ".TP",
        ".B archivecolor.toml",
        r"Options by the names of the flags of \fBrun\fR; read beside the inputs, or where \fB\-\-config\fR says.",
        ".TP",
        ".B manifest.jsonl",
        "In the output folder: one row for each input.",
    ]
    return "\n".join(lines) + "\n"


def _verbs(command: Command, words: list[str]) -> Iterator[tuple[list[str], Command]]:
    if not hasattr(command, "commands"):
        yield words, command
        return
    for name, child in command.commands.items():
        yield from _verbs(child, [*words, name])


def _verb(name: str, command: Command) -> list[str]:
    lines = [f'.SS "archivecolor {name}"']
    for paragraph in _sentences(inspect.cleandoc(command.help or "")):
        lines += [_plain(paragraph), ".PP"]
    context = command.make_context(name, [], resilient_parsing=True)
    for parameter in command.params:
        parameter.hidden = False
        record = parameter.get_help_record(context)
        if record and parameter.name != "help_all":
            lines += [".TP", f".B {_plain(record[0])}", _plain(record[1])]
    return lines


def _sentences(text: str) -> list[str]:
    """The paragraphs of a text, each on one line."""
    return [" ".join(paragraph.split()) for paragraph in text.split("\n\n") if paragraph.strip()]


def _plain(text: str) -> str:
    """Text for roff: backslashes, dashes and letters beyond ASCII are escaped; no line begins with a command."""
    text = re.sub(r"\s+", " ", text).replace("\\", r"\e").replace("-", r"\-")
    text = re.sub(r"[^\x00-\x7f]", lambda found: f"\\[u{ord(found[0]):04X}]", text)
    return f"\\&{text}" if text[:1] in ".'" else text
