//! Statistics of samples that should be independent standard normals, each as a number of standard errors.

use std::f64::consts::PI;

/// Moments 1 to 8 about zero.
pub fn moments(samples: &[f32]) -> [f64; 8] {
    power_sums(samples).map(|sum| sum / samples.len() as f64)
}

fn power_sums(samples: &[f32]) -> [f64; 8] {
    let mut sums = [0.0; 8];
    for &x in samples {
        let (x, mut power) = (f64::from(x), 1.0);
        for sum in &mut sums {
            power *= x;
            *sum += power;
        }
    }
    sums
}

/// The moment of this order of a standard normal: 0 if odd, else `(order - 1)!!`.
pub fn normal_moment(order: usize) -> f64 {
    if order % 2 == 1 { 0.0 } else { (1..order).step_by(2).map(|k| k as f64).product() }
}

/// Standard errors between the mean of `x^order` over `n` samples and that of a normal.
pub fn moment_errors(order: usize, found: f64, n: usize) -> f64 {
    let variance = normal_moment(2 * order) - normal_moment(order).powi(2);
    (found - normal_moment(order)) / (variance / n as f64).sqrt()
}

/// Standard errors between a count and that of a binomial distribution.
pub fn count_errors(count: usize, n: usize, probability: f64) -> f64 {
    let n = n as f64;
    (count as f64 - n * probability) / (n * probability * (1.0 - probability)).sqrt()
}

/// The distribution function of a standard normal, to 1e-14 of the smaller tail: a series near the middle, a continued
/// fraction beyond it.
pub fn normal_cdf(x: f64) -> f64 {
    let y = x.abs();
    let density = (-y * y / 2.0).exp() / (2.0 * PI).sqrt();
    let tail = if y < 2.5 {
        let mut term = y;
        let mut sum = y;
        let mut k = 1;
        while term > 1e-17 * sum {
            term *= y * y / f64::from(2 * k + 1);
            sum += term;
            k += 1;
        }
        0.5 - density * sum
    } else {
        density / (1..100).rev().fold(y, |below, k| y + f64::from(k) / below)
    };
    if x < 0.0 { tail } else { 1.0 - tail }
}

/// The probability that `sqrt(n)` times the Kolmogorov-Smirnov distance of `n` samples is larger, for large `n`.
pub fn kolmogorov_above(scaled: f64) -> f64 {
    if scaled < 0.3 {
        return 1.0;
    }
    let term = |k: i32| (-2.0 * (f64::from(k) * scaled).powi(2)).exp() * if k % 2 == 1 { 2.0 } else { -2.0 };
    (1..100).map(term).sum::<f64>().clamp(0.0, 1.0)
}

/// What was found of a statistic, and how far that is from what it should be.
#[derive(Clone, Debug)]
pub struct Finding {
    pub name: String,
    pub found: f64,
    pub wanted: f64,
    /// In standard errors.
    pub errors: f64,
}

/// Moments, tails and distribution function of any number of samples.
pub struct Normality {
    count: usize,
    sums: [f64; 8],
    histogram: Vec<u32>,
    largest: f32,
}

/// Bins of the histogram: so narrow that no bin has more than 3.1e-6 of a normal.
const BINS: usize = 1 << 21;
/// The histogram reaches from minus this to plus this.
const EDGE: f64 = 8.0;
/// Where tails begin that are counted, on both sides.
const TAILS: [f64; 7] = [1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 5.5];

impl Normality {
    pub fn new() -> Normality {
        Normality { count: 0, sums: [0.0; 8], histogram: vec![0; BINS], largest: 0.0 }
    }

    pub fn add(&mut self, samples: &[f32]) {
        // Long sums lose less if they are sums of shorter ones.
        for part in samples.chunks(1 << 16) {
            for (sum, part) in self.sums.iter_mut().zip(power_sums(part)) {
                *sum += part;
            }
        }
        for &x in samples {
            let place = (f64::from(x) + EDGE) * (BINS as f64 / (2.0 * EDGE));
            self.histogram[(place as usize).min(BINS - 1)] += 1;
            self.largest = self.largest.max(x.abs());
        }
        self.count += samples.len();
    }

    /// The largest magnitude.
    pub fn largest(&self) -> f32 {
        self.largest
    }

    /// The moments 1 to 8.
    pub fn moments(&self) -> Vec<Finding> {
        let n = self.count;
        let finding = |(order, sum): (usize, f64)| {
            let found = sum / n as f64;
            let (wanted, errors) = (normal_moment(order), moment_errors(order, found, n));
            Finding { name: format!("moment {order}"), found, wanted, errors }
        };
        (1..).zip(self.sums).map(finding).collect()
    }

    /// Counts beyond each limit, on both sides together and on each alone. A sample on a limit is above it.
    pub fn tails(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for limit in TAILS {
            let bin = |x: f64| ((x + EDGE) * (BINS as f64 / (2.0 * EDGE))) as usize;
            let total = |bins: &[u32]| bins.iter().map(|&count| count as usize).sum::<usize>();
            let above = total(&self.histogram[bin(limit)..]);
            let below = total(&self.histogram[..bin(-limit)]);
            let tail = normal_cdf(-limit);
            let sides = [("beyond +-", above + below, 2.0), ("above ", above, 1.0), ("below -", below, 1.0)];
            for (side, count, sides) in sides {
                let errors = count_errors(count, self.count, sides * tail);
                let wanted = self.count as f64 * sides * tail;
                findings.push(Finding {
                    name: format!("{side}{limit}"),
                    found: count as f64,
                    wanted,
                    errors,
                });
            }
        }
        findings
    }

    /// The Kolmogorov-Smirnov distance at the edges of the bins, and the probability of a larger one. The distance
    /// between edges is larger by less than one bin's share, 3.1e-6.
    pub fn kolmogorov(&self) -> (f64, f64) {
        let n = self.count as f64;
        let (mut below, mut distance) = (0usize, 0.0f64);
        for (bin, &count) in self.histogram.iter().enumerate() {
            below += count as usize;
            let edge = (bin + 1) as f64 * (2.0 * EDGE / BINS as f64) - EDGE;
            distance = distance.max((below as f64 / n - normal_cdf(edge)).abs());
        }
        (distance, kolmogorov_above(n.sqrt() * distance))
    }
}

/// The correlation of two samples with mean 0 and variance 1, in standard errors.
pub fn correlation(x: &[f32], y: &[f32]) -> f64 {
    let mut sums = Products::default();
    sums.add(x, y);
    sums.plain_errors()
}

/// The correlation of their squares, in standard errors.
pub fn correlation_of_squares(x: &[f32], y: &[f32]) -> f64 {
    let mut sums = Products::default();
    sums.add(x, y);
    sums.square_errors()
}

/// Sums over any number of pairs: of their products, and of `(x^2 - 1)(y^2 - 1)`, each factor of variance 2.
#[derive(Clone, Copy, Default)]
pub struct Products {
    count: usize,
    plain: f64,
    squares: f64,
}

impl Products {
    /// Adds pairs, as far as the shorter sample reaches.
    pub fn add(&mut self, x: &[f32], y: &[f32]) {
        let size = x.len().min(y.len());
        for (x, y) in x[..size].chunks(1 << 12).zip(y[..size].chunks(1 << 12)) {
            let (mut plain, mut squares) = ([0.0; 4], [0.0; 4]);
            for (at, (&x, &y)) in x.iter().zip(y).enumerate() {
                let (x, y) = (f64::from(x), f64::from(y));
                plain[at % 4] += x * y;
                squares[at % 4] += (x * x - 1.0) * (y * y - 1.0);
            }
            self.plain += plain.iter().sum::<f64>();
            self.squares += squares.iter().sum::<f64>();
        }
        self.count += size;
    }

    /// Pairs so far.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The correlation, in standard errors.
    pub fn plain_errors(&self) -> f64 {
        self.plain / (self.count as f64).sqrt()
    }

    /// The correlation of the squares, in standard errors.
    pub fn square_errors(&self) -> f64 {
        self.squares / 2.0 / (self.count as f64).sqrt()
    }
}
