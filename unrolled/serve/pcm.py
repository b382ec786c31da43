"""Raw sound as it travels: mono, 16 bits, little-endian."""

from __future__ import annotations

import io
import wave

import numpy as np


def pack(samples: np.ndarray) -> bytes:
    """Samples (N,), full scale 1; what is louder is clipped."""
    return np.clip(np.rint(np.asarray(samples, np.float64) * 32768), -32768, 32767).astype("<i2").tobytes()


def unpack(content: bytes) -> np.ndarray:
    """Samples (N,) float32, full scale 1, of an even number of bytes."""
    return np.frombuffer(content, "<i2").astype(np.float32) / 32768


def wav(samples: np.ndarray, hertz: int) -> bytes:
    """A WAV file."""
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(hertz)
        file.writeframes(pack(samples))
    return memory.getvalue()
