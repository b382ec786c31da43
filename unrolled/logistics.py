"""Samples of 16 bits as a mixture of logistics, each cut into the 65,536 values (Salimans et al. 2017,
https://arxiv.org/abs/1701.05517, equation 2; for sound van den Oord et al. 2017, https://arxiv.org/abs/1711.10433).

    P(x) = Σ_m π_m [σ((x + ½ step - μ_m) / s_m) - σ((x - ½ step - μ_m) / s_m)]       step = 2⁻¹⁵, full scale 1

where the lowest value has all that lies below it and the highest all above. Outputs of a net are, M each: the logits of π, the
means μ, the logarithms of the scales s.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

STEP = 2.0**-15
LOWEST, HIGHEST = -1.0, 1.0 - STEP


def rounded(x: Tensor) -> Tensor:
    """The nearest of the 65,536 values."""
    return ((x / STEP).round() * STEP).clamp(LOWEST, HIGHEST)


def log_likelihood(outputs: Tensor, x: Tensor) -> Tensor:
    """ln P of samples x (…), of 16 bits, under outputs (…, 3·M) -> (…). Finite gradients wherever x lies."""
    logits, means, log_scales = outputs.chunk(3, dim=-1)
    x = x.unsqueeze(-1)
    inverse = torch.exp(-log_scales)
    above, below = (x + STEP / 2 - means) * inverse, (x - STEP / 2 - means) * inverse
    # ln(σ(a) - σ(b)) = ln σ(a) + ln σ(-b) + ln(1 - e^(b - a)): nothing cancels, however far x lies from the mean
    inside = F.logsigmoid(above) + F.logsigmoid(-below) + torch.log(-torch.expm1(-STEP * inverse))
    each = torch.where(x <= LOWEST, F.logsigmoid(above), torch.where(x >= HIGHEST, F.logsigmoid(-below), inside))
    return torch.logsumexp(F.log_softmax(logits, dim=-1) + each, dim=-1)


def shares(outputs: Tensor, edges: Tensor) -> Tensor:
    """How probable a sample is between each two of K + 1 ascending edges, under outputs (…, 3·M) -> (…, K)."""
    logits, means, log_scales = outputs.double().unsqueeze(-1).chunk(3, dim=-2)  # (…, M, 1)
    below = torch.sigmoid((edges - means) * torch.exp(-log_scales))
    return (F.softmax(logits, dim=-2) * below.diff(dim=-1)).sum(-2)


def sample(outputs: Tensor, uniforms: Tensor, temperature: float = 1.0, top_p: float = 1.0) -> Tensor:
    """Samples of 16 bits from outputs (…, 3·M) and uniform numbers (…, 2): the first finds the logistic, the second the place.

    temperature  times every scale, and what the logits are divided by; 0: the mean of the likeliest logistic
    top_p        the share of each logistic, around its mean, that is drawn from
    """
    logits, means, log_scales = outputs.double().chunk(3, dim=-1)
    first, second = uniforms.double().unbind(-1)
    weights = F.softmax(logits / temperature, dim=-1) if temperature else F.one_hot(logits.argmax(-1), logits.shape[-1])
    component = (weights.cumsum(-1) <= first.unsqueeze(-1)).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    mean, scale = means.gather(-1, component).squeeze(-1), log_scales.gather(-1, component).squeeze(-1).exp()
    return rounded(mean + scale * temperature * torch.logit(0.5 + (second - 0.5) * top_p) if temperature else mean).float()
