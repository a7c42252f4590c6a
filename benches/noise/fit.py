"""Fits the two polynomials of src/noise and prints them as Rust, with what is known of each.

    python fit.py        needs numpy

BEND (fast.rs): of the exact distribution of a sum of four uniform 16-bit integers, the odd map to a standard normal.
Least squares against the quantile map under a power of the distribution, subject to the 2nd, 4th, 6th and 8th moments
of the normal (by Newton's method) and to its tails beyond 4 and 5 sigma (the map goes through those two quantiles).

QUANTILE (exact.rs): of a depth w = -ln(4p(1-p)), the ratio of the normal quantile to 2p-1, to the least largest
relative error (Lawson's reweighted least squares).
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.polynomial import chebyshev

NORMAL = NormalDist()
quantile = np.vectorize(lambda p: -NORMAL.inv_cdf(p), otypes=[float])  # of the probability above
above = np.vectorize(lambda y: math.erfc(y / math.sqrt(2)) / 2, otypes=[float])
MOMENTS = {2: 1, 4: 3, 6: 15, 8: 105}


def sum_of_fields():
    """Positive values of the centred sum of four 16-bit fields, and their probabilities."""
    counts = np.ones(1)
    for _ in range(4):
        counts = np.cumsum(np.concatenate([counts, np.zeros(65535)]))
        counts[65536:] -= counts[:-65536].copy()
    middle = len(counts) // 2
    return np.arange(1.0, middle + 1), counts[middle + 1 :] / 2.0**64


def convolve_check(values, probabilities):
    zero = 1 - 2 * probabilities.sum()
    variance = 2 * probabilities @ values**2
    assert abs(zero - 2 / (3 * 65536)) < 1e-10 and abs(variance / (4 * (2.0**32 - 1) / 12) - 1) < 1e-9


def fit_bend(degree, power):
    values, probabilities = sum_of_fields()
    convolve_check(values, probabilities)
    tail = np.cumsum(probabilities[::-1])[::-1]
    wanted = quantile(tail - probabilities / 2)
    terms = degree // 2 + 1

    def basis(values):
        place = 2 * values**2 / 131070**2 - 1
        return chebyshev.chebvander(place, terms - 1) * (values / 131070)[:, None]

    table = basis(values)
    root = probabilities ** (power / 2)
    weighted, target = table * root[:, None], wanted * root
    square, right = weighted.T @ weighted, weighted.T @ target
    pins = np.array([4.0, 5.0])
    pinned = basis(np.interp(pins, wanted, values))
    c = np.linalg.solve(square, right)
    for _ in range(20):
        y = table @ c
        rows, sides = [pinned], [pins]
        for order, moment in MOMENTS.items():
            slope = 2 * order * (probabilities * y ** (order - 1)) @ table / moment
            rows.append(slope[None])
            sides.append([1 - 2 * probabilities @ y**order / moment + slope @ c])
        rows, sides = np.vstack(rows), np.concatenate(sides)
        corner = np.zeros((len(sides), len(sides)))
        system = np.block([[square, rows.T], [rows, corner]])
        c = np.linalg.lstsq(system, np.concatenate([right, sides]), rcond=None)[0][:terms]
    y = table @ c
    assert np.diff(y).min() > 0, "the map must rise"
    ideal = above(y)
    print(f"// degree {degree}, power {power}: largest value {y[-1]:.3f}")
    print(f"// Kolmogorov-Smirnov {max(abs(tail - ideal).max(), abs(tail - probabilities - ideal).max()):.2e},")
    print(f"//   of the sum as if continuous {abs(tail - probabilities / 2 - ideal).max():.2e}")
    for k in (3, 3.5, 4, 4.5, 5, 5.5):
        print(f"// beyond {k}: {100 * (probabilities[y > k].sum() / above(k) - 1):+.2f} %")
    for order, moment in {**MOMENTS, 10: 945}.items():
        print(f"// moment {order}: {2 * probabilities @ y**order / moment - 1:+.1e} of itself")
    show("BEND", chebyshev.cheb2poly(c) / 131070)


def fit_quantile(degree):
    deepest = 31 * math.log(2)
    tails = np.exp(np.linspace(-33 * math.log(2), math.log(0.25), 4000))
    p = np.concatenate([tails, 0.5 - np.exp(np.linspace(math.log(0.25), math.log(1e-6), 2000))])
    ratio = quantile(p) / (1 - 2 * p)
    depth = -np.log(4 * p * (1 - p))
    table = chebyshev.chebvander(2 * depth / deepest - 1, degree) / ratio[:, None]
    weight = np.ones(len(p))
    best = math.inf
    for _ in range(400):
        root = np.sqrt(weight)
        c = np.linalg.lstsq(table * root[:, None], root, rcond=None)[0]
        error = abs(table @ c - 1)
        if error.max() < best:
            best, kept = error.max(), c
        weight *= error / error.max() + 1e-3
        weight /= weight.mean()
    print(f"// degree {degree}: largest relative error {best:.1e}")
    show("QUANTILE", chebyshev.cheb2poly(kept) / 2.0**31)


def show(name, coefficients):
    print(f"const {name}: [f64; {len(coefficients)}] = [")
    for value in coefficients:
        print(f"    {float(value)!r},")
    print("];")


if __name__ == "__main__":
    fit_bend(25, 0.9)
    fit_quantile(17)
