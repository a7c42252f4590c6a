//! Many statistics judged together.

use crate::stats;

/// How far a statistic may be from what it should be. All draws have fixed seeds, so a test that passes once passes
/// always; a good generator fails a test of one statistic with probability 6e-7.
pub const LIMIT: f64 = 5.0;

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
        self.add(stats::correlation(x, y), &name);
        self.add(stats::correlation_of_squares(x, y), || format!("squares, {}", name()));
    }

    /// The statistic that is furthest off.
    pub fn worst(&self) -> f64 {
        self.worst.0
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
