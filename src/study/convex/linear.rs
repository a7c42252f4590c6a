//! Small systems of linear equations in double precision.

/// Solves `a x = b` by Cholesky's factors, for a symmetric `a` that is positive definite, row-major.
pub(super) fn solve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let n = b.len();
    let mut l = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..=i {
            let rest: f64 = (0..j).map(|k| l[i * n + k] * l[j * n + k]).sum();
            let left = a[i * n + j] - rest;
            l[i * n + j] = if i == j { left.sqrt() } else { left / l[j * n + j] };
        }
    }
    let mut x = b.to_vec();
    for i in 0..n {
        let rest: f64 = (0..i).map(|k| l[i * n + k] * x[k]).sum();
        x[i] = (x[i] - rest) / l[i * n + i];
    }
    for i in (0..n).rev() {
        let rest: f64 = (i + 1..n).map(|k| l[k * n + i] * x[k]).sum();
        x[i] = (x[i] - rest) / l[i * n + i];
    }
    x
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_solution_solves_the_equations() {
        let a = [4.0, 2.0, 0.6, 2.0, 5.0, 1.0, 0.6, 1.0, 3.0];
        let x = super::solve(&a, &[1.0, -2.0, 0.5]);
        for (row, wanted) in a.chunks(3).zip([1.0, -2.0, 0.5]) {
            let found: f64 = row.iter().zip(&x).map(|(a, x)| a * x).sum();
            assert!((found - wanted).abs() < 1e-14, "{found}");
        }
    }
}
