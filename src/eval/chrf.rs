//! How alike two texts are: chrF, the F-score of their character n-grams (Popović 2015), which needs no other model.

use std::collections::HashMap;

/// The longest n-grams, and how many times as much recall counts as precision: those of sacrebleu's chrF2.
const ORDER: usize = 6;
const BETA: f64 = 2.0;

/// How often each n-gram of characters comes in a text, for n from 1 to 6. White space does not count.
#[derive(Clone, Debug)]
pub(super) struct Grams([HashMap<Vec<char>, usize>; ORDER]);

impl Grams {
    pub fn of(text: &str) -> Grams {
        // Python's white space has four separators that Unicode's has not.
        let is_space = |c: &char| c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(c);
        let characters: Vec<char> = text.chars().filter(|c| !is_space(c)).collect();
        Grams(std::array::from_fn(|shorter| {
            let mut counts = HashMap::new();
            for gram in characters.windows(shorter + 1) {
                *counts.entry(gram.to_vec()).or_insert(0) += 1;
            }
            counts
        }))
    }

    /// chrF of the text of these n-grams, from 0 to 100.
    pub fn chrf(&self, reference: &Grams) -> f64 {
        let (mut precision, mut recall, mut orders) = (0.0, 0.0, 0.0);
        for (own, wanted) in self.0.iter().zip(&reference.0) {
            let total = |counts: &HashMap<Vec<char>, usize>| counts.values().sum::<usize>() as f64;
            if own.is_empty() || wanted.is_empty() {
                continue;
            }
            let found: usize =
                own.iter().map(|(gram, &n)| n.min(wanted.get(gram).copied().unwrap_or(0))).sum();
            precision += found as f64 / total(own);
            recall += found as f64 / total(wanted);
            orders += 1.0;
        }
        if precision + recall == 0.0 {
            return 0.0;
        }
        let (precision, recall) = (precision / orders, recall / orders);
        let squared = BETA * BETA;
        100.0 * (1.0 + squared) * precision * recall / (squared * precision + recall)
    }
}

/// The chrF of a text by one reference, from 0 to 100: that of sacrebleu for a sentence.
pub fn chrf(text: &str, reference: &str) -> f64 {
    Grams::of(text).chrf(&Grams::of(reference))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What sacrebleu gives.
    #[test]
    fn scores_are_sacrebleus() {
        let text = include_str!("../../tests/fixtures/eval/chrf.json");
        let cases: Vec<Value> = serde_json::from_str(text).unwrap();
        for case in &cases {
            let text = |name: &str| case[name].as_str().unwrap();
            let found = chrf(text("text"), text("reference"));
            let wanted = case["chrf"].as_f64().unwrap();
            assert!((found - wanted).abs() < 1e-6, "{case}: {found}");
        }
        assert!(cases.len() > 10);
    }
}
