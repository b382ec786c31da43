"""Clips as frames of 8 bits, (T, S, S, 3): a folder of pictures, a picture that moves, a strip, a film.

a folder    its pictures, in the order of their names; numbers in them count as numbers, 9 before 10
a picture   that moves: GIF, WebP, PNG; one that does not is a strip: square frames side by side, or one below the other
a film      MP4 and what else PyAV decodes

What a header claims is checked before anything is decoded. Frames are counted from 0 and stretched to squares.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import MISSING_EXTRA, UserError, did_you_mean
from . import pictures

FILMS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ogv", ".flv", ".wmv", ".3gp")
CONTAINERS = "mov,mp4,matroska,webm,avi,mpeg,mpegts,ogg,flv,asf"  # no playlists: those open other files
MOST_FRAMES = 100_000
MOST_PIXELS = 30_000_000_000  # decoded, all frames together: eight minutes of 1920 x 1080

Choose = Callable[[int], np.ndarray]  # how many frames there are -> numbers of those to keep, ascending


class Info(NamedTuple):
    frames: int
    height: int  # of a frame, pixels
    width: int


class Clip(NamedTuple):
    frames: np.ndarray  # (T, S, S, 3) uint8
    numbers: np.ndarray  # (T,) which of the clip's frames they are
    count: int  # how many the clip has


# --- which frames


def middles(count: int, number: int) -> np.ndarray:
    """`number` frames (number,) of `count`: the middle one of each of as many equal parts; of few frames some stand twice."""
    return (np.arange(number) * 2 + 1) * count // (2 * number)


def drawn(count: int, number: int, generator: np.random.Generator) -> np.ndarray:
    """`number` frames (number,) of `count`, one drawn from each of as many equal parts (Wang et al. 2016, temporal segments)."""
    return np.floor((np.arange(number) + generator.random(number)) * count / number).astype(np.int64)


def at_most(number: int) -> Choose:
    """All frames; of more than `number` the `middles`."""
    return lambda count: np.arange(count) if count <= number else middles(count, number)


def each(step: int) -> Choose:
    """Every `step`-th frame, from the first."""
    return lambda count: np.arange(0, count, step)


# --- clips


def clips(folder: Path) -> list[Path]:
    """The clips of a folder, in name order: its films and pictures, each of its folders of pictures; hidden ones are left out.

    UserError where there is none.
    """
    found = [path for path in sorted(folder.iterdir(), key=_in_order) if _is_clip(path)]
    if not found:
        raise UserError(f"there is no clip in `{folder}`", fix="name a folder of films, strips, GIFs, or folders of frames")
    return found


def _is_clip(path: Path) -> bool:
    if path.name.startswith("."):
        return False
    return bool(_pictures(path)) if path.is_dir() else path.suffix.lower() in (*FILMS, *pictures.ENDINGS)


def _pictures(folder: Path) -> list[Path]:
    """A folder's frames."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in pictures.ENDINGS and not path.name.startswith("."))
    return sorted(found, key=_in_order)


def _in_order(path: Path) -> list[tuple[int, int, str]]:
    """What names are sorted by: runs of digits as numbers."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path.name) if part]


def info(path: Path) -> Info:
    """How many frames a clip has and their size, nothing decoded. UserErrors as for read()."""
    path = _existing(path)
    if path.is_dir():
        found = _pictures(path)
        if not found:
            raise UserError(f"the folder `{path}` has no frame in it", fix=f"frames are pictures: {' '.join(pictures.ENDINGS)}")
        first = pictures.info(found[0])
        return _checked(path, Info(len(found), first.height, first.width))
    if path.suffix.lower() in FILMS:
        return _checked(path, _of_film(path))
    about = pictures.info(path)
    if about.frames > 1:
        return _checked(path, Info(about.frames, about.height, about.width))
    side = min(about.width, about.height)
    if max(about.width, about.height) % side:
        said = f"`{path}` is one picture of {about.width} x {about.height} pixels: no clip, and no strip of square frames"
        raise UserError(said, str(path), "a strip's width is so many times its height, or its height so many times its width")
    return _checked(path, Info(max(about.width, about.height) // side, side, side))


def _checked(path: Path, found: Info) -> Info:
    if not found.frames:
        raise UserError(f"the film `{path}` has no frame", str(path))
    if found.height * found.width > pictures.MOST_PIXELS:
        raise pictures.too_large(path, f"frames of {found.width} x {found.height}")
    if found.frames > MOST_FRAMES or found.frames * found.height * found.width > MOST_PIXELS:
        said = f"`{path}` has {found.frames:,} frames of {found.width} x {found.height} pixels"
        raise UserError(
            f"{said}; allowed are {MOST_FRAMES:,} frames and {MOST_PIXELS:,} pixels in all",
            str(path),
            "cut it into shorter clips",
        )
    return found


def read(path: Path, size: int, choose: Choose) -> Clip:
    """Those frames of a clip that `choose` wants, stretched to `size` x `size` pixels.

    UserError where it is missing, no clip, damaged, ends early, or is larger than MOST_FRAMES and MOST_PIXELS allow.
    """
    path = Path(path)
    about = info(path)
    numbers = choose(about.frames)
    shown = np.unique(numbers)
    if path.is_dir():
        paths = _pictures(path)
        found: Iterable[np.ndarray] = (pictures.read(paths[i], size, size) for i in shown)
    elif path.suffix.lower() in FILMS:
        found = _decoded(path, size, set(shown.tolist()))
    else:
        found = _of_picture(path, size, about, shown)
    frames = list(found)
    if len(frames) < len(shown):
        said = f"the film `{path}` ends early: {len(frames)} of {len(shown)} frames were read"
        raise UserError(said, str(path), "copy it again")
    return Clip(np.stack(frames)[np.searchsorted(shown, numbers)], numbers, about.frames)


def _of_picture(path: Path, size: int, about: Info, numbers: np.ndarray) -> Iterator[np.ndarray]:
    with pictures.opened(path) as image:
        moves, wide = getattr(image, "n_frames", 1) > 1, image.width > image.height
        for i in numbers.tolist():
            if moves:
                image.seek(i)
                yield pictures.pixels(image, size, size)
            else:
                left, top = (i * about.width, 0) if wide else (0, i * about.height)
                yield pictures.pixels(image.crop((left, top, left + about.width, top + about.height)), size, size)


# --- films


def _of_film(path: Path) -> Info:
    """Packets are counted, since many a header does not say how many frames there are, or lies."""
    with _film(path) as (container, stream):
        about = stream.codec_context
        if about is None:  # nobody knows how its pictures are packed
            raise UserError(f"the film `{path}` cannot be read: its codec is not known", str(path), CONVERT)
        return Info(sum(1 for packet in container.demux(stream) if packet.size), about.height, about.width)


def _decoded(path: Path, size: int, numbers: set[int]) -> Iterator[np.ndarray]:
    with _film(path) as (container, stream):
        last = max(numbers)
        for i, frame in enumerate(container.decode(stream)):
            if i in numbers:
                small = frame.reformat(width=size, height=size, format="rgb24").to_ndarray()
                yield np.ascontiguousarray(np.rot90(small, round(frame.rotation / 90)))  # as the camera was held
            if i >= last:
                return


CONVERT = "ffmpeg -i IN OUT.mp4 makes an MP4 of most"


class _film:
    """An open film and its first stream of pictures; what goes wrong inside is a UserError that names the file."""

    def __init__(self, path: Path):
        self.path, self.av = path, _pyav()

    def __enter__(self) -> tuple[Any, Any]:
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        try:
            self.container = self.av.open(str(self.path), options=options, metadata_errors="replace")
        except self.av.FFmpegError as error:
            raise _unread(self.path, error) from None
        if not self.container.streams.video:
            self.container.close()
            raise UserError(f"`{self.path}` has no pictures in it, sound at most", str(self.path))
        stream = self.container.streams.video[0]
        if stream.codec_context is not None:  # what the pictures themselves say of their size, whatever the header says
            stream.codec_context.options = {"max_pixels": str(pictures.MOST_PIXELS)}
        return self.container, stream

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.container.close()
        if isinstance(error, self.av.FFmpegError):
            raise _unread(self.path, error) from None


def _unread(path: Path, error: Exception) -> UserError:
    why = getattr(error, "strerror", None) or str(error)
    return UserError(f"the film `{path}` cannot be read: {why.lower()}", str(path), CONVERT)


def _existing(path: Path) -> Path:
    path = Path(path)
    if not path.exists():
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"the clip `{path}` does not exist", fix=did_you_mean(path.name, beside))
    return path


def _pyav() -> Any:
    try:
        import av
    except ImportError:
        raise UserError("films need PyAV", None, 'pip install "unrolled[video]"', MISSING_EXTRA) from None
    return av
