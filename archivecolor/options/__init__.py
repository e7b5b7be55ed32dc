"""What a user can ask for, frozen at the door: each class checks its values and raises `UsageError`."""

from __future__ import annotations

from archivecolor.options.colour import ColorOptions, Hint, Palette, parse_hint
from archivecolor.options.disclosure import OTHER_SOURCE_TYPES, SOURCE_TYPES, Disclosure
from archivecolor.options.film import CODECS, DPX_CURVES, ON_BAD_FRAME, STILL_CODECS, FilmOptions
from archivecolor.options.measuring import MEGAPIXELS, BenchOptions, EvaluationOptions, FilmEvaluationOptions
from archivecolor.options.require import require
from archivecolor.options.run import (
    DEFAULT_MODEL,
    ENGINES,
    FORMATS,
    PLACES,
    CandidateOptions,
    ReportOptions,
    RunOptions,
    Shard,
    Strips,
    parse_shard,
)
from archivecolor.options.training import (
    DISCRIMINATORS,
    GANS,
    LARGEST_VALIDATION,
    TEACHERS,
    AdversarialOptions,
    AppearanceOptions,
    DistillationOptions,
    LrSearchOptions,
    PreviewOptions,
    StageOptions,
    StopWhen,
    parse_sizes,
    parse_stop_when,
    validation_side,
)

__all__ = [
    "CODECS",
    "DEFAULT_MODEL",
    "DISCRIMINATORS",
    "DPX_CURVES",
    "ENGINES",
    "FORMATS",
    "GANS",
    "LARGEST_VALIDATION",
    "MEGAPIXELS",
    "ON_BAD_FRAME",
    "OTHER_SOURCE_TYPES",
    "PLACES",
    "SOURCE_TYPES",
    "STILL_CODECS",
    "TEACHERS",
    "AdversarialOptions",
    "AppearanceOptions",
    "BenchOptions",
    "CandidateOptions",
    "ColorOptions",
    "Disclosure",
    "DistillationOptions",
    "EvaluationOptions",
    "FilmEvaluationOptions",
    "FilmOptions",
    "Hint",
    "LrSearchOptions",
    "Palette",
    "PreviewOptions",
    "ReportOptions",
    "RunOptions",
    "Shard",
    "StageOptions",
    "StopWhen",
    "Strips",
    "parse_hint",
    "parse_shard",
    "parse_sizes",
    "parse_stop_when",
    "require",
    "validation_side",
]
