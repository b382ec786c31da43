"""A map of words: their vectors laid out in a plane by t-SNE (van der Maaten and Hinton, JMLR 9, 2008), and what that lost.

words -> unit vectors (N, D) -> nearest words (N, k) -> affinities (N, N), sparse -> positions (N, 2) -> png, html, tsv

The distance is that of unit vectors, so near means a large cosine. Every map bends what it shows; two measures beside it
say by how much: whether neighbours in the picture are neighbours in truth, and whether true neighbours are in the picture.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from .config import check, option
from .errors import MISSING_EXTRA, UserError, of_system
from .progress import Progress
from .run import write_bytes
from .word_page import Map, page

NEIGHBOURS = 10  # that the measures look at, and that the page lists
CLUSTERS = 9  # as many as there are colours to tell apart
EARLY, LATE = 250, 500  # steps of openTSNE with affinities exaggerated 12 times, and without
BLOCK = 1 << 22  # similarities held at once


@dataclasses.dataclass(frozen=True)
class Options:
    """Settings of a map."""

    words: int = option(2000, "how many words, the most frequent first", minimum=3)
    only: str | None = option(None, "file with the words to show, one a line; `word TAB group` colours them by group")
    colour: str = option("cluster", "what the colours tell", choices=("cluster", "none"))
    clusters: int | None = option(None, "how many clusters; the default is at most 9, one a colour", minimum=1, maximum=36)
    perplexity: float = option(30.0, "how many neighbours a word has a feeling for", minimum=1, maximum=10_000)
    seed: int = option(1, "of clusters and of the start of the layout", minimum=0, maximum=2**31 - 1)
    out: str | None = option(None, "folder for the files; the default is that of the vectors")


class Vectors(Protocol):
    """What a map is made of."""

    words: Sequence[str]  # the most frequent first
    matrix: np.ndarray  # (V, D)

    def __len__(self) -> int: ...


class Shown(NamedTuple):
    words: list[str]  # the most frequent first
    unit: np.ndarray  # (N, D) float32, of length 1
    groups: list[str | None] | None  # each word's group in the user's list


def make(vectors: Vectors, options: Options, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Write map.png, map.html and map.tsv; returns plain figures of the map and the files' paths.

    kl_divergence is what t-SNE minimises, in nats. UserError: a missing extra, a list that cannot be read, fewer than three
    words with vectors, vectors that are no numbers or all alike.
    """
    began, progress = time.monotonic(), progress or Progress()
    check(options)
    plot = _plotting()
    shown = choose(vectors, options, progress)
    count = len(shown.words)
    perplexity = min(options.perplexity, max(1.0, (count - 1) / 3))
    if perplexity < options.perplexity:
        progress.say(f"perplexity {perplexity:.3g}, not {options.perplexity:g}: {count} words allow no more")
    progress.say(f"map of {count:,} words, {shown.unit.shape[1]} dimensions")
    near, similarity = nearest(shown.unit, min(count - 1, max(NEIGHBOURS, int(np.ceil(3 * perplexity)))))
    if np.ptp(similarity) < 1e-6:  # all vectors are one, or all at right angles
        raise UserError(f"each of these {count} words is as near to every other: there is nothing to map")
    positions, divergence = lay_out(shown.unit, near, similarity, perplexity, options.seed, progress)
    measures = measure(shown.unit, near, positions)
    groups, names, key = grouped(shown, options)
    title, small, figures = _words_for(count, perplexity, divergence, measures)
    listed = min(NEIGHBOURS, count - 1)
    drawn = Map(title, shown.words, shown.unit, positions, groups, names, key, near[:, :listed], similarity[:, :listed], figures)
    paths = _write(drawn, small, Path(options.out) if options.out else folder, plot)
    return {
        "words": count, "perplexity": perplexity, "kl_divergence": divergence, **measures,
        "seconds": time.monotonic() - began, "paths": paths,
    }  # fmt: skip


def _plotting() -> Any:
    """The module `plot`, once all that a map needs is known to be there."""
    try:
        import openTSNE  # noqa: F401

        from . import plot
    except ImportError as error:
        raise UserError(
            f"a map needs the package `{error.name or 'openTSNE'}`", fix="pip install 'unrolled[plot]'", code=MISSING_EXTRA
        ) from None
    return plot


# --- which words


def choose(vectors: Vectors, options: Options, progress: Progress) -> Shown:
    """The words to show and their vectors, of length 1. Words whose vector is zero have no direction and are left out."""
    rows, groups = np.arange(min(options.words, len(vectors))), None
    if options.only is not None:
        rows, groups = _listed(vectors, Path(options.only), progress)
    words, matrix = [vectors.words[i] for i in rows], np.asarray(vectors.matrix[rows], np.float32)
    damaged = np.flatnonzero(~np.isfinite(matrix).all(1))
    if len(damaged):
        raise UserError(
            f"these words' vectors hold what is no number: {_few([words[i] for i in damaged])}",
            fix="train again, or list other words with --only",
        )
    largest = np.abs(matrix).max(1, initial=0)
    kept = np.flatnonzero(largest)
    if len(kept) < len(words):
        progress.say(f"left out, since their vectors are zero: {_few([words[i] for i in np.flatnonzero(largest == 0)])}")
    if len(kept) < 3:
        raise UserError(f"a map needs at least 3 words with vectors; there are {len(kept)}")
    matrix = matrix[kept] / largest[kept, None]  # the square of a large number may be too large
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return Shown([words[i] for i in kept], unit, groups and [groups[i] for i in kept])


def _listed(vectors: Vectors, path: Path, progress: Progress) -> tuple[np.ndarray, list[str | None] | None]:
    """Rows of the words in a user's list, the most frequent first, and their groups if it names any."""
    listed, index = read_list(path), {word: i for i, word in enumerate(vectors.words)}
    missing = [word for word in listed if word not in index]
    if missing:
        progress.say(f"without a vector: {_few(missing)}")
    rows = sorted(index[word] for word in listed if word in index)
    groups = [listed[vectors.words[i]] for i in rows]
    return np.array(rows, int), groups if any(group is not None for group in groups) else None


def read_list(path: Path) -> dict[str, str | None]:
    """Words, one a line, each with the group after its tab or None; of a word given twice the first line counts."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise of_system(error, "reading", str(path)) from None
    except UnicodeDecodeError as error:
        raise UserError(f"`{path}` is not UTF-8 text", f"{path}: byte {error.start}") from None
    listed: dict[str, str | None] = {}
    for number, line in enumerate(text.split("\n"), 1):
        word, *group = line.strip().split("\t")
        if len(group) > 1:
            raise UserError(
                f"a line of `--only` has {len(group) + 1} columns; it is a word, or a word, a tab and its group",
                f"{path}:{number}",
            )
        if word:
            listed.setdefault(word, group[0].strip() or None if group else None)
    return listed


def _few(words: list[str]) -> str:
    return ", ".join(f"`{word}`" for word in words[:5]) + (f" and {len(words) - 5:,} more" if len(words) > 5 else "")


# --- layout


def _blocks(unit: np.ndarray) -> Any:
    """Row numbers (b,) and their similarities to all words (b, N), a word's own set below all others."""
    rows = max(1, BLOCK // len(unit))
    for first in range(0, len(unit), rows):
        at = np.arange(first, min(first + rows, len(unit)))
        similarity = unit[at] @ unit.T
        similarity[np.arange(len(at)), at] = -2
        yield at, similarity


def nearest(unit: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest words (N, k) of each word by cosine, nearest first, and the cosines (N, k); exact."""
    near, similarity = np.empty((len(unit), k), np.int32), np.empty((len(unit), k), np.float32)
    for at, similarities in _blocks(unit):
        best = np.argpartition(similarities, -k, axis=1)[:, -k:]
        found = np.take_along_axis(similarities, best, 1)
        order = np.argsort(-found, axis=1, kind="stable")
        near[at], similarity[at] = np.take_along_axis(best, order, 1), np.take_along_axis(found, order, 1)
    return near, similarity


def lay_out(
    unit: np.ndarray, near: np.ndarray, similarity: np.ndarray, perplexity: float, seed: int, progress: Progress
) -> tuple[np.ndarray, float]:
    """Positions (N, 2) by t-SNE, and the divergence from the affinities that is left, in nats."""
    import openTSNE

    from .kernels import tsne

    distances = np.sqrt(np.maximum(2 - 2 * similarity.astype(float), 0))  # of unit vectors
    index = openTSNE.nearest_neighbors.PrecomputedNeighbors(near, distances)
    affinities = openTSNE.affinity.PerplexityBasedNN(perplexity=perplexity, knn_index=index)

    def tell(step: int, divergence: float, _: np.ndarray) -> None:
        progress.now(f"map: step {step}, divergence {divergence:.3f}")

    layout = openTSNE.TSNEEmbedding(
        start(unit, seed), affinities, random_state=seed, n_jobs=1, callbacks=[tell], callbacks_every_iters=50,
        negative_gradient_method=tsne.gradient if len(unit) <= tsne.EXACT else "fft",
    )  # fmt: skip
    layout.optimize(EARLY, exaggeration=12, momentum=0.8, inplace=True)
    layout.optimize(LATE, momentum=0.8, inplace=True)
    return np.array(layout), float(layout.kl_divergence)


def start(unit: np.ndarray, seed: int) -> np.ndarray:
    """Where t-SNE begins (N, 2): the vectors along their two main axes, very small, equal ones put apart.

    (Kobak and Berens, Nature Communications 10, 2019: such a start keeps more of the whole than a random one.)
    """
    centred = (unit - unit.mean(0)).astype(float)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, :-3:-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])  # an axis has two directions
    positions = np.zeros((len(unit), 2))
    positions[:, : axes.shape[1]] = centred @ axes
    positions *= 1e-4 / positions[:, 0].std()
    return positions + np.random.default_rng(seed).normal(0, 1e-6, positions.shape)


def places(vectors: Vectors, folder: Path, number: int) -> dict[str, Any]:
    """Where the most frequent words stand on a run's map, and by what: t-SNE where a map was made, else the two main axes."""
    kept = folder / "map.tsv"
    if kept.exists():
        rows = [line.split("\t") for line in kept.read_text(encoding="utf-8", errors="replace").splitlines()[1:]]
        return {"by": "t-SNE", "points": [[row[0], float(row[1]), float(row[2])] for row in rows[:number]]}
    found = choose(vectors, Options(words=number), Progress(quiet=True))
    at = (1e4 * start(found.unit, 1)).round(3).tolist()
    return {"by": "the two main axes", "points": [[word, *place] for word, place in zip(found.words, at, strict=True)]}


# --- what the map kept


def measure(unit: np.ndarray, near: np.ndarray, positions: np.ndarray) -> dict[str, float]:
    """How far neighbours on the map and in truth are the same, looking at `neighbours` of each word (10, fewer for few words).

    trustworthiness: 1 when every neighbour on the map is one in truth, 0 at worst; a neighbour that is not costs the more the
    farther it is in truth (Venna and Kaski 2001). neighbour_overlap: the share of the true nearest that are nearest on the map.
    """
    k = max(1, min(NEIGHBOURS, (len(unit) - 1) // 2))
    on_map = nearest_on_map(positions, k)
    kept = (on_map[:, :, None] == near[:, None, :k]).any(2).mean()
    return {"neighbours": k, "trustworthiness": trustworthiness(unit, on_map), "neighbour_overlap": float(kept)}


def nearest_on_map(positions: np.ndarray, k: int) -> np.ndarray:
    """The k nearest of each point (N, k), itself left out, nearest first."""
    from scipy.spatial import cKDTree

    found = cKDTree(positions).query(positions, k + 1)[1]
    other = found != np.arange(len(found))[:, None]
    other[other.all(1), -1] = False  # more than k others on the same spot: the point itself was not among those found
    return found[other].reshape(-1, k)


def trustworthiness(unit: np.ndarray, on_map: np.ndarray) -> float:
    """1 - 2 / (N k (2N - 3k - 1)) Σ_i Σ_j max(0, r(i, j) - k), where r is the true rank of i's neighbour j on the map (N, k)."""
    count, k = on_map.shape
    too_far = 0
    for at, similarities in _blocks(unit):
        for column in on_map[at].T:
            own = np.take_along_axis(similarities, column[:, None], 1)
            rank = 1 + np.count_nonzero(similarities > own, axis=1)
            too_far += int(np.maximum(rank - k, 0).sum())
    return 1 - 2 * too_far / (count * k * (2 * count - 3 * k - 1))


# --- groups


def grouped(shown: Shown, options: Options) -> tuple[np.ndarray, list[str], str]:
    """Each word's group (N,), the groups' names and what they are: those of the user's list, else clusters, else none."""
    if options.colour == "none":
        return np.zeros(len(shown.words), int), [], ""
    if shown.groups is not None:
        names = list(dict.fromkeys(group for group in shown.groups if group is not None))
        names += ["no group"] if None in shown.groups else []
        number = {name: i for i, name in enumerate(names)}
        return np.array([number["no group" if group is None else group] for group in shown.groups]), names, "Groups"
    count = options.clusters or min(CLUSTERS, max(1, len(shown.words) // 5))
    groups = clusters(shown.unit, count, options.seed)
    members = [np.flatnonzero(groups == group)[:3] for group in range(groups.max() + 1)]
    return groups, [", ".join(shown.words[i] for i in first) for first in members], "Clusters, by their most frequent words"


def clusters(unit: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Numbers (N,) of at most `count` clusters of unit vectors, the largest first: the best of three runs of spherical k-means.

    (Dhillon and Modha, Machine Learning 42, 2001; begun as k-means++ begins, Arthur and Vassilvitskii 2007.)
    """
    random, best, closest = np.random.default_rng(seed), None, -np.inf
    for _ in range(3):
        centres = _first_centres(unit, count, random)
        for _ in range(25):
            similarity = unit @ centres.T  # (N, C)
            of = similarity.argmax(1)
            sums = np.equal.outer(np.arange(len(centres)), of).astype(np.float32) @ unit
            lengths = np.linalg.norm(sums, axis=1, keepdims=True)
            moved = np.where(lengths > 0, sums / np.maximum(lengths, 1e-12), centres)
            if np.array_equal(moved, centres):
                break
            centres = moved
        total = float(similarity.max(1).sum())
        if total > closest:
            best, closest = of, total
    _, numbers, sizes = np.unique(best, return_inverse=True, return_counts=True)
    place = np.empty(len(sizes), int)
    place[np.argsort(-sizes, kind="stable")] = np.arange(len(sizes))
    return place[numbers]


def _first_centres(unit: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Words drawn one after another, each the likelier the farther it is from those drawn before; no two alike."""
    centres = [unit[random.integers(len(unit))]]
    away = np.full(len(unit), np.inf)
    while len(centres) < count:
        away = np.minimum(away, np.maximum(1 - unit @ centres[-1], 0))
        away[away < 1e-6] = 0
        if not away.any():
            break
        centres.append(unit[random.choice(len(unit), p=away / away.sum())])
    return np.array(centres)


# --- what is written


def _words_for(
    count: int, perplexity: float, divergence: float, measures: dict[str, float]
) -> tuple[str, str, list[tuple[str, str, str]]]:
    """The title, the small print of the picture, and the figures of the page: name, value, meaning."""
    k, trust, kept = measures["neighbours"], f"{measures['trustworthiness']:.3f}", f"{measures['neighbour_overlap']:.0%}"
    figures = [
        ("perplexity", f"{perplexity:.3g}", "about how many neighbours each word was kept close to"),
        ("KL divergence", f"{divergence:.3f}", "what t-SNE minimises, in nats; comparable between maps of the same words alone"),
        ("trustworthiness", trust, f"1: the {k} nearest on the map are near in truth too (Venna and Kaski 2001)"),
        (f"true {k} nearest kept", kept, f"share of the {k} nearest by cosine that are among the {k} nearest on the map"),
    ]
    small = (
        f"t-SNE, perplexity {perplexity:.3g} · trustworthiness {trust} · {kept} of the true {k} nearest words are among the {k} "
        "nearest here · distances between groups, and their sizes, mean nothing"
    )
    return f"Map of {count:,} words", small, figures


def _write(drawn: Map, small: str, folder: Path, plot: Any) -> list[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise of_system(error, "making the folder", str(folder)) from None
    figure = plot.word_map(drawn.positions, drawn.words, drawn.groups, drawn.names, drawn.key, drawn.title, small)
    files = {"map.png": plot.png(figure), "map.html": page(drawn), "map.tsv": _table(drawn)}
    for name, content in files.items():
        write_bytes(folder / name, content)
    return [str(folder / name) for name in files]


def _table(drawn: Map) -> bytes:
    """word, x, y and cluster (its name, or nothing), one word a line."""
    named = [drawn.names[group] for group in drawn.groups] if drawn.names else [""] * len(drawn.words)
    lines = ["word\tx\ty\tcluster"]
    for word, (x, y), name in zip(drawn.words, drawn.positions, named, strict=True):
        lines.append("\t".join((_on_one_line(word), f"{x:.7g}", f"{y:.7g}", _on_one_line(name))))
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")


def _on_one_line(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
