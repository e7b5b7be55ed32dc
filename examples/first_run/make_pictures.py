"""Makes the pictures of this story from photographs that scikit-image ships as CC0 or public domain (SOURCES.md).

    python examples/first_run/make_pictures.py

They stand for what a folder of scans holds: a grey JPEG, a toned print, a grey PNG, a 16-bit TIFF master, a faded
JPEG that its camera turned on its side, and one photograph that is in colour already.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image
from skimage import color, data

HERE = Path(__file__).parent / "old_photos"
SIDE = 360


def small(rgb: NDArray[np.uint8]) -> Image.Image:
    """At most SIDE pixels on the long side."""
    picture = Image.fromarray(rgb)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return picture


def grey(picture: Image.Image) -> NDArray[np.float64]:
    """L*/100 of a picture, (H, W) in [0, 1]."""
    return color.rgb2lab(np.asarray(picture.convert("RGB")))[..., 0] / 100


def as_grey(light: NDArray[np.float64], levels: int) -> NDArray[np.float64]:
    """L*/100 -> sRGB codes of a grey with that L*."""
    lab = np.stack([light * 100, np.zeros_like(light), np.zeros_like(light)], axis=-1)
    return np.round(color.lab2rgb(lab)[..., 0] * (levels - 1))


def main() -> None:
    """Writes all pictures."""
    small(data.camera()).save(HERE / "people/photographer.jpg", quality=92)

    light = grey(small(data.astronaut()))
    toned = color.lab2rgb(np.stack([15 + 80 * light, 6 + 4 * light, 22 - 8 * light], axis=-1))
    Image.fromarray((toned * 255).round().astype(np.uint8)).save(HERE / "people/portrait_sepia.jpg", quality=92)

    cat = as_grey(grey(small(data.chelsea())), 256).astype(np.uint8)
    Image.fromarray(cat).save(HERE / "animals/cat.png")

    cup = as_grey(grey(small(data.coffee())), 65536).astype(np.uint16)
    tifffile.imwrite(
        HERE / "things/cup_16bit.tif", cup, compression="deflate", predictor=True, metadata=None, datetime=False,
        resolution=(300, 300), resolutionunit="INCH", description="A cup of coffee",
    )  # fmt: skip

    faded = 0.25 + 0.5 * grey(small(data.rocket()))
    turned = Image.fromarray(np.rot90(as_grey(faded, 256), 1).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(HERE / "things/rocket_on_its_side.jpg", quality=92, exif=exif)

    small(data.coffee()).save(HERE / "things/cup_in_colour.jpg", quality=92)


if __name__ == "__main__":
    main()
