"""Word vectors beside gensim and pWord2Vec: the same 17 million words, threads and settings.

Every row is a command in a process of its own, from the text on disk to vectors on disk. `words_per_second` is what each
program counts in training alone; `analogies` and `wordsim353` are measured by one program for all, analogies among the 30,000
most frequent words. pWord2Vec is taken from the folder that the environment's PEERS names.
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
TURNS = 2  # runs of one epoch, by which speeds are compared
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


MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print("peak", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
sys.exit(code)
"""


def command(words: list[Any], environment: dict[str, str] | None = None) -> tuple[float, float, str]:
    """Run a program to its end: seconds, peak MB, what it said.

    Started by a small process: a large one's memory would count as its child's.
    """
    began = time.perf_counter()
    all_words = [sys.executable, "-S", "-c", MEASURED, *map(str, words)]
    done = subprocess.run(all_words, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    took = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {done.stderr[-2000:]}")
    out, _, peak = done.stdout.rpartition("peak ")
    return took, float(peak), done.stderr + out


def corpus_of(data: str | None, folder: Path) -> tuple[Path, Path]:
    """The text as it is, on one line, and in lines of about 1,000 words for the peers, which cut longer ones off."""
    if data is None:
        raise SystemExit("--data FOLDER: a folder with embeddings/wikipedia-words.txt.xz and the evaluation sets")
    source = next((Path(data) / "embeddings").glob("wikipedia-words.txt*"))
    whole, wrapped = folder / "whole.txt", folder / "wrapped.txt"
    with open(whole, "wb") as file:
        for block in text.blocks(source):
            file.write(block)
    with open(wrapped, "wb") as file:
        subprocess.run(["fold", "-s", "-w", "6000", str(whole)], stdout=file, check=True)
    return whole, wrapped


def quality(path: Path, data: str) -> dict[str, float]:
    found = Vectors.open(path).evaluate([Path(data) / "embeddings" / name for name in ("questions-words.txt", "wordsim353.tsv")])
    analogies = next(result for result in found if isinstance(result, Analogies))
    similar = next(result for result in found if not isinstance(result, Analogies))
    return {"analogies": 100 * analogies.total.accuracy, "wordsim353": similar.spearman}


def ours(corpus: Path, out: Path, *flags: Any) -> tuple[float, float, float]:
    """seconds, peak MB, words a second of one `unrolled train embed`."""
    seconds, peak, _ = command([sys.executable, "-m", "unrolled", "train", "embed", corpus, "--out", out, *flags])
    return seconds, peak, json.loads((out / "report.json").read_text()).get("words_per_second")


def gensim(corpus: Path, out: Path, cbow: bool, epochs: int, size: int) -> tuple[float, float, float]:
    seconds, peak, said = command([sys.executable, "-c", GENSIM, corpus, out, int(cbow), epochs, size, THREADS])
    return seconds, peak, float(re.search(r"words/s ([\d.]+)", said)[1])


def pword2vec(corpus: Path, out: Path, epochs: int, size: int) -> tuple[float, float, float]:
    """pWord2Vec, one thread of MKL in each of its own; the speed it prints last."""
    flags = ["-size", size, "-window", 5, "-negative", 5, "-sample", 1e-3, "-min-count", 5, "-iter", epochs, "-threads", THREADS]
    program, one = Path(PEERS) / "pWord2Vec", {"MKL_NUM_THREADS": "1"}
    seconds, peak, said = command([program, "-train", corpus, "-output", out, "-binary", 1, *flags], one)
    return seconds, peak, 1000 * float(re.findall(r"Words/sec: *([\d.]+)k", said)[-1])


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
        if PEERS is not None and not cbow:
            systems["pWord2Vec with MKL"] = lambda out, epochs: pword2vec(wrapped, out, epochs, 100)
        speeds: dict[str, list[float]] = {system: [] for system in systems}
        for turn in range(TURNS):
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


def run_glove(data: str | None) -> None:
    """Window 10, 100 dimensions, x_max 10, 15 epochs: from the text to vectors."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, _ = corpus_of(data, folder)
        out = folder / "run"
        seconds, peak, _ = command(
            [sys.executable, "-m", "unrolled", "train", "embed", whole, "--out", out, "--method", "glove", "--dimensions", 100]
        )
        report = json.loads((out / "report.json").read_text())
        speed = report["co_occurrences_per_second"]
        rows.append(
            {
                "system": "unrolled",
                "count_and_lay_seconds": seconds - report["seconds"],
                "co_occurrences_per_second": speed,
                "peak_mb": peak,
                **quality(out, data),
            }
        )
    save("glove", rows)


OPENTSNE = """
import sys
import numpy as np, openTSNE
vectors = np.load(sys.argv[1])
openTSNE.TSNE(perplexity=30, metric="cosine", n_jobs=1, random_state=1).fit(vectors)
"""


def run_map(data: str | None) -> None:
    """10,000 words of 100 dimensions: our whole command with its picture, page and figures, and openTSNE's layout alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, _ = corpus_of(data, folder)
        out, matrix = folder / "run", folder / "vectors.npy"
        ours(whole, out, "--dimensions", 100, "--epochs", 2)
        vectors = Vectors.open(out)
        np.lib.format.open_memmap(matrix, "w+", np.float32, (10_000, 100))[:] = vectors.matrix[:10_000]
        seconds, peak, said = command([sys.executable, "-m", "unrolled", "vectors", "map", out, "--words", 10_000, "--json"])
        figures = json.loads(said.splitlines()[-1])
        names = ("kl_divergence", "trustworthiness", "neighbour_overlap")
        peer, peer_peak, _ = command([sys.executable, "-c", OPENTSNE, matrix])
        rows = [
            {"system": "unrolled", "seconds": seconds, "peak_mb": peak, **{name: figures[name] for name in names}},
            {"system": "openTSNE, layout alone", "seconds": peer, "peak_mb": peer_peak},
        ]
    save("map", rows)


def run_choices(data: str | None) -> None:
    """One task, the ways to write a word: a GRU language model over the Penn Treebank, 400 steps, nothing else changed."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, _ = corpus_of(data, folder)
        for method, epochs in (("word2vec", 5), ("glove", 15)):
            ours(whole, folder / method, "--method", method, "--epochs", epochs)
        (text_file,) = (Path(data) / "text" / "ptb").glob("*train*")
        (dev,) = (Path(data) / "text" / "ptb").glob("*valid*")
        word2vec_run, glove_run = ["--vectors", folder / "word2vec"], ["--vectors", folder / "glove"]
        ways = {
            "one-hot": ["--vectors", "one-hot"],
            "learned, 128": ["--embedding", 128],
            "word2vec, frozen": [*word2vec_run, "--no-tune"],
            "word2vec, tuned": word2vec_run,
            "glove, frozen": [*glove_run, "--no-tune"],
            "glove, tuned": glove_run,
        }
        sizes = ["--symbols", "words", "--vocabulary", 10_000, "--cell", "gru", "--hidden", 256, "--layers", 1, "--steps", 400]
        sizes += ["--batch", 20, "--length", 35, "--evaluations", 3]
        for way, flags in ways.items():
            out = folder / f"language-{len(rows)}"
            train = [sys.executable, "-m", "unrolled", "train", "language", text_file, "--dev", dev, "--out", out]
            seconds, _, said = command([*train, *sizes, *flags])
            report = json.loads((out / "report.json").read_text())
            covered = re.search(r"vectors: .*\(([\d.]+) %\)", said)
            rows.append(
                {
                    "vectors": way,
                    "nats_per_word": report["dev"]["nats_per_symbol"],
                    "perplexity": report["dev"]["perplexity"],
                    "3-gram_nats": report["baselines"]["3-gram"]["nats_per_symbol"],
                    "covered_percent": float(covered[1]) if covered else None,
                    "weights": report["weights"],
                    "seconds": seconds,
                }
            )
            print(rows[-1], flush=True)
    save("vectors-in-a-task", rows)
