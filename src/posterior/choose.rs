//! Choosing a token by its probability.

/// How a token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What log-probabilities are divided by: 1 keeps them; less makes likely tokens likelier; at 0 the likeliest is
    /// chosen, of equal ones the first.
    pub temperature: f64,
    /// How many of the likeliest tokens are chosen from; all if absent.
    pub top_k: Option<usize>,
}

impl Choice {
    /// The token that a number of [0, 1) picks, given each token's log-probability.
    pub fn choose(&self, log_probabilities: &[f64], uniform: f64) -> u32 {
        let mut tokens: Vec<usize> = (0..log_probabilities.len()).collect();
        // Stable, so of equal tokens the first comes first.
        tokens.sort_by(|&a, &b| log_probabilities[b].total_cmp(&log_probabilities[a]));
        let kept = if self.temperature == 0.0 { 1 } else { self.top_k.unwrap_or(tokens.len()).max(1) };
        tokens.truncate(kept);
        let Some(&first) = tokens.first() else { return 0 };
        let largest = log_probabilities[first];
        let weight = |token: usize| ((log_probabilities[token] - largest) / self.temperature).exp();
        if tokens.len() == 1 {
            return first as u32;
        }
        let total: f64 = tokens.iter().map(|&token| weight(token)).sum();
        let mut left = uniform * total;
        for &token in &tokens {
            left -= weight(token);
            if left < 0.0 {
                return token as u32;
            }
        }
        first as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(choice: Choice, probabilities: &[f64]) -> Vec<f64> {
        let logs: Vec<f64> = probabilities.iter().map(|p| p.ln()).collect();
        let mut counts = vec![0.0; probabilities.len()];
        const DRAWS: usize = 100_000;
        for draw in 0..DRAWS {
            counts[choice.choose(&logs, draw as f64 / DRAWS as f64) as usize] += 1.0 / DRAWS as f64;
        }
        counts
    }

    fn close(found: &[f64], wanted: &[f64]) {
        assert!(found.iter().zip(wanted).all(|(x, y)| (x - y).abs() < 1e-4), "{found:?}, not {wanted:?}");
    }

    #[test]
    fn tokens_are_chosen_as_often_as_they_are_likely() {
        let p = [0.1, 0.5, 0.4];
        close(&shares(Choice { temperature: 1.0, top_k: None }, &p), &p);
        let squares = 0.01 + 0.25 + 0.16;
        let wanted = p.map(|p| p * p / squares);
        close(&shares(Choice { temperature: 0.5, top_k: None }, &p), &wanted);
        close(&shares(Choice { temperature: 1.0, top_k: Some(2) }, &p), &[0.0, 5.0 / 9.0, 4.0 / 9.0]);
        close(&shares(Choice { temperature: 0.0, top_k: None }, &[0.2, 0.4, 0.4]), &[0.0, 1.0, 0.0]);
        close(&shares(Choice { temperature: 1.0, top_k: Some(9) }, &[1.0, 0.0]), &[1.0, 0.0]);
    }
}
