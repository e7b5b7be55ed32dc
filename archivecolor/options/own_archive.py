"""The options of `archivecolor train mine`: the pre-training's losses, on the photographs of one archive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from archivecolor.options.run import DEFAULT_MODEL
from archivecolor.options.stages import FINETUNING_SIZES, Pretraining
from archivecolor.options.table import Option, Options, above, at_least

ROUNDS = 3
"""The learning rate rises and falls in each, so that each ends with weights that can be judged. In the middle of a
cycle they are worse than at its end, often worse than the start."""


@dataclass(frozen=True, kw_only=True)
class OwnArchive(Options):
    """`archivecolor train mine`."""

    origin: Annotated[str, Option("Weights to start from: a name or a folder.", flag="--from")] = DEFAULT_MODEL
    minutes: Annotated[
        float,
        Option(
            "How long the training may take; it is planned to end within this time. 0: no limit.", check=at_least(0)
        ),
    ] = 30.0
    patience: Annotated[
        int, Option("Ends the training when so many rounds in a row gained nothing; 0: never.", check=at_least(0))
    ] = 2
    lr: Annotated[float, Option("Peak learning rate; `train find-lr --from` suggests one.", check=above(0))] = 3e-5
    """At 1e-4 the first steps from finished weights cost 1.6 dB, which a short training does not win back; at 3e-5 they
    gained."""
    sizes: Annotated[
        str, Option(f"side:share pairs, small sides first, multiples of 32, or one side; auto: {FINETUNING_SIZES}.")
    ] = "auto"
    batch: Annotated[int, Option("Pictures per step.", check=at_least(1))] = 16
    aging: Annotated[float, Option("Share of the pictures that are made to look old, 0 to 1.")] = 0.3
    seed: Annotated[int, Option("Order, crops and aging depend on it alone.")] = 0
    precision: Annotated[str, Option("auto, fp32, bf16 or fp16.")] = "auto"

    def pretraining(self, pictures: int, validate_every: int) -> Pretraining:
        """The training: L1 and the losses of the program's own recipe, no discriminator.

        Colourfulness counts less than there. At 0.45 it rose from 0.75 to 0.96 of the truth in 13 steps, and PSNR fell
        by 1 dB; at 0.1, eight steps on 60 photographs brought 0.5 dB on 29 others of their source.

        With 300 photographs of one source it gained as much as `train gan`, in a fifth of the time.
        """
        return Pretraining(
            origin=self.origin,
            pictures=pictures,
            validate_every=validate_every,
            minutes=self.minutes,
            rounds=ROUNDS,
            patience=self.patience,
            stop_when="l1:1.2,colour:0.4-1.15",
            lr=self.lr,
            sizes=FINETUNING_SIZES if self.sizes == "auto" else self.sizes,
            batch=self.batch,
            aging=self.aging,
            seed=self.seed,
            precision=self.precision,
            feature_weight=0.1,
            psnr_weight=0.02,
            colour_weight=0.1,
        )
