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
                let value = |element| ((2.0 * unit(key, element) - 1.0) * bound) as f32;
                (0..elements as u64).map(value).collect()
            }
            Init::Normal { std } => {
                let key = key(seed, param);
                let mut values = vec![0.0; elements];
                in_parts(&mut values, |first, part| {
                    for (place, lanes) in (first..).step_by(LANES).zip(part.chunks_mut(LANES)) {
                        for (value, normal) in lanes.iter_mut().zip(normals(key, place)) {
                            *value = (normal * std) as f32;
                        }
                    }
                });
                values
            }
        }
    }
}

/// Numbers that are computed side by side, for the processor's vectors.
const LANES: usize = 8;

type Lanes = [f64; LANES];

/// So few numbers are not worth a thread of their own.
const PART: usize = 1 << 16;

/// Fills numbers in parts, each by a thread and from the index that it is told.
fn in_parts(values: &mut [f32], fill: impl Fn(u64, &mut [f32]) + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let part = values.len().div_ceil(threads).max(PART).next_multiple_of(LANES);
    std::thread::scope(|scope| {
        let fill = &fill;
        let mut parts = (0u64..).step_by(part).zip(values.chunks_mut(part));
        let Some((first, own)) = parts.next() else { return };
        for (first, part) in parts {
            scope.spawn(move || fill(first, part));
        }
        fill(first, own);
    });
}

/// The key of a parameter's numbers.
fn key(seed: u64, param: usize) -> u64 {
    splitmix64(seed ^ splitmix64(param as u64 ^ 0x6d6f_6465_6c73_u64))
}

/// The uniform number in `[0, 1)` with this index.
fn unit(key: u64, index: u64) -> f64 {
    let bits = splitmix64(key.wrapping_add(index.wrapping_mul(GOLDEN)));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// The standard normal numbers from this index on, by Box and Muller's transform of two uniform ones for each.
fn normals(key: u64, first: u64) -> Lanes {
    let index = |lane: usize| first.wrapping_add(lane as u64).wrapping_mul(2);
    let radius = ln(std::array::from_fn(|lane| 1.0 - unit(key, index(lane))));
    let angle = cos_turns(std::array::from_fn(|lane| unit(key, index(lane).wrapping_add(1))));
    std::array::from_fn(|lane| (-2.0 * radius[lane]).sqrt() * angle[lane])
}

/// The natural logarithms of normal positive numbers, as `e ln 2 + 2 atanh((m - 1) / (m + 1))`: the standard library's
/// may differ between platforms. Accurate to a few units in the last place.
fn ln(x: Lanes) -> Lanes {
    let (mut mantissa, mut exponent) = (x, x);
    for (mantissa, exponent) in mantissa.iter_mut().zip(&mut exponent) {
        let bits = mantissa.to_bits();
        let number = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
        let is_large = number > std::f64::consts::SQRT_2;
        *mantissa = if is_large { number * 0.5 } else { number };
        *exponent = f64::from((bits >> 52) as i32 - 1023 + i32::from(is_large));
    }
    let ratio = mantissa.map(|mantissa| (mantissa - 1.0) / (mantissa + 1.0));
    let square = ratio.map(|ratio| ratio * ratio);
    let mut series = [0.0; LANES];
    for k in (0..=10).rev() {
        let coefficient = 1.0 / f64::from(2 * k + 1);
        for (sum, square) in series.iter_mut().zip(&square) {
            *sum = *sum * square + coefficient;
        }
    }
    std::array::from_fn(|lane| exponent[lane] * std::f64::consts::LN_2 + 2.0 * ratio[lane] * series[lane])
}

/// The cosines of `turns`, in `[0, 1)`, times a full turn: Taylor's series about the nearest quarter turn.
fn cos_turns(turns: Lanes) -> Lanes {
    let quarter = turns.map(|turns| (4.0 * turns + 0.5) as i32);
    let angle: Lanes =
        std::array::from_fn(|lane| (turns[lane] - f64::from(quarter[lane]) / 4.0) * std::f64::consts::TAU);
    let square = angle.map(|angle| angle * angle);
    // Both series alternate: each term is the one before times -angle^2 / (n (n + 1)).
    let series = |first: u32| {
        let mut series = [0.0; LANES];
        for k in (0..8).rev() {
            let n = f64::from(2 * k + first);
            for (sum, square) in series.iter_mut().zip(&square) {
                *sum = 1.0 - *sum * square / (n * (n + 1.0));
            }
        }
        series
    };
    let (cos, sin) = (series(1), series(2));
    std::array::from_fn(|lane| {
        let (cos, sin) = (cos[lane], angle[lane] * sin[lane]);
        match quarter[lane] % 4 {
            0 => cos,
            1 => -sin,
            2 => -cos,
            _ => sin,
        }
    })
}

/// What SplitMix64 adds to its state for each number: `2^64` over the golden ratio.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The number that SplitMix64 (Steele, Lea and Flood 2014) gives from this state.
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
                let error = (ln([x; LANES])[0] - x.ln()).abs();
                assert!(error <= 1e-15 * (1.0 + x.ln().abs()), "ln {x} is off by {error:e}");
            }
            let error = (cos_turns([u; LANES])[0] - (u * std::f64::consts::TAU).cos()).abs();
            assert!(error < 2e-15, "the cosine of {u} turns is off by {error:e}");
        }
        let quarters = [0.0, 0.25, 0.5, 0.75, 0.0, 0.25, 0.5, 0.75];
        assert_eq!(cos_turns(quarters), [1.0, 0.0, -1.0, 0.0, 1.0, 0.0, -1.0, 0.0]);
    }

    /// Runs begin with the same weights on every machine: the bits of natgrad 0.1.
    #[test]
    fn normal_numbers_keep_their_bits_however_many_threads_there_are() {
        let values = Init::Normal { std: 0.02 }.values(7, 3, 3 * PART + 5);
        let bits = |index: usize| values[index].to_bits();
        let found = [bits(0), bits(1), bits(PART), bits(3 * PART + 4)];
        assert_eq!(found, [3_165_317_592, 1_024_748_256, 1_022_428_508, 3_160_131_308]);
        for count in [0, 1, LANES - 1, PART + 1] {
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
