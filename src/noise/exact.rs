//! Normals by the inverse of their distribution function, to a few units in the last place of `f32`.

use natgrad_ir::{Builder, DType, Value};

use super::polynomial;

/// Takes the depth `-ln(4p(1-p))` of the outermost words, `31 ln 2`, to 2.
pub(super) const DEPTH_SCALE: f64 = 2.0 / (31.0 * std::f64::consts::LN_2);

/// Of `x = depth DEPTH_SCALE - 1`, by rising powers, the ratio of the normal quantile to `2^32 (p - 1/2)`.
///
/// From `benches/noise/fit.py`: degree 17, relative error 9e-8. Giles ("Approximating the erfinv function", 2010) has
/// the same variable, but two polynomials and a square root; one longer polynomial costs less where both branches of
/// a choice are computed.
pub(super) const QUANTILE: [f64; 18] = [
    2.049263151124949e-09,
    1.0852706803412894e-09,
    -2.6235897052525816e-10,
    1.2091215279962795e-10,
    -6.341994336942364e-11,
    3.127711450664234e-11,
    -4.916257713503086e-12,
    -3.231827207017562e-11,
    3.951371941207009e-11,
    2.0396128174031404e-11,
    -2.0992340647818194e-12,
    -1.2251528856755297e-10,
    6.528382389453407e-11,
    1.1200943621845605e-10,
    -7.735993997623812e-11,
    -3.301934713456278e-11,
    2.3574530552839225e-11,
    1.8483482204751945e-12,
];

/// Standard normals in a floating-point type: the quantiles of `p = (word + 1/2) / 2^32`, where words are numbered
/// from -2^31 as signed integers are. The outermost are 6.34 from zero.
pub fn quantile(b: &mut Builder, word: Value, dtype: DType) -> Value {
    b.formula([word], |[word]| {
        let word = word.convert(DType::S32);
        let signed = word.convert(dtype) + 0.5;
        // Where p is near 0 or 1, what is left has to be formed of integers, before any rounding.
        let inner = (word.min(!word) & 0x7fff_ffff).convert(dtype) + 0.5;
        let below = inner * 2f64.powi(-32);
        let depth = (below * (1.0 - below) * 4.0).log();
        polynomial(&QUANTILE, depth * -DEPTH_SCALE + -1.0) * signed
    })
}
