//! Statistics of samples that should be standard normal, each as a number of standard errors.

/// How far a statistic may be from what it should be. All draws have fixed seeds, so a test that passes once passes
/// always; a good generator fails a test of one statistic with probability 6e-7.
pub const LIMIT: f64 = 5.0;

/// Moments 1 to 8 about zero.
pub fn moments(samples: &[f32]) -> [f64; 8] {
    let mut sums = [0.0; 8];
    for &x in samples {
        let (x, mut power) = (f64::from(x), 1.0);
        for sum in &mut sums {
            power *= x;
            *sum += power;
        }
    }
    sums.map(|sum| sum / samples.len() as f64)
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

/// The distribution function of a standard normal: Simpson's rule on its density, to 1e-12.
pub fn normal_cdf(x: f64) -> f64 {
    const STEPS: usize = 2000;
    let h = x.abs() / STEPS as f64;
    let density = |x: f64| (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let weight = |k: usize| if k == 0 || k == STEPS { 1.0 } else { (2 + 2 * (k % 2)) as f64 };
    let area: f64 = (0..=STEPS).map(|k| weight(k) * density(k as f64 * h)).sum::<f64>() * h / 3.0;
    0.5 + area.copysign(x)
}

/// The correlation of two samples with mean 0 and variance 1, in standard errors.
pub fn correlation(x: &[f32], y: &[f32]) -> f64 {
    let sum: f64 = x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
    sum / (x.len().min(y.len()) as f64).sqrt()
}

/// The correlation of their squares, in standard errors: the covariance of `x^2 - 1` and `y^2 - 1`, each of
/// variance 2.
pub fn correlation_of_squares(x: &[f32], y: &[f32]) -> f64 {
    let centred = |x: f32| f64::from(x).powi(2) - 1.0;
    let sum: f64 = x.iter().zip(y).map(|(&x, &y)| centred(x) * centred(y)).sum();
    sum / 2.0 / (x.len().min(y.len()) as f64).sqrt()
}

/// Many statistics that should each be a standard normal.
#[derive(Default)]
pub struct Battery {
    worst: (f64, String),
    squares: f64,
    count: usize,
}

impl Battery {
    /// Adds a statistic in standard errors.
    pub fn add(&mut self, errors: f64, name: impl FnOnce() -> String) {
        if !errors.is_finite() || errors.abs() > self.worst.0.abs() {
            self.worst = (errors, name());
        }
        self.squares += errors * errors;
        self.count += 1;
    }

    /// Adds the correlation of two samples, and that of their squares.
    pub fn pair(&mut self, x: &[f32], y: &[f32], name: impl Fn() -> String) {
        self.add(correlation(x, y), &name);
        self.add(correlation_of_squares(x, y), || format!("squares, {}", name()));
    }

    /// Panics if one statistic is too large, or all together are: many small correlations add up in the sum of
    /// squares, which has a chi-squared distribution.
    pub fn check(self, what: &str) {
        let count = self.count as f64;
        let chi = (self.squares - count) / (2.0 * count).sqrt();
        let (worst, name) = self.worst;
        println!("{what}: {} statistics, worst {worst:+.2} ({name}), sum of squares {chi:+.2}", self.count);
        assert!(worst.abs() < LIMIT, "{what}: {name} is {worst} standard errors off");
        assert!(chi.abs() < LIMIT, "{what}: the sum of squares is {chi} standard errors off");
    }
}
