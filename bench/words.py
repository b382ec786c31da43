"""Word vectors beside gensim, pWord2Vec, word2vec.c and Stanford's GloVe: the same 17 million words, threads and settings.

Every row is a command in a process of its own, from the text on disk to vectors on disk. `words_per_second` is what each
program counts in training alone; `analogies` and `wordsim353` are measured by one program for all, analogies among the 30,000
most frequent words. Programs in C are taken
from the folder that the environment's PEERS names, where they are there.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unrolled.data import text
from unrolled.evaluation import Analogies
from unrolled.vectors import Vectors

from .harness import alternate, save

PEERS = os.environ.get("PEERS")
THREADS = torch.get_num_threads()
GENSIM = """
import sys
from gensim.models import Word2Vec
corpus, out, cbow, epochs, size, threads = sys.argv[1:]
model = Word2Vec(corpus_file=corpus, vector_size=int(size), window=5, negative=5, sample=1e-3, min_count=5,
                 workers=int(threads), epochs=int(epochs), sg=1 - int(cbow))
model.wv.save_word2vec_format(out, binary=True)
print("words/s", model.corpus_total_words * int(epochs) / model.total_train_time)
"""


def command(words: list[Any], environment: dict[str, str] | None = None) -> tuple[float, float, str]:
    """Run a program to its end: seconds, peak MB, what it said."""
    began = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen([str(w) for w in words], stdout=said, stderr=said, env={**os.environ, **(environment or {})})
        _, status, usage = os.wait4(process.pid, 0)
        took = time.perf_counter() - began
        said.seek(0)
        output = said.read()
    if status:
        raise RuntimeError(f"{words[0]}: {output[-2000:]}")
    return took, usage.ru_maxrss / 1024, output


def corpus_of(data: str | None, folder: Path) -> tuple[Path, Path]:
    """The text as it is, on one line, and in lines of 1,000 words for the peers, which cut longer ones off."""
    if data is None:
        raise SystemExit("--data FOLDER: a folder with embeddings/wikipedia-words.txt.xz and the evaluation sets")
    source = next((Path(data) / "embeddings").glob("wikipedia-words.txt*"))
    whole, wrapped = folder / "whole.txt", folder / "wrapped.txt"
    with open(whole, "wb") as file:
        for block in text.blocks(source):
            file.write(block)
    words = whole.read_text().split()
    with open(wrapped, "w") as file:
        for at in range(0, len(words), 1000):
            file.write(" ".join(words[at : at + 1000]) + "\n")
    return whole, wrapped


def quality(path: Path, data: str) -> dict[str, float]:
    found = Vectors.open(path).evaluate([Path(data) / "embeddings" / name for name in ("questions-words.txt", "wordsim353.tsv")])
    analogies = next(result for result in found if isinstance(result, Analogies))
    similar = next(result for result in found if not isinstance(result, Analogies))
    return {"analogies": 100 * analogies.total.accuracy, "wordsim353": similar.spearman}


def ours(corpus: Path, out: Path, *flags: Any) -> tuple[float, float, float]:
    """seconds, peak MB, words a second of one `unrolled train embed`."""
    seconds, peak, _ = command([sys.executable, "-m", "unrolled", "train", "embed", corpus, "--out", out, *flags])
    return seconds, peak, json.loads((out / "report.json").read_text())["words_per_second"]


def gensim(corpus: Path, out: Path, cbow: bool, epochs: int, size: int) -> tuple[float, float, float]:
    seconds, peak, said = command([sys.executable, "-c", GENSIM, corpus, out, int(cbow), epochs, size, THREADS])
    return seconds, peak, float(re.search(r"words/s ([\d.]+)", said)[1])


def in_c(program: Path, corpus: Path, out: Path, epochs: int, size: int) -> tuple[float, float, float]:
    """pWord2Vec or word2vec.c; their own counter at the end of the last epoch, words a second and thread or of all."""
    flags = ["-size", size, "-window", 5, "-negative", 5, "-sample", 1e-3, "-min-count", 5, "-iter", epochs, "-threads", THREADS]
    kind = ["-cbow", 0] if program.name == "word2vec" else []
    one = {"MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    seconds, peak, said = command([program, "-train", corpus, "-output", out, "-binary", 1, *flags, *kind], one)
    found = re.findall(r"[Ww]ords/(?:thread/)?sec: *([\d.]+)k", said)
    speed = 1000 * float(found[-1]) if found else float("nan")
    return seconds, peak, speed * (THREADS if "thread/sec" in said else 1)


def word2vec(data: str | None, cbow: bool) -> list[dict[str, Any]]:
    rows = []
    flags = ["--dimensions", 100, *(["--architecture", "cbow"] if cbow else [])]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, wrapped = corpus_of(data, folder)
        systems = {
            "unrolled": lambda out, epochs: ours(whole, out, *flags, "--epochs", epochs),
            "unrolled, default settings": lambda out, epochs: ours(whole, out, *flags[2:], "--epochs", epochs),
            "gensim": lambda out, epochs: gensim(wrapped, out, cbow, epochs, 100),
        }
        for program in () if PEERS is None or cbow else ("pWord2Vec", "word2vec"):
            if (path := Path(PEERS) / program).exists():
                systems[program] = lambda out, epochs, path=path: in_c(path, wrapped, out, epochs, 100)
        speeds: dict[str, list[float]] = {system: [] for system in systems}
        for turn in range(3):
            for system, run in systems.items():
                speeds[system].append(run(folder / f"{system}-{turn}", 1)[2])
        for system, run in systems.items():
            out = folder / f"{system}-5"
            seconds, peak, _ = run(out, 5)
            ratios = [a / b for a, b in zip(speeds["unrolled"], speeds[system], strict=True)]
            rows.append(
                {
                    "system": system,
                    "words_per_second": statistics.median(speeds[system]),
                    "unrolled_times": f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})",
                    "whole_command_seconds": seconds,
                    "peak_mb": peak,
                    **quality(out, data),
                }
            )
            print(rows[-1], flush=True)
    return rows


def run_skip_gram(data: str | None) -> None:
    save("skip-gram", word2vec(data, cbow=False))


def run_cbow(data: str | None) -> None:
    save("cbow", word2vec(data, cbow=True))


FIRST = """
import time
import numpy as np
from unrolled import word2vec
words, counts, ids = ["a", "b"], np.array([5, 5]), np.array([0, 1] * 5, np.int32)
settings = word2vec.Settings(100, False, "negatives", 5, 5, 1e-3, 0.05, 1, 1, 1, None, None, 1, False)
began = time.perf_counter()
work = word2vec.Word2vec(words, counts, ids, settings)
work.compile()
print(time.perf_counter() - began)
"""


def run_first_use(data: str | None) -> None:
    """Compiling the loops of word2vec: the first time, and in the next process."""
    with tempfile.TemporaryDirectory() as folder:
        taken = [float(command([sys.executable, "-c", FIRST], {"NUMBA_CACHE_DIR": folder})[2]) for _ in range(4)]
    save("words-first-use", [{"first_seconds": taken[0], "next_process_seconds": statistics.median(taken[1:])}])


def run_nearest(data: str | None) -> None:
    """One million vectors of 300: ten neighbours, in float32 and float16, beside NumPy's matrix product and argpartition."""
    matrix = np.random.default_rng(1).normal(size=(1_000_000, 300)).astype(np.float32)
    vectors = Vectors([str(i) for i in range(len(matrix))], matrix)
    half, lengths = vectors.half(), np.linalg.norm(matrix, axis=1)

    def plain() -> None:
        scores = matrix @ matrix[7] / lengths
        np.argpartition(scores, -10)[-10:]

    rows = []
    for kind, asked in (("float32", vectors), ("float16", half)):
        row = alternate(lambda asked=asked: asked.nearest("7"), plain)
        rows.append({"kind": kind, **row, "gigabytes_per_second": asked.matrix.nbytes / 1e9 / row["ours_seconds"]})
    save("nearest", rows)
