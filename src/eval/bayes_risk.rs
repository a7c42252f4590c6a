//! A choice among texts by minimum Bayes risk (Kumar and Byrne 2004): the one that is expected to be most like a text of the
//! model's, where the texts themselves stand for what the model may write. If each comes from a sample of the posterior, that
//! expectation is over the weights too (Daheim et al. 2025, arXiv 2503.05318, at the level of sequences).

use super::chrf::Grams;

/// How alike texts are, and which of them is chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct BayesRisk {
    /// The expected utility of each text: the mean of its chrF over all other texts as references, from 0 to 100.
    pub utilities: Vec<f64>,
    /// The text of the largest one, of equals the first: that of the least risk.
    pub chosen: usize,
}

impl BayesRisk {
    /// That of two texts or more; none of fewer.
    pub fn of(texts: &[&str]) -> Option<BayesRisk> {
        if texts.len() < 2 {
            return None;
        }
        let grams: Vec<Grams> = texts.iter().map(|text| Grams::of(text)).collect();
        let expected = |(number, own): (usize, &Grams)| {
            let others = grams.iter().enumerate().filter(|(other, _)| *other != number);
            others.map(|(_, other)| own.chrf(other)).sum::<f64>() / (texts.len() - 1) as f64
        };
        let utilities: Vec<f64> = grams.iter().enumerate().map(expected).collect();
        let better = |best: usize, (number, utility): (usize, &f64)| {
            if *utility > utilities[best] { number } else { best }
        };
        let chosen = utilities.iter().enumerate().fold(0, better);
        Some(BayesRisk { utilities, chosen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_that_is_most_like_the_others_is_chosen() {
        let texts = ["a dog ran", "the cat sat", "the cat sat down", "", "the cat ran"];
        let found = BayesRisk::of(&texts).unwrap();
        // The means of sacrebleu's scores; recall counts more, so the longer text is the better one.
        let wanted = [6.786_787_467_456, 30.648_062_936_707, 37.340_883_280_788, 0.0, 26.533_781_238_685];
        for (utility, wanted) in found.utilities.iter().zip(wanted) {
            assert!((utility - wanted).abs() < 1e-6, "{found:?}");
        }
        assert_eq!(found.chosen, 2);
        assert_eq!(BayesRisk::of(&["a", "a", "a"]).unwrap().chosen, 0);
        assert!(BayesRisk::of(&["a"]).is_none());
    }
}
