"""Compares two populations: the distance of their features, and the events that are more frequent in one; equal-sized bins."""

from __future__ import annotations

import numpy as np

PRIOR_SHARE = 0.5  # weight of the log-odds' prior, in photos, as a share of the smaller population


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Computes the squared Fréchet distance of Gaussians that are fitted to two samples.

    |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)) (Dowson and Landau, 1982), which Heusel et al. (2017) made the score of
    generated pictures. With S = A'A the trace of the root is the sum of the singular values of A1 A2', so samples with fewer
    rows than columns need no covariance matrix. The estimate is larger for smaller samples: compare equal sizes only.

    Args:
        first, second: The samples, (rows >= 2, columns).
    """
    means, factors = zip(*(_gaussian(sample) for sample in (first, second)), strict=True)
    root = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    traces = sum(np.square(factor).sum() for factor in factors)
    return max(0.0, float(np.square(means[0] - means[1]).sum() + traces - 2 * root))


def frechet_against_control(
    train: np.ndarray, other: np.ndarray, draws: int, seed: int
) -> tuple[int, np.ndarray, np.ndarray]:
    """Computes Fréchet distances of a population to the training photos, and of random parts of the training photos.

    All samples of all draws have the same size, so that both kinds of distance have the same bias.

    Args:
        train: Features of training photos, (rows >= 4, columns).
        other: Features of the other population, (rows >= 2, columns).
        draws: How often samples are drawn.
        seed: Seed of the samples.

    Returns:
        (rows in a sample, distances of `other` to training samples (draws,), distances of two disjoint training samples
        (draws,)).
    """
    size = min(len(other), len(train) // 2)
    distances, control = [], []
    for draw in range(draws):
        rng = np.random.default_rng([seed, draw])
        order = rng.permutation(len(train))
        one, two = train[order[:size]], train[order[size : 2 * size]]
        distances.append(frechet_distance(other[rng.permutation(len(other))[:size]], one))
        control.append(frechet_distance(two, one))
    return size, np.array(distances), np.array(control)


def log_odds(first: np.ndarray, first_size: int, second: np.ndarray, second_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Computes log-odds ratios of events in the first population over the second, and their z-scores.

    The events' Dirichlet prior has their shares in both populations together (Monroe, Colaresi and Quinn, 2008, "Fightin'
    Words", section 3.3); it draws rare events towards no difference. A photo has an event or not, so each event has its own
    prior, the Dirichlet of two outcomes.

    Args:
        first, second: In how many photos of each population each event occurs, arrays of the same length.
        first_size, second_size: The number of photos in each population.

    Returns:
        (log-odds ratios, z-scores), float64 of the same length. Both are 0 for an event of all photos or of none.
    """
    prior_size = PRIOR_SHARE * min(first_size, second_size)
    share = (first + second) / (first_size + second_size)
    varies = (share > 0) & (share < 1)
    prior = prior_size * np.where(varies, share, 0.5)
    odds, variance = 0.0, 0.0
    for sign, count, size in ((1, first, first_size), (-1, second, second_size)):
        has, has_not = count + prior, size + prior_size - count - prior
        odds = odds + sign * (np.log(has) - np.log(has_not))
        variance = variance + 1 / has + 1 / has_not
    odds = np.where(varies, odds, 0.0)
    return odds, odds / np.sqrt(variance)


def discoveries(z: np.ndarray, rate: float = 0.05) -> np.ndarray:
    """Returns which z-scores are significant at a false discovery rate (Benjamini and Hochberg, 1995).

    Args:
        z: z-scores, (events,).
        rate: The expected share of false ones among the significant, at most.

    Returns:
        bool (events,).
    """
    from scipy.stats import false_discovery_control, norm

    return false_discovery_control(2 * norm.sf(np.abs(z))) < rate if len(z) else np.zeros(0, bool)


def quantile_edges(values: np.ndarray, bins: int) -> np.ndarray:
    """Returns the inner edges of bins with equally many values; there are fewer bins if many values are equal."""
    inner = np.quantile(values, np.arange(1, bins) / bins)
    return np.unique(inner[inner < values.max()])


def bin_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Returns the number of each value's bin, from 0 on; a value on an edge is in the lower bin."""
    return np.searchsorted(edges, values, side="left")


def _gaussian(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean, and a matrix A of at most as many rows as columns with A'A the covariance."""
    sample = np.asarray(sample, "float64")
    mean = sample.mean(axis=0)
    factor = (sample - mean) / np.sqrt(len(sample) - 1)
    return mean, np.linalg.qr(factor, mode="r") if len(factor) > factor.shape[1] else factor
