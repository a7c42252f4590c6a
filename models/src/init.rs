//! Initial values of parameters, a pure function of seed, parameter and element.

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
}

impl Init {
    /// PyTorch's default for the weight and bias of a linear layer: uniform within `1/sqrt(fan_in)`
    /// (`torch/nn/modules/linear.py`, `reset_parameters`).
    pub fn linear(fan_in: usize) -> Init {
        Init::Uniform { bound: 1.0 / (fan_in.max(1) as f64).sqrt() }
    }

    /// The initial values of the parameter with this index. The same on every platform: only integer
    /// operations, one conversion and one multiplication an element.
    pub fn values(self, seed: u64, param: usize, elements: usize) -> Vec<f32> {
        match self {
            Init::Constant(value) => vec![value as f32; elements],
            Init::Uniform { bound } => {
                let key = splitmix64(seed ^ splitmix64(param as u64 ^ 0x6d6f_6465_6c73_u64));
                (0..elements as u64)
                    .map(|element| {
                        let bits = splitmix64(key.wrapping_add(element.wrapping_mul(GOLDEN)));
                        let unit = (bits >> 11) as f64 / (1u64 << 53) as f64;
                        ((2.0 * unit - 1.0) * bound) as f32
                    })
                    .collect()
            }
        }
    }
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
    fn seeds_and_parameters_differ() {
        let init = Init::linear(4);
        assert_ne!(init.values(0, 0, 8), init.values(1, 0, 8));
        assert_ne!(init.values(0, 0, 8), init.values(0, 1, 8));
        assert_eq!(init.values(7, 2, 8), init.values(7, 2, 16)[..8]);
    }
}
