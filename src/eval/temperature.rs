//! The temperature that logarithms of probabilities are divided by to be calibrated (Guo et al. 2017).

use super::class_rows::ClassRows;

/// Temperatures are looked for between `exp(-10)` and `exp(10)`.
const LOG_BOUND: f64 = 10.0;

/// The temperature at which labelled rows are likeliest. None without labels, or where that is at the end of what is looked
/// for: every row is right, or all say nothing.
pub fn fit_temperature(rows: &ClassRows) -> Option<f64> {
    let labels = rows.labels.as_ref().filter(|labels| !labels.is_empty())?;
    let (mut low, mut high) = ((-LOG_BOUND).exp(), LOG_BOUND.exp());
    if slopes(rows, labels, low).0 >= 0.0 || slopes(rows, labels, high).0 <= 0.0 {
        return None;
    }
    // The loss is convex in the inverse temperature: Newton's method, within what is known.
    let mut inverse = 1.0;
    for _ in 0..200 {
        let (first, second) = slopes(rows, labels, inverse);
        if !first.is_finite() {
            return None;
        }
        if first > 0.0 {
            high = inverse;
        } else {
            low = inverse;
        }
        let newton = inverse - first / second;
        let next = if newton > low && newton < high { newton } else { (low * high).sqrt() };
        let step = (next - inverse).abs();
        inverse = next;
        if step <= 1e-14 * inverse {
            break;
        }
    }
    Some(1.0 / inverse)
}

/// The first and second derivative of the mean negative log-likelihood by the inverse temperature.
fn slopes(rows: &ClassRows, labels: &[u32], inverse: f64) -> (f64, f64) {
    let (mut first, mut second) = (0.0, 0.0);
    for (row, &label) in rows.rows().zip(labels) {
        let most = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (mut sum, mut mean, mut square) = (0.0, 0.0, 0.0);
        // Measured from the largest, so that nothing cancels.
        for apart in row.iter().map(|log| log - most).filter(|apart| *apart != f64::NEG_INFINITY) {
            let weight = (inverse * apart).exp();
            sum += weight;
            mean += weight * apart;
            square += weight * apart * apart;
        }
        mean /= sum;
        first += mean - (row[label as usize] - most);
        second += square / sum - mean * mean;
    }
    let count = labels.len() as f64;
    (first / count, second / count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(confidence: f64, labels: Vec<u32>) -> ClassRows {
        let logs = labels.iter().flat_map(|_| [confidence.ln(), (1.0 - confidence).ln()]).collect();
        ClassRows { classes: 2, logs, labels: Some(labels), ..ClassRows::default() }
    }

    /// Where every row says the same, the best temperature makes it say how often it is right.
    #[test]
    fn a_small_case_by_hand() {
        let rows = rows(0.99, vec![0, 0, 0, 1]);
        let temperature = fit_temperature(&rows).unwrap();
        let wanted = (0.99f64 / 0.01).ln() / 3.0f64.ln();
        assert!((temperature - wanted).abs() < 1e-12, "{temperature} {wanted}");
        assert!((rows.tempered(temperature).logs[0].exp() - 0.75).abs() < 1e-12);
    }

    #[test]
    fn there_is_none_where_all_are_right_or_nothing_is_known() {
        assert_eq!(fit_temperature(&rows(0.9, vec![0, 0])), None);
        assert_eq!(fit_temperature(&rows(0.9, vec![1, 1])), None);
        assert_eq!(fit_temperature(&rows(0.5, vec![0, 1])), None);
        assert_eq!(fit_temperature(&ClassRows { labels: None, ..rows(0.9, vec![0, 1]) }), None);
    }
}
