"""The embedded snippets of a batch, and all that the model asks of them: their norms, their
products with a few vectors, and a few weighted sums of them.

Embedded snippets are by far the largest thing in a step: 25 MB for a video of 3,000 snippets, where
everything else is some vectors a snippet. So no operation here makes another (snippets, D) tensor,
and the gradient is made once: each use leaves two thin factors, and the gradient of all uses is one
product of their concatenations. Autograd alone would write and add up one (snippets, D) gradient
for each of about twenty uses.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import torch
from torch.autograd.function import once_differentiable

# By backward pass: what its uses of the snippets have left so far, weights and vectors (None: the
# snippets themselves). (A backward pass that does not reach the snippets leaves its factors behind;
# they go with the graph.)
Factors = defaultdict[int, list[tuple[torch.Tensor, torch.Tensor | None]]]


class Snippets:
    """B videos of T snippets at most, D dimensions.

    Args:
        x: (B, T, D), or packed: (N, D), the snippets of all videos in one row.
        lengths: of packed videos, on the host; None for padded ones.
        shared_gradient: as above. False leaves everything to autograd, for torch.compile and for
            second derivatives.
    """

    def __init__(
        self, x: torch.Tensor, lengths: list[int] | None = None, shared_gradient: bool = True
    ):
        self.lengths = lengths
        self._factors: Factors | None = None
        self._x = x
        if shared_gradient and x.requires_grad and torch.is_grad_enabled():
            self._factors = defaultdict(list)
            self._use = _Gradient.apply(x, self._factors, lengths)
            self._x = x.detach()

    def squared_norm(self) -> torch.Tensor:
        """(B, T), zero at padding of packed videos."""
        if self._factors is None:
            return _squared_norm(self._x, self.lengths)
        norms: torch.Tensor = _SquaredNorm.apply(self._use, self._x, self._factors, self.lengths)
        return norms

    def dot(self, vectors: torch.Tensor) -> torch.Tensor:
        """(N, D) or each video's own (B, N, D) -> (B, T, N)."""
        if self._factors is None:
            return _dot(self._x, vectors, self.lengths)
        lengths = self.lengths
        products: torch.Tensor = _Dot.apply(self._use, vectors, self._x, self._factors, lengths)
        return products

    def weighted_sum(self, weights: torch.Tensor) -> torch.Tensor:
        """(B, N, T), zero at padding -> (B, N, D)."""
        if self._factors is None:
            return _weighted_sum(self._x, weights, self.lengths)
        lengths = self.lengths
        sums: torch.Tensor = _WeightedSum.apply(self._use, weights, self._x, self._factors, lengths)
        return sums


def _videos(x: torch.Tensor, lengths: list[int]) -> Iterator[tuple[int, int, torch.Tensor]]:
    for video, (length, own) in enumerate(zip(lengths, x.split(lengths), strict=True)):
        yield video, length, own


def _padded(x: torch.Tensor, lengths: list[int] | None) -> torch.Tensor:
    if lengths is None:
        return x
    return torch.nn.utils.rnn.pad_sequence(x.split(lengths), batch_first=True)


def _squared_norm(x: torch.Tensor, lengths: list[int] | None) -> torch.Tensor:
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square()
    return _padded(norm, lengths).squeeze(-1)


def _dot(x: torch.Tensor, vectors: torch.Tensor, lengths: list[int] | None) -> torch.Tensor:
    if lengths is None or vectors.ndim == 2:
        return _padded(x @ vectors.mT, lengths)
    parts = [own @ vectors[video].T for video, _, own in _videos(x, lengths)]
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True)


def _weighted_sum(
    x: torch.Tensor, weights: torch.Tensor, lengths: list[int] | None
) -> torch.Tensor:
    if lengths is None:
        return weights @ x
    return torch.stack(
        [weights[video, :, :length] @ own for video, length, own in _videos(x, lengths)]
    )


def _outer(weights: torch.Tensor, vectors: torch.Tensor, lengths: list[int] | None) -> torch.Tensor:
    """(B, N, T), (B, N, D) -> sum over N of their outer products, in the layout of the snippets."""
    if lengths is None:
        return weights.mT @ vectors
    total = vectors.new_empty((sum(lengths), vectors.shape[-1]))
    for video, length, own in _videos(total, lengths):
        torch.mm(weights[video, :, :length].T, vectors[video], out=own)
    return total


class _Gradient(torch.autograd.Function):
    """Stands for the snippets: every use depends on its result, so its backward runs after theirs
    and finds their factors."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, factors: Factors, lengths: list[int] | None
    ) -> torch.Tensor:
        ctx.save_for_backward(x)
        ctx.factors, ctx.lengths = factors, lengths
        return x.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (x,) = ctx.saved_tensors
        own = ctx.factors.pop(torch._C._current_graph_task_id())
        norms = [weights for weights, vectors in own if vectors is None]
        thin = [(weights, vectors) for weights, vectors in own if vectors is not None]
        weights = torch.cat([weights for weights, _ in thin], 1)
        vectors = torch.cat([vectors for _, vectors in thin], 1)
        gradient = _outer(weights, vectors, ctx.lengths)
        if norms:
            total = sum(norms)
            if ctx.lengths is not None:
                total = torch.cat([row[:n] for row, n in zip(total, ctx.lengths, strict=True)])
            gradient.addcmul_(x, total.unsqueeze(-1))
        return gradient, None, None


def _leave(
    factors: Factors, use: torch.Tensor, weights: torch.Tensor, vectors: torch.Tensor | None
) -> torch.Tensor:
    """Leaves one use's factors, weights (B, N, T) and vectors (B, N, D); its gradient of `use`."""
    factors[torch._C._current_graph_task_id()].append((weights, vectors))
    return use.detach()


class _SquaredNorm(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        use: torch.Tensor,
        x: torch.Tensor,
        factors: Factors,
        lengths: list[int] | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(use)
        ctx.factors = factors
        return _squared_norm(x, lengths)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (use,) = ctx.saved_tensors
        return _leave(ctx.factors, use, 2.0 * gradient, None), None, None, None


class _Dot(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        use: torch.Tensor,
        vectors: torch.Tensor,
        x: torch.Tensor,
        factors: Factors,
        lengths: list[int] | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(use, vectors, x)
        ctx.factors, ctx.lengths = factors, lengths
        return _dot(x, vectors, lengths)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        use, vectors, x = ctx.saved_tensors
        weights = gradient.mT
        each = vectors.expand(len(weights), -1, -1)
        of_vectors = None
        if ctx.needs_input_grad[1]:
            of_vectors = _weighted_sum(x, weights, ctx.lengths)
            if vectors.ndim == 2:
                of_vectors = of_vectors.sum(0)
        return _leave(ctx.factors, use, weights, each), of_vectors, None, None, None


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        use: torch.Tensor,
        weights: torch.Tensor,
        x: torch.Tensor,
        factors: Factors,
        lengths: list[int] | None,
    ) -> torch.Tensor:
        ctx.save_for_backward(use, weights, x)
        ctx.factors, ctx.lengths = factors, lengths
        return _weighted_sum(x, weights, lengths)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        use, weights, x = ctx.saved_tensors
        of_weights = _dot(x, gradient, ctx.lengths).mT if ctx.needs_input_grad[1] else None
        return _leave(ctx.factors, use, weights, gradient), of_weights, None, None, None
