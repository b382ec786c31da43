"""Pictures as arrays of red, green and blue: the one place where files of pictures are opened.

Pillow decodes JPEG, PNG, WebP, GIF, BMP, TIFF and PPM. What a header claims is checked before anything is decoded, since a small
file can unpack to any size. A picture is turned as its EXIF says, transparent places show white, grey and palettes become
colours; of a file with several frames `read` takes the first.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import MISSING_EXTRA, UserError, of_system

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM")  # of Pillow's; others may start programs
MOST_PIXELS = 40_000_000  # of a frame: 120 MB decoded
LONGEST_SIDE = 20_000


class Info(NamedTuple):
    """What a picture's header says: pixels as they are stored, and frames."""

    width: int
    height: int
    frames: int


def is_picture(name: str) -> bool:
    """Whether a name ends as those of pictures do."""
    return name.strip().lower().endswith(ENDINGS)


def files(folder_or_file: Path) -> list[Path]:
    """A file itself, or the pictures of a folder at any depth, by ending, in name order; hidden ones are left out.

    UserError where there is none.
    """
    root = Path(folder_or_file)
    if not root.is_dir():
        return [root]
    inside = [path for path in sorted(root.rglob("*")) if is_picture(path.name) and path.is_file()]
    found = [path for path in inside if not any(part.startswith(".") for part in path.relative_to(root).parts)]
    if not found:
        raise UserError(f"the folder `{root}` has no picture in it", fix=f"read are {' '.join(ENDINGS)}")
    return found


def info(path: Path) -> Info:
    """A file's width, height and number of frames, from its header. UserError as for opened()."""
    with opened(path) as image:
        return Info(*image.size, getattr(image, "n_frames", 1))


def read(path: Path, height: int, width: int) -> np.ndarray:
    """A picture (height, width, 3) of uint8, stretched to that size. UserError where it is not one, is too large or damaged."""
    with opened(path) as image:
        image.draft("RGB", (2 * width, 2 * height))  # a JPEG far larger than that is decoded at a fraction of its size
        return pixels(image, height, width)


def stretched(array: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels (H, W, 3) of uint8 at another size, as read() has them; of that size, as they are. UserError for others."""
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise UserError(f"a picture got {array.dtype} {array.shape}; needed is an array (height, width, 3) of uint8")
    if array.shape[:2] == (height, width):
        return array
    return np.array(resized(_pillow().fromarray(array), height, width))


def whole(path: Path, longest: int) -> np.ndarray:
    """A picture (H, W, 3) of uint8 in its own shape, neither side longer than `longest`. UserError as for read()."""
    with opened(path) as image:
        image = colours(image)
        scale = min(1.0, longest / max(image.size))
        return pixels(image, *(max(1, round(side * scale)) for side in reversed(image.size)))


def png(array: np.ndarray) -> bytes:
    """A picture (H, W, 3) of uint8 as a PNG file."""
    memory = BytesIO()
    _pillow().fromarray(array).save(memory, "png")
    return memory.getvalue()


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """A file as a Pillow image, not decoded yet; what fails inside while decoding is told as a UserError, too.

    UserError where the file is missing, no picture, damaged or cut off, or a frame has more than MOST_PIXELS or a side longer
    than LONGEST_SIDE; code 3 where Pillow is not installed.
    """
    path, Image = Path(path), _pillow()
    try:
        file = open(path, "rb")  # noqa: SIM115, closed below; apart from decoding, so that its errors are not taken for damage
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None
    with file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd EXIF data and of sizes, which are checked below
        try:
            image = Image.open(file, formats=FORMATS)
        except Image.DecompressionBombError:
            raise _too_large(path, "far too many") from None
        except Image.UnidentifiedImageError:
            fix = f"read are {', '.join(FORMATS)}"
            raise UserError(f"`{path}` is not a picture that can be read", str(path), fix) from None
        except Exception as error:  # a decoder raises what it likes where a header is damaged
            raise _damaged(path, error) from None
        if image.width * image.height > MOST_PIXELS or max(image.size) > LONGEST_SIDE:
            raise _too_large(path, f"{image.width:,} x {image.height:,}")
        try:
            yield image
        except UserError:
            raise
        except Exception as error:  # as above: OSError where it is cut off, else SyntaxError, ValueError, struct.error, …
            raise _damaged(path, error) from None


def pixels(image: Any, height: int, width: int) -> np.ndarray:
    """The current frame of a Pillow image as (height, width, 3) of uint8."""
    return np.array(resized(colours(image), height, width))


def colours(image: Any) -> Any:
    """The current frame of a Pillow image in red, green and blue, upright, on white."""
    from PIL import Image, ImageOps

    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):  # 16 bits: Pillow would cut off what is brighter than 255
        deep = np.asarray(image).astype(np.int64)
        image = Image.fromarray((deep >> (8 if deep.max(initial=0) > 255 else 0)).clip(0, 255).astype(np.uint8))
    if "A" in image.mode or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def resized(image: Any, height: int, width: int) -> Any:
    """A Pillow image of that size: bilinear over all the pixels that a new one covers."""
    from PIL import Image

    return image if image.size == (width, height) else image.resize((width, height), Image.Resampling.BILINEAR)


def _too_large(path: Path, size: str) -> UserError:
    most = f"allowed are {MOST_PIXELS:,} in all, and sides of {LONGEST_SIDE:,}"
    return UserError(f"`{path}` has {size} pixels; {most}", str(path), "make it smaller")


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"`{path}` is damaged or cut off: {error}", str(path), "fetch it again, or leave it out")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        fix = "pip install 'unrolled[pictures]'"
        raise UserError("reading pictures needs the package `pillow`", fix=fix, code=MISSING_EXTRA) from None
    return Image
