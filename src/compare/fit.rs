//! Least squares whose coefficients have least values, and what of them the equations determine.

/// Terms of an equation.
pub(super) const TERMS: usize = 4;

/// A row's terms, each divided by the row's time: with the right coefficients their products sum up to 1.
pub(super) type Equation = [f64; TERMS];

/// How much of a term, as a part of its square, may follow from the other terms before nothing tells it from them.
const FOLLOWS: f64 = 1.0 - 1e-4;

/// The coefficients of at least `least` for which the sum of `(row . coefficients - 1)^2` is least. `least` itself where nothing tells
/// more.
///
/// The best coefficients have some terms at their least values, and the others where the least squares of them alone are. So they are
/// the best of those that come out right, over all sets of terms.
pub(super) fn bounded(rows: &[Equation], least: &Equation) -> Equation {
    let scale = scale(rows);
    let rows: Vec<Equation> = rows.iter().map(|row| over(row, &scale)).collect();
    let scaled: Equation = std::array::from_fn(|term| least[term] * scale[term]);
    let loss = |costs: &Equation| rows.iter().map(|row| (dot(row, costs) - 1.0).powi(2)).sum::<f64>();
    let solutions = (0..1_usize << TERMS).filter_map(|free| solve(&rows, &scaled, free));
    let right =
        |costs: &Equation| costs.iter().zip(&scaled).all(|(cost, least)| cost.is_finite() && cost >= least);
    let best = solutions.filter(right).min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap_or(scaled);
    let free = over(&best, &scale);
    // A term at its least value is there exactly, whatever scaling rounds.
    std::array::from_fn(
        |term| if best[term] == scaled[term] { least[term] } else { free[term].max(least[term]) },
    )
}

/// Whether each term has something of its own: whether it does not follow from the others in these equations.
pub(super) fn own(rows: &[Equation]) -> [bool; TERMS] {
    let scale = scale(rows);
    let rows: Vec<Equation> = rows.iter().map(|row| over(row, &scale)).collect();
    std::array::from_fn(|term| {
        let square: f64 = rows.iter().map(|row| row[term] * row[term]).sum();
        // What is left of the term after the best of the others: the least over all sets of them that can be solved.
        let sets = (0..1_usize << TERMS).filter(|set| set >> term & 1 == 0);
        let left = sets.filter_map(|set| {
            let target = |row: &Equation| row[term];
            let costs = least_squares(&rows, set, target)?;
            Some(rows.iter().map(|row| (dot(row, &costs) - target(row)).powi(2)).sum::<f64>())
        });
        left.fold(square, f64::min) > (1.0 - FOLLOWS) * square
    })
}

/// The products of terms and coefficients, summed up.
pub(super) fn dot(terms: &Equation, costs: &Equation) -> f64 {
    terms.iter().zip(costs).map(|(term, cost)| term * cost).sum()
}

/// The largest of each term: terms differ by many powers of ten.
fn scale(rows: &[Equation]) -> Equation {
    std::array::from_fn(|term| {
        let most = rows.iter().map(|row| row[term]).fold(0.0, f64::max);
        if most > 0.0 { most } else { 1.0 }
    })
}

fn over(row: &Equation, scale: &Equation) -> Equation {
    std::array::from_fn(|term| row[term] / scale[term])
}

/// The best coefficients with the terms of `free` wherever they come out, and the others at their least values.
fn solve(rows: &[Equation], least: &Equation, free: usize) -> Option<Equation> {
    let held: Equation = std::array::from_fn(|term| if free >> term & 1 == 1 { 0.0 } else { least[term] });
    let costs = least_squares(rows, free, |row| 1.0 - dot(row, &held))?;
    Some(std::array::from_fn(|term| if free >> term & 1 == 1 { costs[term] } else { least[term] }))
}

/// The least squares of the terms of `free`, the others being 0, by the normal equations; none if they are singular.
fn least_squares(rows: &[Equation], free: usize, target: impl Fn(&Equation) -> f64) -> Option<Equation> {
    let is_free = |term: usize| free >> term & 1 == 1;
    let mut matrix = [[0.0; TERMS + 1]; TERMS];
    for (term, line) in matrix.iter_mut().enumerate() {
        if !is_free(term) {
            line[term] = 1.0;
            continue;
        }
        for row in rows {
            for (other, cell) in line.iter_mut().take(TERMS).enumerate().filter(|(other, _)| is_free(*other))
            {
                *cell += row[term] * row[other];
            }
            line[TERMS] += row[term] * target(row);
        }
    }
    for pivot in 0..TERMS {
        let best =
            (pivot..TERMS).max_by(|&a, &b| matrix[a][pivot].abs().total_cmp(&matrix[b][pivot].abs()))?;
        matrix.swap(pivot, best);
        let head = matrix[pivot];
        if head[pivot].abs() < 1e-9 {
            return None;
        }
        for line in (0..TERMS).filter(|&line| line != pivot) {
            let factor = matrix[line][pivot] / head[pivot];
            matrix[line].iter_mut().zip(head).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    Some(std::array::from_fn(|term| matrix[term][TERMS] / matrix[term][term]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coefficient_is_at_its_least_value_where_it_would_be_below() {
        // The second term makes steps shorter, which no work does.
        let rows = [[1.0, 0.5, 0.0, 0.0], [1.0, 0.1, 0.0, 0.0], [0.9, 0.0, 0.0, 0.0], [1.1, 0.9, 0.0, 0.0]];
        let costs = bounded(&rows, &[0.0; TERMS]);
        assert!(costs[0] > 0.8 && costs[1..] == [0.0; 3], "{costs:?}");
        // The first makes up for what the second has to cost.
        let held = bounded(&rows, &[0.0, 0.25, 0.0, 0.0]);
        assert!(held[0] < costs[0] && held[1] == 0.25, "{held:?}");
        assert_eq!(bounded(&rows, &[3.0, 0.25, 0.0, 0.0]), [3.0, 0.25, 0.0, 0.0]);
    }

    #[test]
    fn terms_that_follow_from_others_have_nothing_of_their_own() {
        let rows = [[1.0, 1e9, 3e9, 0.0], [1.0, 2e9, 5e9, 0.0], [1.0, 4e9, 9e9, 0.0]];
        assert_eq!(
            own(&rows),
            [false; TERMS],
            "the third is twice the second and 1e9 of the first; the fourth is nothing"
        );
        let rows = [[1.0, 1e9, 3e9, 2.0], [1.0, 2e9, 5e9, 1.0], [1.0, 4e9, 9e9, 3.0], [0.5, 1e9, 1e10, 1.0]];
        assert_eq!(own(&rows), [true; TERMS]);
    }
}
