"""A linear-chain conditional random field over the tags of a sentence (Lafferty, McCallum and Pereira 2001).

    score(y|x) = start[y_1] + Σ_t e_t[y_t] + Σ_t A[y_{t-1}, y_t] + end[y_T]
    p(y|x) = exp score(y|x) / Z,    Z = Σ over all paths of exp score

e_t are the emissions, a score for each tag at each step, as a recurrent layer gives them. What may begin, follow and end can be
limited: every other path has probability 0, in training and in every answer.

The loops are in kernels/crf.py; `by_steps` is the same sum as the equations are written, and what a GPU runs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from .errors import UserError

State = tuple[Tensor, ...]
NEVER = -1e30  # what by_steps takes for -inf, which has no gradient
LONGEST = 10_000  # paths up to this length are looked for when a field is made


class CRF(nn.Module):
    """p(tags | emissions) of whole sequences.

    start (K,), follows (K, K), end (K,): booleans, which tags may begin, which may come after which (row: the one before), and
    which may end; None is every one. `tags` is K, for when all three are None. Scores begin at 0.
    Raises UserError when the shapes do not fit, and when rows of some length would have no legal path.

    Emissions are (B, T, K), lengths (B), each from 1 to T, None for T; what stands after a row's end is not looked at.
    On the CPU a row's result is the same, to the bit, beside any other rows and on any number of threads.
    """

    def __init__(
        self,
        start: Tensor | np.ndarray | None = None,
        follows: Tensor | np.ndarray | None = None,
        end: Tensor | np.ndarray | None = None,
        tags: int | None = None,
    ):
        super().__init__()
        sizes = [len(given) for given in (start, follows, end) if given is not None] + ([] if tags is None else [tags])
        if not sizes or sizes[0] < 1:
            raise UserError("`CRF` got no number of tags", fix="give `start`, `follows`, `end` or `tags`")
        K = sizes[0]
        names, shapes = ("start", "follows", "end"), ((K,), (K, K), (K,))
        allowed = [_booleans(*each) for each in zip(names, (start, follows, end), shapes, strict=True)]
        _need_paths(*(each.numpy() for each in allowed))
        for name, shape, may in zip(names, shapes, allowed, strict=True):
            self.register_parameter(name, nn.Parameter(torch.zeros(shape)))
            self.register_buffer(f"no_{name}", ~may, persistent=False)  # given anew by who makes the field, not a weight

    def extra_repr(self) -> str:
        return f"tags={len(self.start)}"

    def scores(self, never: float = -torch.inf) -> tuple[Tensor, Tensor, Tensor]:
        """start (K), A (K, K) and end (K), `never` where forbidden."""
        return (
            self.start.masked_fill(self.no_start, never),
            self.follows.masked_fill(self.no_follows, never),
            self.end.masked_fill(self.no_end, never),
        )

    def forward(self, emissions: Tensor, tags: Tensor, lengths: Tensor | None = None) -> Tensor:
        """-ln p(tags | emissions) of each row, (B,), nats; tags (B, T).

        Differentiable once in the emissions and the scores. Raises UserError for tags that are none, or that are forbidden.
        """
        emissions, lengths = self._checked(emissions, lengths)
        if tags.shape != emissions.shape[:2]:
            raise UserError(f"`tags` are {tuple(tags.shape)}; {tuple(emissions.shape[:2])} is needed")
        if emissions.device.type == "cuda":
            self._refuse(tags, lengths)
            return by_steps(emissions, tags, lengths, *self.scores(NEVER)).to(emissions.dtype)
        nats = _Nats.apply(emissions, tags, lengths, *self.scores())
        if not nats.isfinite().all():
            self._refuse(tags, lengths)
        return nats

    @torch.no_grad()
    def best(self, emissions: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The most probable path of each row, (B, T) int64 with 0 after its end, and its score (B,), float64 (Viterbi 1967)."""
        from .kernels import crf as kernel

        tags, scores = kernel.best(*self._arrays(emissions, lengths))
        return torch.from_numpy(tags).to(emissions.device), torch.from_numpy(scores).to(emissions.device)

    @torch.no_grad()
    def marginals(self, emissions: Tensor, lengths: Tensor | None = None) -> Tensor:
        """p(y_t = k | emissions) of each step, (B, T, K), 0 after a row's end (forward-backward, Rabiner 1989)."""
        from .kernels import crf as kernel

        scores, array, ends = self._arrays(emissions, lengths)
        chain = kernel.chain_of(*scores)
        none = np.full(array.shape[:2], -1)
        _, alpha = kernel.forward(chain, array, none, ends, keep=True)
        gamma = kernel.backward(chain, array, none, ends, alpha, np.ones(len(array)))[0]
        return torch.from_numpy(gamma).to(emissions)

    @torch.no_grad()
    def n_best(self, emissions: Tensor, lengths: Tensor | None = None, n: int = 1) -> tuple[Tensor, Tensor]:
        """The n most probable paths of each row, (B, n, T), best first, and their probabilities (B, n), float64.

        Where a row has fewer legal paths than n, the others have tags -1 and probability 0.
        """
        from .kernels import crf as kernel

        scores, array, ends = self._arrays(emissions, lengths)
        tags, found = kernel.n_best(scores, array, ends, n)
        nats, _ = kernel.forward(kernel.chain_of(*scores), array, tags[:, 0], ends, keep=False)  # of the best one
        probabilities = np.exp(found - found[:, :1] - nats[:, None])
        return torch.from_numpy(tags).to(emissions.device), torch.from_numpy(probabilities).to(emissions.device)

    def start_step(self, batch: int) -> State:
        """The state before any step, for `step`: what is expected of the tag to come, (batch, K)."""
        return (self.scores()[0].detach().expand(batch, -1),)

    @torch.no_grad()
    def step(self, emission: Tensor, state: State) -> tuple[Tensor, State]:
        """ln p(y_t | x_1..t), (B, K), of the tag now, given emission (B, K) and all before it; and the next state.

        The end's scores have no part in it: the row may go on. The last step of a row seen whole is in `marginals`.
        """
        (expected,) = state
        now = (expected + emission).log_softmax(-1)
        return now, (torch.logsumexp(now.unsqueeze(-1) + self.scores()[1].to(now.dtype), 1),)

    def _checked(self, emissions: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        K = len(self.start)
        if emissions.dim() != 3 or emissions.shape[2] != K:
            raise UserError(f"`emissions` are {tuple(emissions.shape)}; (rows, steps, {K}) is needed")
        B, T = emissions.shape[:2]
        lengths = torch.full((B,), T) if lengths is None else lengths
        if lengths.shape != (B,) or (B and not 1 <= int(lengths.min()) <= int(lengths.max()) <= T):
            raise UserError(f"`lengths` are {lengths.tolist()}; one for each of {B} rows, from 1 to {T}, is needed")
        half = emissions.dtype in (torch.float16, torch.bfloat16)
        return emissions.float() if half else emissions, lengths

    def _arrays(self, emissions: Tensor, lengths: Tensor | None) -> tuple[tuple, np.ndarray, np.ndarray]:
        """What the kernels that answer read: scores, emissions, lengths. Raises UserError where these are no numbers."""
        from .kernels import crf as kernel

        emissions, lengths = self._checked(emissions, lengths)
        scores, array, ends = kernel.scores(*map(_array, self.scores())), _array(emissions), _array(lengths)
        finite = np.isfinite(array).all() or np.isfinite(array[np.arange(array.shape[1]) < ends[:, None]]).all()
        if not finite or not all(each.max() < np.inf for each in scores):  # nan is not below it either
            raise UserError("the tags' scores are no numbers: the model's weights are damaged, or its training diverged")
        return scores, array, ends

    def _refuse(self, tags: Tensor, lengths: Tensor) -> None:
        """A UserError that names the first tag which is none, or stands where it may not."""
        K, tags, lengths = len(self.start), tags.cpu(), lengths.cpu()
        there = torch.arange(tags.shape[1]) < lengths.unsqueeze(1)
        none = there & ((tags < 0) | (tags >= K))
        if none.any():
            row, t = none.nonzero()[0].tolist()
            raise UserError(f"tag {int(tags[row, t])} is none of the {K} (0 to {K - 1})", where=f"row {row}, step {t}")
        tags, rows = tags * there, torch.arange(len(tags))
        wrong = torch.zeros_like(there)
        wrong[:, 1:] = self.no_follows.cpu()[tags[:, :-1], tags[:, 1:]] & there[:, 1:]
        wrong[:, 0] = self.no_start.cpu()[tags[:, 0]]
        wrong[rows, lengths - 1] |= self.no_end.cpu()[tags[rows, lengths - 1]]
        if wrong.any():
            row, t = wrong.nonzero()[0].tolist()
            before = f"after tag {int(tags[row, t - 1])}" if t else "at the start"
            last = ", the row's last step" if t == int(lengths[row]) - 1 else ""
            raise UserError(f"tag {int(tags[row, t])} may not stand {before}{last}", where=f"row {row}, step {t}")


def by_steps(emissions: Tensor, tags: Tensor, lengths: Tensor, start: Tensor, follows: Tensor, end: Tensor) -> Tensor:
    """ln Z - score(tags), (B,), in float64, one step after another: the equations. Forbidden scores are NEVER, not -inf.

    Differentiable any number of times.
    """
    there = torch.arange(emissions.shape[1], device=emissions.device) < lengths.to(emissions.device).unsqueeze(1)  # (B, T)
    e, tags = emissions.double(), tags.masked_fill(~there, 0)
    start, follows, end = start.double(), follows.double(), end.double()
    of_tags = e.gather(2, tags.unsqueeze(2)).squeeze(2)  # (B, T)
    alpha, score = start + e[:, 0], start[tags[:, 0]] + of_tags[:, 0]
    for t in range(1, e.shape[1]):
        on = there[:, t]
        reached = torch.logsumexp(alpha.unsqueeze(2) + follows, 1) + e[:, t]  # (B, K)
        alpha = torch.where(on.unsqueeze(1), reached, alpha)
        score = score + torch.where(on, follows[tags[:, t - 1], tags[:, t]] + of_tags[:, t], 0.0)
    last = tags.gather(1, (there.sum(1) - 1).unsqueeze(1)).squeeze(1)
    return torch.logsumexp(alpha + end, 1) - score - end[last]


class _Nats(torch.autograd.Function):
    """by_steps in compiled loops, in float64 inside; scores are -inf where forbidden."""

    @staticmethod
    def forward(ctx, emissions, tags, lengths, *scores):
        from .kernels import crf as kernel

        chain = kernel.chain_of(*kernel.scores(*map(_array, scores)))
        keep = any(ctx.needs_input_grad)
        nats, alpha = kernel.forward(chain, _array(emissions), _array(tags), _array(lengths), keep)
        if keep:
            ctx.chain, ctx.alpha = chain, alpha
            ctx.save_for_backward(emissions, tags, lengths, *scores)
        return torch.from_numpy(nats).to(emissions)

    @staticmethod
    def backward(ctx, d_nats):
        from .kernels import crf as kernel

        if torch.is_grad_enabled():
            raise RuntimeError("`CRF` is differentiable once; `unrolled.crf.by_steps` is any number of times")
        emissions, tags, lengths, *scores = ctx.saved_tensors
        arrays = map(_array, (emissions, tags, lengths))
        d_emissions, *others = kernel.backward(ctx.chain, *arrays, ctx.alpha, _array(d_nats.double()))
        others = [torch.from_numpy(found).to(score) for found, score in zip(others, scores, strict=True)]
        return torch.from_numpy(d_emissions).to(emissions.device), None, None, *others


def _array(values: Tensor) -> np.ndarray:
    values = values.detach().cpu()
    return (values if values.is_floating_point() else values.long()).contiguous().numpy()


def _booleans(name: str, given: Tensor | np.ndarray | None, shape: tuple[int, ...]) -> Tensor:
    may = torch.ones(shape, dtype=torch.bool) if given is None else torch.as_tensor(given)
    if may.shape != shape or may.dtype != torch.bool:
        raise UserError(f"`{name}` is {tuple(may.shape)}, {may.dtype}; {shape} of torch.bool is needed")
    return may.cpu()


def _need_paths(start: np.ndarray, follows: np.ndarray, end: np.ndarray) -> None:
    """A UserError if rows of some length have no legal path; the tags that a step can reach repeat sooner or later."""
    reached, seen = start, set()
    while reached.tobytes() not in seen and len(seen) < LONGEST:
        seen.add(reached.tobytes())
        if not (reached & end).any():
            raise UserError(
                f"no path of length {len(seen)} is legal: `start`, `follows` and `end` forbid them all",
                fix="let some tag begin a row, follow itself and end it, as `O` does",
            )
        reached = follows[reached].any(0)
