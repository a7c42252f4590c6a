//! Lists of choices in which every two choices of different questions come together at least once.

use std::collections::BTreeSet;

/// Rows that answer questions of so many choices each, by number: every pair of choices is in some row, as far as `allowed`
/// permits it. The same rows each time.
///
/// Greedy: each row starts from a pair that no row has yet, and takes of every other question, in order, the allowed choice
/// that adds most new pairs. Of equal ones each row prefers another, so that more than pairs come together.
pub fn all_pairs(choices: &[usize], allowed: impl Fn(&[Option<usize>]) -> bool) -> Vec<Vec<usize>> {
    let mut open: BTreeSet<[(usize, usize); 2]> = BTreeSet::new();
    for first in 0..choices.len() {
        for second in first + 1..choices.len() {
            for one in 0..choices[first] {
                open.extend((0..choices[second]).map(|other| [(first, one), (second, other)]));
            }
        }
    }
    let mut rows = Vec::new();
    while let Some(pair) = open.pop_first() {
        let mut row: Vec<Option<usize>> = vec![None; choices.len()];
        for (question, choice) in pair {
            row[question] = Some(choice);
        }
        if !allowed(&row) {
            continue;
        }
        for question in 0..choices.len() {
            if row[question].is_none() {
                let first = rows.len() % choices[question];
                row[question] = best(&row, question, choices[question], first, &open, &allowed);
            }
        }
        let row: Vec<usize> = row.into_iter().map(|choice| choice.expect("an allowed choice")).collect();
        open.retain(|pair| !pair.iter().all(|&(question, choice)| row[question] == choice));
        rows.push(row);
    }
    rows
}

/// The allowed choice that makes most open pairs with what is chosen; of equal ones the first from `first` on.
fn best(
    row: &[Option<usize>],
    question: usize,
    choices: usize,
    first: usize,
    open: &BTreeSet<[(usize, usize); 2]>,
    allowed: impl Fn(&[Option<usize>]) -> bool,
) -> Option<usize> {
    let new = |choice: usize| {
        let pairs = row.iter().enumerate().filter_map(|(other, &chosen)| {
            let mut pair = [(question, choice), (other, chosen?)];
            pair.sort();
            Some(pair)
        });
        pairs.filter(|pair| open.contains(pair)).count()
    };
    let is_allowed = |&choice: &usize| {
        let mut row = row.to_vec();
        row[question] = Some(choice);
        allowed(&row)
    };
    (first..choices).chain(0..first).filter(is_allowed).rev().max_by_key(|&choice| new(choice))
}

#[test]
fn every_allowed_pair_is_in_a_row() {
    let choices = [5, 3, 4, 2, 2];
    let allowed = |row: &[Option<usize>]| !(row[0] == Some(1) && row[3] == Some(1));
    let rows = all_pairs(&choices, allowed);
    for first in 0..choices.len() {
        for second in first + 1..choices.len() {
            for (one, other) in
                (0..choices[first]).flat_map(|one| (0..choices[second]).map(move |other| (one, other)))
            {
                let found = rows.iter().any(|row| row[first] == one && row[second] == other);
                assert_eq!(found, (first, one, second, other) != (0, 1, 3, 1));
            }
        }
    }
    assert!((20..32).contains(&rows.len()), "{}", rows.len());
}
