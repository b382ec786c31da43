"""Attention against its formula written out, number by number."""

import math

import pytest
import torch

from unrolled.attention import KINDS, Attention


def written_out(attention: Attention, query, memory, covered):
    """Weights and context of one query (H) over a memory (S, H), by plain loops."""
    scores = []
    for s, m in enumerate(memory):
        if attention.kind == "dot":
            score = sum(float(q) * float(x) for q, x in zip(query, m, strict=True))
        elif attention.kind == "general":
            score = float(query @ (attention.key.weight @ m))
        else:
            inner = torch.tanh(attention.query.weight @ query + attention.key.weight @ m)
            score = float(attention.v.weight[0] @ inner)
        scores.append(score + (float(attention.past) * float(covered[s]) if attention.past is not None else 0))
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    weights = [weight / sum(weights) for weight in weights]
    return weights, sum(weight * m for weight, m in zip(weights, memory, strict=True))


@pytest.mark.parametrize("coverage", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_weights_and_contexts_are_those_of_the_formula(kind, coverage):
    torch.manual_seed(1)
    attention = Attention(kind, 5, coverage).double()
    if coverage:
        attention.past.fill_(-0.7)
    queries, memory, lengths = torch.randn(2, 1, 5).double(), torch.randn(2, 4, 5).double(), torch.tensor([4, 2])
    covered = torch.rand(2, 1, 4).double()
    contexts, weights = attention(queries, memory, attention.keys(memory), lengths, covered)
    for row, length in enumerate(lengths):
        wanted, context = written_out(attention, queries[row, 0], memory[row, :length], covered[row, 0])
        assert weights[row, 0, :length].tolist() == pytest.approx(wanted, abs=1e-12)
        assert weights[row, 0, length:].tolist() == [0] * (4 - int(length))
        assert contexts[row, 0].tolist() == pytest.approx(context.tolist(), abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_what_lies_past_a_length_changes_nothing(kind):
    torch.manual_seed(2)
    attention, queries, memory = Attention(kind, 3), torch.randn(1, 2, 3), torch.randn(1, 4, 3)
    other = memory.clone()
    other[0, 2:] = 1e3
    found = [attention(queries, m, attention.keys(m), torch.tensor([2]))[0] for m in (memory, other)]
    assert torch.equal(*found)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind):
    torch.manual_seed(3)
    attention = Attention(kind, 3, coverage=True).double()
    lengths, covered = torch.tensor([3, 1]), torch.rand(2, 1, 3).double()

    def contexts(queries, memory, past):
        attention.past.data = past.data
        return torch.func.functional_call(attention, {"past": past}, (queries, memory, attention.keys(memory), lengths, covered))[
            0
        ]

    inputs = [torch.randn(shape).double().requires_grad_() for shape in ((2, 1, 3), (2, 3, 3), (1,))]
    assert torch.autograd.gradcheck(contexts, inputs)
