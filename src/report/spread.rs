//! Means and standard deviations.

/// The mean, and the deviation of the population that the numbers are a sample of; one number has none.
pub fn spread(numbers: &[f64]) -> (f64, Option<f64>) {
    let count = numbers.len() as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    (mean, (numbers.len() > 1).then(|| (squares / (count - 1.0)).sqrt()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_deviation_is_that_of_a_sample() {
        assert_eq!(super::spread(&[1.0, 2.0, 3.0]), (2.0, Some(1.0)));
        assert_eq!(super::spread(&[5.0]), (5.0, None));
    }
}
