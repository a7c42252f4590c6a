//! Parameters, and their initial values: a pure function of seed, parameter and element.

use natgrad_ir::Shape;

/// A trainable tensor of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name, e.g. `layers.0.weight`.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// How it starts.
    pub init: Init,
}

/// How a parameter starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every element the same.
    Constant(f64),
    /// Uniform in `[-bound, bound)`.
    Uniform {
        /// The bound.
        bound: f64,
    },
    /// Normal with mean zero.
    Normal {
        /// The standard deviation.
        std: f64,
    },
}

impl Init {
    /// PyTorch's default for the weight and bias of a linear layer: uniform within `1/sqrt(fan_in)`
    /// (`torch/nn/modules/linear.py`, `reset_parameters`).
    pub fn linear(fan_in: usize) -> Init {
        Init::Uniform { bound: 1.0 / (fan_in.max(1) as f64).sqrt() }
    }

    /// He et al.'s normal initialization by the fan out of a kernel `[height, width, inputs, outputs]`, as
    /// torchvision's residual networks have it (`kaiming_normal_`, `mode="fan_out"`, `nonlinearity="relu"`).
    pub fn kaiming_fan_out(height: usize, width: usize, outputs: usize) -> Init {
        let fan_out = height.saturating_mul(width).saturating_mul(outputs).max(1);
        Init::Normal { std: (2.0 / fan_out as f64).sqrt() }
    }

    /// The initial values of the parameter with this index. The same on every platform: only integer
    /// operations and those of arithmetic that IEEE 754 rounds exactly.
    pub fn values(self, seed: u64, param: usize, elements: usize) -> Vec<f32> {
        match self {
            Init::Constant(value) => vec![value as f32; elements],
            Init::Uniform { bound } => {
                let key = key(seed, param);
                drawn(
                    elements,
                    #[inline(always)]
                    |index| (2.0 * unit(key, index) - 1.0) * bound,
                )
            }
            Init::Normal { std } => {
                let key = key(seed, param);
                drawn(
                    elements,
                    #[inline(always)]
                    |index| normal(key, index) * std,
                )
            }
        }
    }
}

/// So few numbers are not worth a thread of their own.
const PART: usize = 1 << 16;

/// So many numbers, each from its index. All threads draw.
fn drawn(elements: usize, draw: impl Fn(u64) -> f64 + Copy + Sync) -> Vec<f32> {
    let mut values = vec![0.0; elements];
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = elements.div_ceil(threads).max(PART);
    let fill = |first, values| pulp::Arch::new().dispatch(Fill { first, values, draw });
    std::thread::scope(|scope| {
        let fill = &fill;
        let mut parts = (0u64..).step_by(part).zip(values.chunks_mut(part));
        let Some((first, own)) = parts.next() else { return };
        for (first, part) in parts {
            scope.spawn(move || fill(first, part));
        }
        fill(first, own);
    });
    values
}

/// Fills numbers in a loop that is compiled for several widths of vectors, of which the processor's widest is taken. No
/// multiplication is fused with an addition, so that the bits are the same in all of them. What the loop calls must be compiled
/// into it, hence all that is `inline(always)` here.
struct Fill<'a, Draw> {
    /// The index of the first number.
    first: u64,
    values: &'a mut [f32],
    draw: Draw,
}

impl<Draw: Fn(u64) -> f64> pulp::NullaryFnOnce for Fill<'_, Draw> {
    type Output = ();

    #[inline(always)]
    fn call(self) {
        for (at, value) in self.values.iter_mut().enumerate() {
            *value = (self.draw)(self.first.wrapping_add(at as u64)) as f32;
        }
    }
}

/// The key of a parameter's numbers.
fn key(seed: u64, param: usize) -> u64 {
    splitmix64(seed ^ splitmix64(param as u64 ^ 0x6d6f_6465_6c73_u64))
}

/// The uniform number in `[0, 1)` with this index.
#[inline(always)]
fn unit(key: u64, index: u64) -> f64 {
    let bits = splitmix64(key.wrapping_add(index.wrapping_mul(GOLDEN)));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// The standard normal number with this index, by Box and Muller's transform of two uniform ones.
#[inline(always)]
fn normal(key: u64, index: u64) -> f64 {
    let index = index.wrapping_mul(2);
    let radius = (-2.0 * ln(1.0 - unit(key, index))).sqrt();
    radius * cos_turns(unit(key, index.wrapping_add(1)))
}

/// The natural logarithm of a normal positive number, as `e ln 2 + 2 atanh((m - 1) / (m + 1))`: the standard library's
/// may differ between platforms. Accurate to a few units in the last place.
#[inline(always)]
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let number = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    let is_large = number > std::f64::consts::SQRT_2;
    let mantissa = if is_large { number * 0.5 } else { number };
    let exponent = f64::from((bits >> 52) as i32 - 1023 + i32::from(is_large));
    let ratio = (mantissa - 1.0) / (mantissa + 1.0);
    let square = ratio * ratio;
    let mut series = 0.0;
    for k in (0..=10).rev() {
        series = series * square + 1.0 / f64::from(2 * k + 1);
    }
    exponent * std::f64::consts::LN_2 + 2.0 * ratio * series
}

/// The cosine of `turns`, in `[0, 1)`, times a full turn: Taylor's series about the nearest quarter turn.
#[inline(always)]
fn cos_turns(turns: f64) -> f64 {
    let quarter = (4.0 * turns + 0.5) as i32;
    let angle = (turns - f64::from(quarter) / 4.0) * std::f64::consts::TAU;
    let square = angle * angle;
    // Both series alternate: each term is the one before times -angle^2 / (n (n + 1)).
    let (mut cos, mut sin) = (0.0, 0.0);
    for k in (0..8).rev() {
        let n = f64::from(2 * k + 1);
        cos = 1.0 - cos * square * (1.0 / (n * (n + 1.0)));
        sin = 1.0 - sin * square * (1.0 / ((n + 1.0) * (n + 2.0)));
    }
    // The cosines of angles that lie 0, 1, 2 and 3 quarters further are cos, -sin, -cos and sin.
    let size = if quarter % 2 == 0 { cos } else { angle * sin };
    if matches!(quarter % 4, 0 | 3) { size } else { -size }
}

/// What SplitMix64 adds to its state for each number: `2^64` over the golden ratio.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that SplitMix64 (Steele, Lea and Flood 2014) gives from this state.
#[inline(always)]
pub fn splitmix64(key: u64) -> u64 {
    let mut z = key.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_stays_in_bounds_and_has_its_moments() {
        let values = Init::Uniform { bound: 0.5 }.values(3, 1, 100_000);
        assert!(values.iter().all(|value| (-0.5..=0.5).contains(value)));
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64;
        let square = values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 4e-3, "{mean}");
        assert!((square - 1.0 / 12.0).abs() < 1e-3, "{square}");
    }

    #[test]
    fn normal_has_the_moments_and_quantiles_of_a_normal() {
        let mut values = Init::Normal { std: 2.0 }.values(5, 3, 200_000);
        let count = values.len() as f64;
        let moment = |power| values.iter().map(|&v| (f64::from(v) / 2.0).powi(power)).sum::<f64>() / count;
        for (power, wanted, deviation) in [(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)] {
            let error = (moment(power) - wanted) / f64::sqrt(deviation / count);
            assert!(error.abs() < 4.0, "moment {power} is off by {error} standard errors");
        }
        values.sort_by(f32::total_cmp);
        for (share, quantile) in [(0.001, -3.090_232), (0.25, -0.674_490), (0.5, 0.0), (0.9, 1.281_552)] {
            let below = values.iter().filter(|&&v| f64::from(v) < 2.0 * quantile).count() as f64;
            let error = (below - share * count) / (count * share * (1.0 - share)).sqrt();
            assert!(error.abs() < 4.0, "{share} is off by {error} standard errors");
        }
    }

    #[test]
    fn logarithm_and_cosine_are_those_of_the_standard_library() {
        for index in 0..10_000 {
            let u = unit(9, index);
            for x in [1.0 - u, u * 1e-3 + f64::EPSILON, 1.0 + u * 1e4] {
                let error = (ln(x) - x.ln()).abs();
                assert!(error <= 1e-15 * (1.0 + x.ln().abs()), "ln {x} is off by {error:e}");
            }
            let error = (cos_turns(u) - (u * std::f64::consts::TAU).cos()).abs();
            assert!(error < 2e-15, "the cosine of {u} turns is off by {error:e}");
        }
        assert_eq!([0.0, 0.25, 0.5, 0.75].map(cos_turns), [1.0, 0.0, -1.0, 0.0]);
    }

    /// Runs begin with the same weights on every machine.
    #[test]
    fn normal_numbers_keep_their_bits_however_many_threads_there_are() {
        let values = Init::Normal { std: 0.02 }.values(7, 3, 3 * PART + 5);
        let bits = |index: usize| values[index].to_bits();
        let found = [bits(0), bits(1), bits(PART), bits(3 * PART + 4)];
        assert_eq!(found, [3_165_317_592, 1_024_748_256, 1_022_428_508, 3_160_131_308]);
        let hash = |hash: u64, value: &f32| hash.wrapping_mul(31).wrapping_add(u64::from(value.to_bits()));
        assert_eq!(values.iter().fold(0, hash), 8_454_337_652_190_409_571);
        for count in [0, 1, 7, PART + 1] {
            assert_eq!(Init::Normal { std: 0.02 }.values(7, 3, count), values[..count]);
        }
    }

    #[test]
    fn kaiming_counts_what_a_weight_reaches() {
        assert_eq!(Init::kaiming_fan_out(7, 7, 64), Init::Normal { std: (2.0f64 / 3136.0).sqrt() });
    }

    #[test]
    fn seeds_and_parameters_differ() {
        for init in [Init::linear(4), Init::Normal { std: 1.0 }] {
            assert_ne!(init.values(0, 0, 8), init.values(1, 0, 8));
            assert_ne!(init.values(0, 0, 8), init.values(0, 1, 8));
            assert_eq!(init.values(7, 2, 8), init.values(7, 2, 16)[..8]);
        }
    }
}
