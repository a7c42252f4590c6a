//! The cheapest normals: a sum of four 16-bit fields, bent by an odd polynomial.

use natgrad_ir::{DType, Expr};

use super::polynomial;

/// Mean of the sum of four uniform 16-bit integers, and its largest distance from it.
pub(super) const SUM_MEAN: f64 = 131_070.0;

/// Takes the squared distance from the mean to `[0, 2]`.
pub(super) const SQUARE_SCALE: f64 = 2.0 / (SUM_MEAN * SUM_MEAN);

/// Of `x = c^2 SQUARE_SCALE - 1`, by rising powers, the ratio of a standard normal to the centred sum `c`: an odd
/// polynomial of degree 25 in the sum.
///
/// From `benches/noise/fit.py`: least squares against the quantile map under the sum's distribution to the power 0.9,
/// constrained to the normal's 2nd, 4th, 6th and 8th moments and to its quantiles at 4 and 5 sigma. Of the sum's
/// exact distribution: Kolmogorov-Smirnov distance 1.25e-5, of which 5e-6 is half the largest of its 262,141 steps;
/// beyond 3, 4 and 5 sigma within 0.02 %, beyond 4.5 0.4 % too many, beyond 5.5 32 % too few; the largest value is
/// 6.16.
pub(super) const BEND: [f64; 13] = [
    2.786175274373284e-05,
    4.0292583321966105e-06,
    3.055683126105398e-06,
    2.294111983462483e-06,
    2.2292436490386345e-06,
    -2.8490000030755484e-06,
    -5.990605898108961e-06,
    1.6113564724121906e-05,
    1.7783965246789065e-05,
    -2.3583328141635583e-05,
    -2.1391383444033777e-05,
    1.4727669112427445e-05,
    1.2676197455206227e-05,
];

/// Standard normals in a floating-point type, from two words for each.
pub(super) fn normal<'b>(words: [Expr<'b>; 2], dtype: DType) -> Expr<'b> {
    let [first, second] = words.map(|word| (word & 0xffff) + (word >> 16));
    // A signed conversion is one vector instruction where an unsigned one is several.
    let sum = (first + second).convert(DType::S32);
    let centred = (sum + -SUM_MEAN).convert(dtype);
    polynomial(&BEND, centred.square() * SQUARE_SCALE + -1.0) * centred
}
