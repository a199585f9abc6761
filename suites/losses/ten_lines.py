"""Losses that see more than logits and labels: each asks for what it needs by the names of its arguments.

docs/own-loss.md says what the names stand for. ``recordable`` says that all that a class keeps from step to
step are its parameters and buffers.
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear, normalize


def logit_adjustment(logits, target, class_counts, strength=1.0):
    """Cross entropy of logits that begin at the classes' frequencies (Menon et al., 2007.07314)."""
    prior = class_counts / class_counts.sum()
    return cross_entropy(logits + strength * prior.clamp_min(1e-12).log(), target)


logit_adjustment.recordable = True


class LDAM(nn.Module):
    """Margins that are larger for rarer classes, and weights from 80 % of the training on (Cao et al.,
    1906.07413: LDAM-DRW; its scale of 30 is for cosines in place of logits)."""

    recordable = True

    def __init__(self, class_counts, margin=0.5, scale=1.0, beta=0.9999, defer=0.8):
        super().__init__()
        counts = class_counts.clamp_min(1).double()
        margins, weights = counts**-0.25, (1 - beta) / (1 - beta**counts)
        self.register_buffer("margins", (margin * margins / margins.max()).float())
        self.register_buffer("weights", (weights / weights.mean()).float())
        self.scale, self.defer = scale, defer

    def forward(self, logits, target, progress):
        margins = torch.zeros_like(logits).scatter(1, target[:, None], self.margins[target][:, None])
        weights = self.weights if progress >= self.defer else None
        return cross_entropy(self.scale * (logits - margins), target, weights)


class ELR(nn.Module):
    """Early-learning regularisation: keeps to what the network said of each image before (Liu et al.,
    2007.00151)."""

    recordable = True

    def __init__(self, class_counts, strength=3.0, memory=0.7):
        super().__init__()
        self.register_buffer("said", torch.zeros(int(class_counts.sum()), len(class_counts)))
        self.strength, self.memory = strength, memory

    def forward(self, logits, target, index):
        p = logits.softmax(1).clamp(1e-4, 1 - 1e-4)
        now = (p / p.sum(1, keepdim=True)).detach()
        self.said[index] = said = self.memory * self.said[index] + (1 - self.memory) * now
        return cross_entropy(logits, target) + self.strength * (1 - (said * p).sum(1)).log().mean()


class Centre(nn.Module):
    """Cross entropy, and the features' distances from their class's centre (Wen et al., ECCV 2016)."""

    recordable = True

    def __init__(self, class_counts, feature_size, strength=0.01):
        super().__init__()
        self.centres = nn.Parameter(torch.zeros(len(class_counts), feature_size))
        self.strength = strength

    def forward(self, logits, target, features):
        away = (features - self.centres[target]).square().sum(1).mean()
        return cross_entropy(logits, target) + self.strength / 2 * away


class ArcFace(nn.Module):
    """A classifier of angles with a margin (Deng et al., 1801.07698), by which the network is scored."""

    recordable = True

    def __init__(self, class_counts, feature_size, margin=0.3, scale=16.0):
        super().__init__()
        self.directions = nn.Parameter(torch.randn(len(class_counts), feature_size))
        self.margin, self.scale = margin, scale

    def logits(self, features):
        return self.scale * linear(normalize(features), normalize(self.directions))

    def forward(self, features, target):
        angle = (self.logits(features) / self.scale).clamp(-1 + 1e-6, 1 - 1e-6).acos()
        further = angle + torch.zeros_like(angle).scatter(1, target[:, None], self.margin)
        return cross_entropy(self.scale * further.cos(), target)
