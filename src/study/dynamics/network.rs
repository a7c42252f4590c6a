//! A network of one hidden layer with hyperbolic tangents, and the exact gradient and Hessian's diagonal of its loss, by formulas in
//! double precision that share nothing with natgrad's own derivatives.

use crate::study::convex::problem::normals;

/// Inputs, hidden units and classes.
pub const SIZES: [usize; 3] = [10, 16, 4];
/// How many rows there are.
pub const ROWS: usize = 100;
const DATA_SEED: u64 = 3;
/// How much the labels' scores are of chance, beside what a network of the same form says.
const CHANCE: f64 = 0.5;

/// Gradient and Hessian's diagonal at one point, in the order of the model's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Derivatives {
    /// The mean loss.
    pub loss: f64,
    /// Its gradient.
    pub gradient: Vec<f64>,
    /// Its Hessian's diagonal.
    pub hessian: Vec<f64>,
}

/// How many parameters there are: of both layers weights `[inputs, outputs]`, then biases.
pub fn parameters() -> usize {
    let [inputs, hidden, classes] = SIZES;
    (inputs + 1) * hidden + (hidden + 1) * classes
}

/// Features, and labels that are the likeliest class by another network and chance.
pub fn rows() -> (Vec<f32>, Vec<f32>) {
    let [inputs, _, classes] = SIZES;
    let features: Vec<f32> = normals(DATA_SEED, 0, ROWS * inputs).iter().map(|&x| x as f32).collect();
    let teacher = normals(DATA_SEED, 1, parameters());
    let chance = normals(DATA_SEED, 2, ROWS * classes);
    let label = |(row, chance): (&[f32], &[f64])| {
        let scores = Pass::of(row, &teacher).scores;
        let score = |class: &usize| scores[*class] + CHANCE * chance[*class];
        let best = (0..classes).max_by(|a, b| score(a).total_cmp(&score(b)));
        best.unwrap_or(0) as f32
    };
    let labels = features.chunks(inputs).zip(chance.chunks(classes)).map(label).collect();
    (features, labels)
}

/// A row's way through the network.
struct Pass {
    hidden: Vec<f64>,
    scores: Vec<f64>,
}

impl Pass {
    fn of(row: &[f32], weights: &[f64]) -> Pass {
        let [inputs, hidden, classes] = SIZES;
        let (first, second) = weights.split_at((inputs + 1) * hidden);
        let mut sums = first[inputs * hidden..].to_vec();
        for (x, weights) in row.iter().zip(first.chunks(hidden)) {
            sums.iter_mut().zip(weights).for_each(|(sum, weight)| *sum += f64::from(*x) * weight);
        }
        let activations: Vec<f64> = sums.into_iter().map(f64::tanh).collect();
        let mut scores = second[hidden * classes..].to_vec();
        for (a, weights) in activations.iter().zip(second.chunks(classes)) {
            scores.iter_mut().zip(weights).for_each(|(score, weight)| *score += a * weight);
        }
        Pass { hidden: activations, scores }
    }

    /// The classes' probabilities, and the loss of a label.
    fn probabilities(&self, label: usize) -> (Vec<f64>, f64) {
        let most = self.scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = self.scores.iter().map(|score| (score - most).exp()).sum();
        let log = most + total.ln();
        (self.scores.iter().map(|score| (score - log).exp()).collect(), log - self.scores[label])
    }
}

/// The derivatives of the mean cross-entropy over these rows.
pub fn derivatives(features: &[f32], labels: &[f32], weights: &[f64]) -> Derivatives {
    let [inputs, hidden, classes] = SIZES;
    let second = &weights[(inputs + 1) * hidden..];
    let count = labels.len() as f64;
    let mut sums =
        Derivatives { loss: 0.0, gradient: vec![0.0; weights.len()], hessian: vec![0.0; weights.len()] };
    for (row, &label) in features.chunks(inputs).zip(labels) {
        let pass = Pass::of(row, weights);
        let (p, loss) = pass.probabilities(label as usize);
        sums.loss += loss / count;
        let residual: Vec<f64> = (0..classes)
            .map(|class| (p[class] - f64::from(u8::from(class == label as usize))) / count)
            .collect();
        // The second layer is linear in its weights: the curvature of a score is that of the softmax.
        let curvature: Vec<f64> = p.iter().map(|p| p * (1.0 - p) / count).collect();
        let add = |at: usize, gradient: f64, hessian: f64, sums: &mut Derivatives| {
            sums.gradient[at] += gradient;
            sums.hessian[at] += hessian;
        };
        let offset = (inputs + 1) * hidden;
        for class in 0..classes {
            for (unit, a) in pass.hidden.iter().enumerate() {
                add(
                    offset + unit * classes + class,
                    a * residual[class],
                    a * a * curvature[class],
                    &mut sums,
                );
            }
            add(offset + hidden * classes + class, residual[class], curvature[class], &mut sums);
        }
        for (unit, a) in pass.hidden.iter().enumerate() {
            let out = &second[unit * classes..(unit + 1) * classes];
            // By the unit's sum: the slope of tanh is `1 - a^2`, its second derivative `-2 a (1 - a^2)`.
            let slope = 1.0 - a * a;
            let back: f64 = out.iter().zip(&residual).map(|(w, r)| w * r).sum();
            let mean: f64 = out.iter().zip(&p).map(|(w, p)| w * p).sum();
            let square: f64 = out.iter().zip(&p).map(|(w, p)| w * w * p).sum();
            let gradient = slope * back;
            let hessian = slope * slope * (square - mean * mean) / count - 2.0 * a * slope * back;
            for (input, x) in row.iter().enumerate() {
                let x = f64::from(*x);
                add(input * hidden + unit, x * gradient, x * x * hessian, &mut sums);
            }
            add(inputs * hidden + unit, gradient, hessian, &mut sums);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        let (features, labels) = rows();
        assert_eq!(
            labels.iter().map(|&label| label as u32).collect::<std::collections::HashSet<_>>().len(),
            4
        );
        let weights: Vec<f64> = normals(9, 0, parameters()).iter().map(|x| 0.4 * x).collect();
        let exact = derivatives(&features, &labels, &weights);
        let step = 1e-4;
        for at in 0..weights.len() {
            let moved = |by: f64| {
                let mut weights = weights.clone();
                weights[at] += by;
                derivatives(&features, &labels, &weights)
            };
            let (up, down) = (moved(step), moved(-step));
            let slope = (up.loss - down.loss) / (2.0 * step);
            assert!((slope - exact.gradient[at]).abs() < 1e-8, "{at}: {slope}, {}", exact.gradient[at]);
            let slope = (up.gradient[at] - down.gradient[at]) / (2.0 * step);
            assert!((slope - exact.hessian[at]).abs() < 1e-7, "{at}: {slope}, {}", exact.hessian[at]);
        }
    }
}
