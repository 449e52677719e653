"""How far apart two populations are: the distance of their features, the words that tell them apart, and equal bins."""

from __future__ import annotations

import numpy as np

PRIOR_SHARE = 0.5  # of the smaller population: how many photos the prior of the log-odds counts for


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """The squared Fréchet distance between Gaussians fitted to two samples, arrays (rows >= 2, columns).

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau, 1982), which Heusel et al. (2017) made the score of
    generated pictures. With S = A'A the trace of the root is the sum of the singular values of A1 A2', so samples with fewer
    rows than columns need no covariance matrix. The estimate grows as samples get smaller: compare equal sizes only.
    """
    means, factors = zip(*(_gaussian(sample) for sample in (first, second)), strict=True)
    root = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    traces = sum(np.square(factor).sum() for factor in factors)
    return max(0.0, float(np.square(means[0] - means[1]).sum() + traces - 2 * root))


def _gaussian(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean, and A of at most as many rows as columns with A'A the covariance."""
    sample = np.asarray(sample, "float64")
    mean = sample.mean(axis=0)
    factor = (sample - mean) / np.sqrt(len(sample) - 1)
    return mean, np.linalg.qr(factor, mode="r") if len(factor) > factor.shape[1] else factor


def frechet_against_control(
    train: np.ndarray, other: np.ndarray, draws: int, seed: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """Distances of `other` to the training sample, and between random halves of that: (rows compared, draws, draws).

    All samples of all draws have the same size, so that both kinds of distance have the same bias.
    """
    size = min(len(other), len(train) // 2)
    found, control = [], []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        order = rng.permutation(len(train))
        one, two = train[order[:size]], train[order[size : 2 * size]]
        found.append(frechet_distance(other[rng.permutation(len(other))[:size]], one))
        control.append(frechet_distance(two, one))
    return size, np.array(found), np.array(control)


def log_odds(first: np.ndarray, first_size: int, second: np.ndarray, second_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds ratios of events in the first population over the second, and their z-scores, both float64 like the counts.

    The events' Dirichlet prior has their shares in both populations together (Monroe, Colaresi and Quinn, 2008, "Fightin'
    Words", section 3.3), which draws rare events towards no difference. An event is counted once a photo and a photo has it
    or not, so each has a prior of its own (the Dirichlet of two outcomes). Counts: arrays of one length, none above its
    population's size.
    """
    worth = PRIOR_SHARE * min(first_size, second_size)
    share = (first + second) / (first_size + second_size)
    told = (share > 0) & (share < 1)  # what every photo has, or none, tells the populations not apart
    prior = worth * np.where(told, share, 0.5)
    odds, variance = 0.0, 0.0
    for sign, count, size in ((1, first, first_size), (-1, second, second_size)):
        has, has_not = count + prior, size + worth - count - prior
        odds = odds + sign * (np.log(has) - np.log(has_not))
        variance = variance + 1 / has + 1 / has_not
    odds = np.where(told, odds, 0.0)
    return odds, odds / np.sqrt(variance)


def discoveries(z: np.ndarray, rate: float = 0.05) -> np.ndarray:
    """Which z-scores are beyond chance, with at most the share `rate` of them false (Benjamini and Hochberg, 1995)."""
    from scipy.stats import false_discovery_control, norm

    return false_discovery_control(2 * norm.sf(np.abs(z))) < rate if len(z) else np.zeros(0, bool)


def quantile_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Edges between bins that hold equally many values; fewer bins where many values are equal."""
    inner = np.quantile(values, np.arange(1, bins) / bins)
    return np.unique(inner[inner < values.max()])


def bin_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The number of each value's bin; a value on an edge is in the lower bin."""
    return np.searchsorted(edges, values, side="left")
