"""Pages too large to be held: their colours are found on a reduced copy, and laid onto the rows as they are written."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

from archivecolor.imaging.arrays import Samples
from archivecolor.imaging.merge import LuminanceMerge
from archivecolor.inference.colorizer import Colorizer
from archivecolor.photo import Page, Scan


@dataclass
class ColorizedScan:
    """A page's colours, and what is measured while its rows are drawn."""

    painting: LuminanceMerge
    rgb: Samples
    """The reduced copy, coloured."""
    seconds: dict[str, float]
    """`network` and `wait`, as in `Painted`; reading again, spreading and writing go hand in hand."""
    max_delta_l: float = 0.0
    """Largest |ΔL*| of the rows drawn so far."""

    @property
    def confidence(self) -> float | None:
        """As in `Painted`."""
        return self.painting.confidence

    def onto(self, scan: Scan) -> Scan:
        """The scan with its rows coloured, when somebody draws them."""

        def bands() -> Iterator[tuple[Samples, Samples | None]]:
            top = 0
            for samples, alpha in scan.bands():
                rgb, worst = self.painting.rows(samples, top)
                self.max_delta_l = max(self.max_delta_l, worst)
                top += len(samples)
                yield rgb, alpha

        return replace(scan, bands=bands)


def colorize_scan(page: Page, scan: Scan, colorizer: Colorizer) -> ColorizedScan:
    """Finds the colours of a page that has a scan."""
    started = time.perf_counter()
    painting = colorizer.prepare(page.samples, page.icc, page.orientation, (scan.height, scan.width))
    network = painting.network_seconds
    wait = max(0.0, time.perf_counter() - started - network)
    height, width = page.samples.shape[:2]
    small = replace(painting, spread=replace(painting.spread, height=height, width=width))
    return ColorizedScan(painting, small.rows(page.samples, 0)[0], {"network": network, "wait": wait})
