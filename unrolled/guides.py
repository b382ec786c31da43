"""What leads a net that makes sound: features of every hundredth of a second of another sound, or the notes that are to sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .data import marks, sound
from .data.samples import EVERY
from .errors import UserError, did_you_mean
from .logmel import LogMel

KINDS = ("logmel", "sound", "notes")
BANDS, NOTES = 40, 128
MIDDLE, HALF = -6.0, 4.0  # of log-mel features, about; they are brought to -2 … 2
CHANNELS = {None: 0, "logmel": BANDS, "sound": BANDS, "notes": NOTES}


def frames(seconds: float) -> int:
    return int(np.ceil(round(seconds / EVERY, 6)))


def ears(hertz: int) -> LogMel:
    """What makes that spectrogram."""
    return LogMel(hertz, bands=BANDS, high=min(7600.0, 0.475 * hertz))


def logmel(samples: np.ndarray, hertz: int) -> np.ndarray:
    """The log-mel spectrogram (frames, 40) of samples (N,): frame f is centred on the f-th hundredth of a second."""
    heard = ears(hertz)
    number = -(-len(samples) // heard.hop_samples)
    before = (heard.window_samples - heard.hop_samples) // 2
    padded = np.zeros((number - 1) * heard.hop_samples + heard.window_samples, np.float32)
    fits = samples[: len(padded) - before]
    padded[before : before + len(fits)] = fits
    return ((heard.of_array(padded) - MIDDLE) / HALF).astype(np.float32)


def notes(path: Path, number: int) -> np.ndarray:
    """Which of the 128 notes of MIDI sound in each of `number` hundredths of a second (number, 128), from a table of begin, end
    (seconds) and note between tabs."""
    found = np.zeros((number, NOTES), np.float32)
    for mark in marks.read(path):
        if not mark.label.isdecimal() or int(mark.label) >= NOTES:
            raise UserError(
                f"`{mark.label}` is not a note; allowed are MIDI's numbers 0 to {NOTES - 1}", str(path), "60 is middle C"
            )
        begin = round(mark.begin / EVERY)
        found[begin : max(begin + 1, round(mark.end / EVERY)), int(mark.label)] = 1
    return found


def read(kind: str, path: Path, hertz: int, number: int) -> np.ndarray:
    """`number` frames of the features of a guide's file (number, C): a sound, silence behind it; or a table of notes."""
    if kind == "notes":
        return notes(path, number)
    found = logmel(sound.read(path, hertz), hertz)
    empty = logmel(np.zeros(round(hertz * EVERY), np.float32), hertz)
    return np.concatenate((found[:number], np.repeat(empty, max(0, number - len(found)), 0)))


def beside(kind: str, folder: Path, path: Path) -> Path:
    """The guide of a sound file: of the same name in another folder, but for the ending; of several that in a folder named as the
    sound's. UserError where there is none, or it is not clear which."""
    endings = (".tsv", ".txt") if kind == "notes" else sound.ENDINGS
    if not folder.is_dir():
        raise UserError(
            f"`--guides {folder}` is not a folder", fix=did_you_mean(folder.name, [p.name for p in folder.parent.iterdir()])
        )
    found = [other for other in sorted(folder.rglob("*")) if other.stem == path.stem and other.suffix.lower() in endings]
    if not found:
        raise UserError(f"`{folder}` has no guide for `{path.name}`", str(folder), f"a file {path.stem}{endings[0]}")
    same = [other for other in found if other.parent.name == path.parent.name]
    if len(found) > 1 and len(same) != 1:
        said = f"`{folder}` has {len(found)} guides for `{path.name}`: {', '.join(map(str, found[:3]))}"
        raise UserError(said, str(folder), f"folders named as those of the sounds: {folder / path.parent.name / path.name}")
    return (same or found)[0]
