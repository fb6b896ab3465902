"""The base model: representative snippets, their propagation, and the prediction head (RSKP).

Everything works on padded batches: (B, T, ...) with a mask; a video's results do not depend on
what it is padded with. D embedding dimensions, K representatives, C classes (the background is
class C).

Propagation adds to each snippet a mix of at most M vectors, x' = (1 - w) (x + Z' A), so neither x'
nor anything else of the size of x is ever made: products with x' are products with x and with the
M vectors of A.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from gaufuse.config import ModelConfig
from gaufuse.model.dropout import ReluDropout
from gaufuse.model.embedded_snippets import Snippets
from gaufuse.model.temporal_linear import TemporalLinear


@dataclass(frozen=True)
class Branch:
    """Predictions on one version of the snippets."""

    scores: torch.Tensor  # (B, T, C + 1) scaled cosines with the class centers
    attention: torch.Tensor  # (B, T) in [0, 1], zero at padding
    video: torch.Tensor  # (B, C + 1) log-probabilities of the class-agnostic feature: ca
    # (B, C + 1) the same of each class's own feature: cw; None where it was not asked for
    classwise: torch.Tensor | None


@dataclass(frozen=True)
class Outputs:
    """What the model says of B videos; D embedding dimensions, K representatives a video."""

    original: Branch  # on the embedded snippets
    reallocated: Branch  # after propagation of the video's own representatives
    memory: Branch | None  # after propagation of the class memory
    representatives: torch.Tensor  # (B, K, D)
    representative_scores: torch.Tensor  # (B, K, C + 1) probabilities


class SnippetModel(nn.Module):
    """RSKP. Parameter names are those of the authors' release; `feature_mean` and `feature_scale`,
    which standardise the input, are ours (0 and 1 without standardisation)."""

    feature_mean: torch.Tensor
    feature_scale: torch.Tensor

    def __init__(self, feature_dim: int, num_classes: int, config: ModelConfig):
        super().__init__()
        self.config = config
        self.num_classes = num_classes
        dim = config.embedding_dim or feature_dim
        self.feature_embedding = nn.Sequential(
            TemporalLinear(feature_dim, dim, config.kernel, config.dilation),
            nn.ReLU(),
            nn.Dropout(config.dropout),
        )
        self.mu = nn.Parameter(torch.empty(config.representatives, dim))
        self.ac_center = nn.Parameter(torch.empty(num_classes + 1, dim))
        self.fg_center = nn.Parameter(torch.empty(1, dim))
        self.register_buffer("feature_mean", torch.zeros(feature_dim))
        self.register_buffer("feature_scale", torch.ones(feature_dim))
        self._standardized = False  # known on the host: no pass over the features without it
        self.register_load_state_dict_post_hook(_note_standardization)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the parameters as a new model has them, from torch's default generator."""
        temporal, _, _ = self._embedding_layers()
        temporal.draw()
        nn.init.xavier_uniform_(self.mu)
        nn.init.xavier_uniform_(self.ac_center)
        with torch.no_grad():
            self.fg_center.copy_(-self.ac_center[-1:])

    def standardize(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        """Features are shifted by -mean and divided by scale, (feature_dim,), from now on."""
        self.feature_mean.copy_(mean)
        self.feature_scale.copy_(scale)
        _note_standardization(self)

    def forward(
        self,
        features: torch.Tensor,
        mask: torch.Tensor,
        memory: tuple[torch.Tensor, torch.Tensor] | None = None,
        lengths: list[int] | None = None,
        *,
        classwise: bool = True,
        bfloat16: bool = False,
    ) -> Outputs:
        """Scores of snippets and videos, by both branches.

        Args:
            features: (B, T, feature_dim).
            mask: (B, T) bool.
            memory: representatives (B, M, D) of each video's classes and which of them are valid
                (B, M) bool; None for no memory branch.
            lengths: the videos' lengths, on the host, the longest of them T; the embedding then
                leaves padding out. None: it does not know, and embeds all (B, T).
            classwise: whether Branch.classwise is wanted, which is for the background loss alone.
            bfloat16: the embedding layer's products, nearly all of the arithmetic, in bfloat16.
        """
        config = self.config
        snippets = self.embed(features, mask, lengths, bfloat16)
        length = snippets.squared_norm()
        centers = torch.cat([unit(self.ac_center), unit(self.fg_center)])
        # One look at the snippets for the first assignment and for the scores.
        products = snippets.dot(torch.cat([unit(self.mu), centers]))
        to_mu, to_centers = products.split([len(self.mu), len(centers)], dim=-1)

        _, normalised = assign(to_mu, length, mask, config.em_scale)
        for _ in range(config.em_iterations - 1):
            mu = snippets.weighted_sum(normalised)
            _, normalised = assign(snippets.dot(unit(mu)), length, mask, config.em_scale)
        mu = snippets.weighted_sum(normalised)

        views = [
            View(to_centers, length),
            propagate(snippets, length, to_centers, mask, mu, centers, config),
        ]
        if memory is not None:
            rows, valid = memory
            views.append(
                propagate(snippets, length, to_centers, mask, rows, centers, config, valid)
            )
        branches = self.predict(snippets, views, mask, classwise)
        return Outputs(
            original=branches[0],
            reallocated=branches[1],
            memory=branches[2] if memory is not None else None,
            representatives=mu,
            representative_scores=(config.scale * cosine(mu, self.ac_center)).softmax(-1),
        )

    def embed(
        self,
        features: torch.Tensor,
        mask: torch.Tensor,
        lengths: list[int] | None = None,
        bfloat16: bool = False,
    ) -> Snippets:
        """The embedded snippets, packed where `lengths` of several videos differ; arguments as
        those of `forward`."""
        whole = lengths is not None and min(lengths) == max(lengths)  # nothing to leave out
        if whole:
            lengths = None
        if lengths is not None:
            parts = zip(features, lengths, strict=True)
            features = torch.cat([video[:length] for video, length in parts])
        if self._standardized:
            features = (features - self.feature_mean) / self.feature_scale
        temporal, relu, dropout = self._embedding_layers()
        if temporal.reach > 0 and lengths is None and not whole:
            features = features * mask.unsqueeze(-1)  # what neighbours see past the end of a video
        with torch.autocast(features.device.type, torch.bfloat16, enabled=bfloat16):
            x = temporal(features, lengths)
        x = x.to(features.dtype)
        if torch.compiler.is_compiling():
            x = dropout(relu(x)).unflatten(0, features.shape[:-1])
            return Snippets(x, lengths, shared_gradient=False)
        x = ReluDropout.apply(x, dropout.p if self.training else 0.0)
        return Snippets(x.view(*features.shape[:-1], -1), lengths)

    def _embedding_layers(self) -> tuple[TemporalLinear, nn.ReLU, nn.Dropout]:
        temporal, relu, dropout = self.feature_embedding
        assert isinstance(temporal, TemporalLinear)
        assert isinstance(relu, nn.ReLU)
        assert isinstance(dropout, nn.Dropout)
        return temporal, relu, dropout

    def predict(
        self, snippets: Snippets, views: list[View], mask: torch.Tensor, classwise: bool
    ) -> list[Branch]:
        """The prediction head on each view of the snippets."""
        scale, classes = self.config.scale, self.num_classes + 1
        scores, weights = [], []
        for view in views:
            cosines = view.to_centers * inverse_root(view.length).unsqueeze(-1)
            scores.append(scale * cosines[..., :classes])
            attention = torch.sigmoid(scale * cosines[..., classes:])
            own = torch.cat([attention, torch.sigmoid(scores[-1])], -1) if classwise else attention
            weights.append((own * mask.unsqueeze(-1)).transpose(1, 2))  # (B, 1 (+ C + 1), T)
        sums = snippets.weighted_sum(torch.cat(weights, 1)).chunk(len(views), dim=1)
        center = unit(self.ac_center)
        branches = []
        for view, score, weight, total in zip(views, scores, weights, sums, strict=True):
            if view.z is not None and view.added is not None:
                total = total + (weight @ view.z.mT) @ view.added
            # Of mean features only directions count, so sums will do.
            agnostic, by_class = total.split([1, classes if classwise else 0], dim=1)
            branches.append(
                Branch(
                    scores=score,
                    attention=weight[:, 0],
                    video=(scale * unit(agnostic[:, 0]) @ center.T).log_softmax(-1),
                    classwise=(scale * paired_cosine(by_class, center)).log_softmax(-1)
                    if classwise
                    else None,
                )
            )
        return branches


def _note_standardization(model: SnippetModel, _: object = None) -> None:
    plain = (model.feature_mean == 0).all() & (model.feature_scale == 1).all()
    model._standardized = not bool(plain)


@dataclass(frozen=True)
class View:
    """Snippets x + Z' A as their products with others: x itself without Z and A."""

    to_centers: torch.Tensor  # (B, T, C + 2) products with the class and foreground centers
    length: torch.Tensor  # (B, T) squared
    z: torch.Tensor | None = None  # (B, M, T)
    added: torch.Tensor | None = None  # (B, M, D): A


def unit(x: torch.Tensor) -> torch.Tensor:
    """Vectors (..., D) divided by their lengths; zero stays zero."""
    return F.normalize(x, dim=-1)


def inverse_root(squared: torch.Tensor) -> torch.Tensor:
    """One over the length, of a squared length; finite for what dropout has made zero."""
    return squared.clamp(min=1e-24).rsqrt()


def cosine(x: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """(..., D) and (N, D) -> (..., N) cosine similarities."""
    return unit(x) @ unit(centers).mT


def paired_cosine(x: torch.Tensor, unit_centers: torch.Tensor) -> torch.Tensor:
    """(B, N, D) and (N, D) -> (B, N) of each row with its center, without making it a unit."""
    length: torch.Tensor = torch.linalg.vector_norm(x, dim=-1)
    return (x * unit_centers).sum(-1) / length.clamp(min=1e-12)


def assign(
    products: torch.Tensor,
    length: torch.Tensor,
    mask: torch.Tensor,
    scale: float,
    valid: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Z (B, M, T): softmax over representatives, zero at padding; and Z with rows normalised.

    Args:
        products: (B, T, M) of snippets with unit representatives. length: (B, T) squared.
        valid: (B, M) bool, representatives to choose from.
    """
    logits = (scale * products * inverse_root(length).unsqueeze(-1)).transpose(1, 2)
    if valid is not None:
        logits = logits.masked_fill(~valid.unsqueeze(-1), torch.finfo(logits.dtype).min)
    z = logits.softmax(dim=1) * mask.unsqueeze(1)
    return z, z / (z.sum(-1, keepdim=True) + 1e-9)


def propagate(
    snippets: Snippets,
    length: torch.Tensor,
    to_centers: torch.Tensor,
    mask: torch.Tensor,
    mu: torch.Tensor,
    centers: torch.Tensor,
    config: ModelConfig,
    valid: torch.Tensor | None = None,
) -> View:
    """Random-walk propagation of representatives mu (B, M, D) onto snippets,

        x' = (1 - w) (I_T - w^2 Z' Zn)^(-1) (w Z' mu + x).

    By the Woodbury identity, since the T x T matrix has rank M at most, a solve of M x M is exact:

        (I_T - w^2 Z' Zn)^(-1) R = R + w^2 Z' (I_M - w^2 Zn Z')^(-1) Zn R,

    so x' = (1 - w) (x + Z' A) with A = w mu + w^2 (I_M - w^2 Zn Z')^(-1) (Zn x + w Zn Z' mu).
    The factor 1 - w is left out: all that is made of x' are directions.
    """
    w = config.propagation
    z, normalised = assign(snippets.dot(unit(mu)), length, mask, config.em_scale, valid)
    overlap = normalised @ z.mT  # (B, M, M)
    small = torch.eye(mu.shape[1], device=mu.device, dtype=mu.dtype) - w * w * overlap
    right = snippets.weighted_sum(normalised) + w * overlap @ mu
    added = w * mu + w * w * torch.linalg.solve(small, right)
    rows = z.mT  # (B, T, M)
    crossed = 2.0 * snippets.dot(added) + rows @ (added @ added.mT)
    return View(
        to_centers=to_centers + rows @ (added @ centers.T),
        length=length + (rows * crossed).sum(-1),
        z=z,
        added=added,
    )
