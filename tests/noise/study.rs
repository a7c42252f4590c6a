//! One grade's noise examined at any number of draws: whether it is normal, and whether steps, tensors, draws and
//! elements are unrelated.

use natgrad::noise::{Grade, Purpose};
use natgrad::pjrt::Client;
use natgrad_ir::Shape;

use crate::sampler::Sampler;
use crate::stats::{Finding, Normality, Products};

/// Tensors of the program.
const TENSORS: usize = 4;
/// Monte-Carlo draws of a step.
const DRAWS: usize = 2;
/// Distances within a tensor: neighbours, rows of common widths, powers of two.
const LAGS: [usize; 10] = [1, 2, 3, 4, 8, 64, 100, 784, 1024, 4096];

/// What was drawn, and what was found of it.
pub struct Study {
    /// Normals drawn.
    pub count: usize,
    /// The largest magnitude.
    pub largest: f32,
    /// Moments 1 to 8.
    pub moments: Vec<Finding>,
    /// Counts beyond limits.
    pub tails: Vec<Finding>,
    /// The Kolmogorov-Smirnov distance, and the probability of a larger one.
    pub kolmogorov: (f64, f64),
    /// Correlations, and those of squares.
    pub correlations: Vec<Finding>,
}

impl Study {
    /// Draws at least so many normals, in tensors of `size` elements.
    pub fn of(client: &Client, grade: Grade, seed: u64, draws: usize, size: usize) -> Study {
        let sampler = Sampler::new(client, Purpose::Training, grade, &vec![Shape::from([size]); TENSORS]);
        let mut normality = Normality::new();
        let mut related: Vec<(String, Products)> = Vec::new();
        let mut before: Option<Vec<Vec<Vec<f32>>>> = None;
        let steps = draws.div_ceil(TENSORS * DRAWS * size) as u32;
        for step in 0..steps {
            let now: Vec<_> = (0..DRAWS as u32).map(|draw| sampler.draw(seed, step, draw)).collect();
            let mut pair = |name: String, x: &[f32], y: &[f32]| {
                let place = related.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                    related.push((name, Products::default()));
                    related.len() - 1
                });
                related[place].1.add(x, y);
            };
            for tensor in 0..TENSORS {
                for noise in &now {
                    normality.add(&noise[tensor]);
                    for lag in LAGS {
                        pair(format!("elements {lag} apart"), &noise[tensor], &noise[tensor][lag..]);
                    }
                    for other in tensor + 1..TENSORS {
                        pair(format!("tensors {tensor} and {other}"), &noise[tensor], &noise[other]);
                    }
                }
                pair("draws 0 and 1 of a step".into(), &now[0][tensor], &now[1][tensor]);
                if let Some(before) = &before {
                    for (draw, (before, now)) in before.iter().zip(&now).enumerate() {
                        pair(format!("steps next to each other, draw {draw}"), &before[tensor], &now[tensor]);
                    }
                    pair("draw 1 and draw 0 of the next step".into(), &before[1][tensor], &now[0][tensor]);
                }
            }
            before = Some(now);
        }
        let correlations = related.into_iter().flat_map(|(name, products)| {
            [(products.plain_errors(), ""), (products.square_errors(), "squares of ")].map(|(errors, of)| {
                let found = errors / (products.count() as f64).sqrt();
                Finding { name: format!("{of}{name}"), found, wanted: 0.0, errors }
            })
        });
        Study {
            count: steps as usize * TENSORS * DRAWS * size,
            largest: normality.largest(),
            moments: normality.moments(),
            tails: normality.tails(),
            kolmogorov: normality.kolmogorov(),
            correlations: correlations.collect(),
        }
    }
}
