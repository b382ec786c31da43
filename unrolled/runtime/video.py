"""What happens in a clip, or in each of its frames, as `unrolled predict` answers; and frame by frame, as they come."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..data import frames as of_frames
from ..data import pictures
from ..data.frames import Clip
from ..errors import UserError
from .opened import Opened

PIECE = 64  # frames looked at together
Frames = str | Path | np.ndarray  # a film, GIF, strip or folder of frames; or pixels (T, H, W, 3) of uint8
State = dict[str, np.ndarray]


class Answer(NamedTuple):
    """What is answered to a clip; of labels of frames what is in `frames` alone."""

    label: str | None
    probability: float | None
    probabilities: dict[str, float] | None
    frames: list[dict[str, Any]] | None  # frames in a row that have one label: first, last, label, mean probability; or each


class Video:
    """`labels` has the names of the answers."""

    def __init__(self, opened: Opened):
        self.look, self.over, self.labels = opened.graph, opened.parts["time"], opened.codec.labels
        self.size, self.per_frame, self.streams = (opened.settings[name] for name in ("size", "per_frame", "streams"))
        self.middle, every, number = (opened.settings[name] for name in ("middle", "every", "frames"))
        self.choose = of_frames.each(every) if self.per_frame else partial(of_frames.middles, number=number)

    def predict(self, clips: Sequence[Frames], each: bool = False) -> list[Answer]:
        """An answer to each clip. each: what is answered after each frame as they come, too."""
        return [self._answer(self._opened(clip), each) for clip in clips]

    def stream(self) -> Stream:
        """A clip before its first frame; there may be any number of them."""
        return Stream(self)

    def start(self) -> State:
        """What is carried from one frame to the next, before the first."""
        if not self.streams:
            raise UserError("this net answers to whole clips alone, not frame by frame", fix="train with --direction forward")
        return self._begun()

    def step(self, frame: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """One more frame (H, W, 3): probabilities (K,) of what was shown so far, or of that frame; the state after it."""
        found, state = self._over(self._features(self._fitted(frame)[None]), state)
        return (found[0] if self.per_frame else found), state

    def _begun(self) -> State:
        begun = {f"state_{i}": one for i, one in enumerate(self.over.start(1))}
        shapes = {each.name: each.shape for each in self.over.session.get_inputs()}
        if "held" in shapes:
            begun |= {"held": np.zeros((1, shapes["held"][1]), np.float32), "count": np.zeros(1, np.int64)}
        return begun

    def _features(self, frames: np.ndarray) -> np.ndarray:
        """Frames (T, S, S, 3) -> features (1, T, E), each of its frame alone."""
        pieces = [frames[begin : begin + PIECE] for begin in range(0, len(frames), PIECE)]
        return np.concatenate([self.look({"pixels": piece})["features"] for piece in pieces])[None]

    def _over(self, features: np.ndarray, state: State) -> tuple[np.ndarray, State]:
        """Features (1, T, E) -> probabilities (K,), or of labels of frames (T, K), and the state after them."""
        made = self.over({"features": features, "lengths": np.array([features.shape[1]])} | state)
        logits = made["logits"][0].astype(np.float64)
        e = np.exp(logits - logits.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True), {name: made[f"after_{name}"] for name in state}

    def _answer(self, clip: Clip, each: bool) -> Answer:
        told = list(self._each(clip)) if each else None
        if self.per_frame and each:
            return Answer(None, None, None, told)
        frames = clip.frames[len(clip.frames) // 2][None] if self.middle else clip.frames
        found, _ = self._over(self._features(frames), self._begun())
        if self.per_frame:
            return Answer(None, None, None, self._in_a_row(clip, found))
        by_name = dict(zip(self.labels, found.tolist(), strict=True))
        return Answer(self.labels[found.argmax()], float(found.max()), by_name, told)

    def _each(self, clip: Clip) -> Iterator[dict[str, Any]]:
        state = self.start()
        for number, frame in zip(clip.numbers.tolist(), clip.frames, strict=True):
            found, state = self.step(frame, state)
            yield {"frame": number, "label": self.labels[found.argmax()], "probability": float(found.max())}

    def _in_a_row(self, clip: Clip, found: np.ndarray) -> list[dict[str, Any]]:
        """Frames in a row that have one label."""
        labels = found.argmax(1)
        borders = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
        ends = [*clip.numbers[borders[1:-1]].tolist(), clip.count]
        return [
            {
                "first": int(clip.numbers[begin]), "last": after - 1, "label": self.labels[labels[begin]],
                "probability": float(found[begin:end, labels[begin]].mean()),
            }
            for begin, end, after in zip(borders[:-1], borders[1:], ends, strict=True)
        ]  # fmt: skip

    def _opened(self, clip: Frames) -> Clip:
        if not isinstance(clip, np.ndarray):
            return of_frames.read(Path(clip), self.size, self.choose)
        if clip.ndim != 4 or not len(clip):
            raise UserError(f"a clip got the shape {clip.shape}; needed are pixels (frames, height, width, 3)")
        numbers = self.choose(len(clip))
        return Clip(np.stack([self._fitted(frame) for frame in clip[numbers]]), numbers, len(clip))

    def _fitted(self, frame: np.ndarray) -> np.ndarray:
        return pictures.stretched(frame, self.size, self.size)


class Stream:
    """One clip whose frames come one by one."""

    def __init__(self, net: Video):
        self.net, self.state = net, net.start()

    def push(self, frame: np.ndarray) -> dict[str, float]:
        """The probability of each label after one more frame (H, W, 3) of uint8."""
        found, self.state = self.net.step(frame, self.state)
        return dict(zip(self.net.labels, found.tolist(), strict=True))

    def reset(self) -> None:
        """As before the first frame."""
        self.state = self.net.start()
