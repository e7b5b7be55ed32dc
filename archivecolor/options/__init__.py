"""What a user can ask for. Each class is frozen, checks its values, and raises `UsageError`."""

from __future__ import annotations

from archivecolor.options.bench import MEGAPIXELS, BenchOptions
from archivecolor.options.colour import (
    ColorOptions,
    Hint,
    Palette,
    ReferenceOptions,
    Region,
    Tiles,
    parse_hint,
    parse_region,
)
from archivecolor.options.compute import ColorizerOptions, DeviceOptions, Engine, Precision
from archivecolor.options.disclosure import OTHER_SOURCE_TYPES, Disclosure, SourceType
from archivecolor.options.evaluation import DEFAULT_SHEET, EvaluationOptions, EvaluationRequest
from archivecolor.options.film import STILL_CODECS, Codec, DpxCurve, FilmOptions, OnBadFrame
from archivecolor.options.frames import FrameOptions
from archivecolor.options.own_archive import OwnArchive
from archivecolor.options.require import require
from archivecolor.options.review import CandidateOptions, CatalogueKind, ExportOptions, ReportOptions, ReviewOptions
from archivecolor.options.run import (
    ACCESS_FORMATS,
    DEFAULT_MODEL,
    AccessForm,
    OutputFormat,
    Place,
    RunOptions,
    Shard,
    Strips,
    parse_access,
    parse_shard,
)
from archivecolor.options.stages import (
    Baseline,
    Finetuning,
    LrSearchOptions,
    Pretraining,
    PreviewOptions,
    StageRecipe,
    TrainingRequest,
)
from archivecolor.options.table import Digest, Option, Options, build, flags, leaves, refuse_unknown
from archivecolor.options.training import (
    DISCRIMINATORS,
    GANS,
    LARGEST_VALIDATION,
    TEACHERS,
    AdversarialOptions,
    AppearanceOptions,
    DistillationOptions,
    StageOptions,
    StopWhen,
    parse_sizes,
    parse_stop_when,
    validation_side,
)
from archivecolor.options.watch import WatchOptions, check_watchable

__all__ = [
    "ACCESS_FORMATS",
    "DEFAULT_MODEL",
    "DEFAULT_SHEET",
    "DISCRIMINATORS",
    "GANS",
    "LARGEST_VALIDATION",
    "MEGAPIXELS",
    "OTHER_SOURCE_TYPES",
    "STILL_CODECS",
    "TEACHERS",
    "AccessForm",
    "AdversarialOptions",
    "AppearanceOptions",
    "Baseline",
    "BenchOptions",
    "CandidateOptions",
    "CatalogueKind",
    "Codec",
    "ColorOptions",
    "ColorizerOptions",
    "DeviceOptions",
    "Digest",
    "Disclosure",
    "DistillationOptions",
    "DpxCurve",
    "Engine",
    "EvaluationOptions",
    "EvaluationRequest",
    "ExportOptions",
    "FilmOptions",
    "Finetuning",
    "FrameOptions",
    "Hint",
    "LrSearchOptions",
    "OnBadFrame",
    "Option",
    "Options",
    "OutputFormat",
    "OwnArchive",
    "Palette",
    "Place",
    "Precision",
    "Pretraining",
    "PreviewOptions",
    "ReferenceOptions",
    "Region",
    "ReportOptions",
    "ReviewOptions",
    "RunOptions",
    "Shard",
    "SourceType",
    "StageOptions",
    "StageRecipe",
    "StopWhen",
    "Strips",
    "Tiles",
    "TrainingRequest",
    "WatchOptions",
    "build",
    "check_watchable",
    "flags",
    "leaves",
    "parse_access",
    "parse_hint",
    "parse_region",
    "parse_shard",
    "parse_sizes",
    "parse_stop_when",
    "refuse_unknown",
    "require",
    "validation_side",
]
