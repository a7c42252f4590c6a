//! How well the memory-perturbation equation tells what leaving a row out of training does.
//!
//! `cargo run --release --example leave_one_out -- [FILE.svg]` trains logistic regression of three classes by IVON on 90
//! points, some of them with a wrong label, and estimates from its posterior each point's negative log-likelihood by the
//! model without it. Beside that it leaves each point out in truth: 90 solutions by Newton's method, in f64. It prints how
//! they correlate, and draws one over the other.

use std::error::Error;

use natgrad::ndarray::{Array1, Array2, Axis};
use natgrad::posterior::Sensitivity;
use natgrad::prelude::*;
use natgrad::report::{Line, Panel, Stroke};

const ROWS: usize = 90;
const CLASSES: usize = 3;
/// Two coordinates and a bias, for each class.
const WEIGHTS: usize = 3 * CLASSES;
/// The prior's precision over the number of rows.
const DELTA: f64 = 0.01;
const SAMPLES: u32 = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let (x, y) = points();
    let estimated = estimate(&x, &y)?;
    let rows: Vec<([f64; 3], usize)> = x
        .axis_iter(Axis(0))
        .zip(&y)
        .map(|(x, &y)| ([f64::from(x[0]), f64::from(x[1]), 1.0], y as usize))
        .collect();
    let whole = solve(&rows, None, [0.0; WEIGHTS]);
    let [with, without]: [Vec<f64>; 2] = [
        rows.iter().map(|row| nll(&whole, row)).collect(),
        (0..ROWS).map(|row| nll(&solve(&rows, Some(row), whole), &rows[row])).collect(),
    ];
    let guessed: Vec<f64> = estimated.rows.iter().map(|row| row.left_out_nll).collect();
    let moved = |after: &[f64], before: &[f64]| -> Vec<f64> {
        after.iter().zip(before).map(|(after, before)| after - before).collect()
    };
    let before: Vec<f64> = estimated.rows.iter().map(|row| row.nll).collect();
    let (guessed_moves, moves) = (moved(&guessed, &before), moved(&without, &with));
    let mean = |numbers: &[f64]| numbers.iter().sum::<f64>() / numbers.len() as f64;
    println!("NLL of the rows           {:.4} (Newton {:.4})", estimated.nll(), mean(&with));
    println!("without each, estimated   {:.4}", estimated.leave_one_out_nll());
    println!("without each, in truth    {:.4}", mean(&without));
    println!("rank correlation of the changes of a row's NLL  {:.3}", spearman(&guessed_moves, &moves));
    if let Some(path) = std::env::args().nth(1) {
        let dots = moves.iter().copied().zip(guessed_moves).collect();
        let most = moves.iter().copied().fold(0.0, f64::max);
        let line =
            |name: &str, points, colour, stroke| Line { name: name.to_string(), points, colour, stroke };
        let panel = Panel {
            x: "change of a row's NLL when it is left out, in truth".to_string(),
            y: "estimated".to_string(),
            may_be_log: false,
            names: natgrad::report::Corner::LowerRight,
            lines: vec![
                line("as in truth", vec![(0.0, 0.0), (most, most)], 7, Stroke::Plain),
                line("a row", dots, 0, Stroke::Dots),
            ],
        };
        std::fs::write(&path, panel.svg().unwrap_or_default())?;
        println!("drawn in {path}");
    }
    Ok(())
}

/// Three clouds that overlap; every eleventh point has another's label.
fn points() -> (Array2<f32>, Array1<u32>) {
    let mut state = 1u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 24) as f32 - 0.5
    };
    let centres = [[-1.0, -0.6], [1.0, -0.6], [0.0, 1.1]];
    let x = Array2::from_shape_fn((ROWS, 2), |(row, axis)| {
        centres[row % CLASSES][axis] + 1.6 * (noise() + noise() + noise())
    });
    let label = |row: usize| ((row + usize::from(row % 11 == 5)) % CLASSES) as u32;
    (x, Array1::from_shape_fn(ROWS, label))
}

/// What natgrad estimates of each row.
fn estimate(x: &Array2<f32>, y: &Array1<u32>) -> Result<Sensitivity, Box<dyn Error>> {
    let device = Device::cpu()?;
    let model = SoftmaxRegression { inputs: 2, classes: CLASSES };
    let rule = Ivon { lr: 0.2, beta2: 0.995, weight_decay: DELTA, ..Ivon::default() };
    let run = Run::new(model, rule).data((x, y)).batch(ROWS).steps(4000);
    let mut run = run.with(|config| (config.step.samples, config.step.per_call) = (8, 100)).start(&device)?;
    run.fit(|_| {})?;
    Ok(run.sensitivity(SAMPLES)?)
}

/// The probabilities of the classes.
fn probabilities(weights: &[f64; WEIGHTS], x: &[f64; 3]) -> [f64; CLASSES] {
    let logits: [f64; CLASSES] =
        std::array::from_fn(|class| (0..3).map(|input| weights[3 * class + input] * x[input]).sum());
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|logit| (logit - most).exp()).sum();
    logits.map(|logit| (logit - most).exp() / sum)
}

fn nll(weights: &[f64; WEIGHTS], (x, y): &([f64; 3], usize)) -> f64 {
    -probabilities(weights, x)[*y].ln()
}

/// The most probable weights without one row, or with all: the prior is the same.
fn solve(rows: &[([f64; 3], usize)], without: Option<usize>, start: [f64; WEIGHTS]) -> [f64; WEIGHTS] {
    let mut weights = start;
    for _ in 0..30 {
        let prior = DELTA * ROWS as f64;
        let mut gradient = weights.map(|weight| prior * weight);
        let mut hessian = [[0.0; WEIGHTS]; WEIGHTS];
        (0..WEIGHTS).for_each(|at| hessian[at][at] = prior);
        for (_, (x, y)) in rows.iter().enumerate().filter(|(row, _)| Some(*row) != without) {
            let p = probabilities(&weights, x);
            for (a, b) in (0..WEIGHTS).flat_map(|a| (0..WEIGHTS).map(move |b| (a, b))) {
                let same = if a / 3 == b / 3 { p[a / 3] } else { 0.0 };
                hessian[a][b] += (same - p[a / 3] * p[b / 3]) * x[a % 3] * x[b % 3];
            }
            for (at, sum) in gradient.iter_mut().enumerate() {
                *sum += (p[at / 3] - if at / 3 == *y { 1.0 } else { 0.0 }) * x[at % 3];
            }
        }
        let step = gauss(hessian, gradient);
        (0..WEIGHTS).for_each(|at| weights[at] -= step[at]);
    }
    weights
}

/// Solves a system of equations whose matrix is positive definite, which needs no pivots.
fn gauss(mut matrix: [[f64; WEIGHTS]; WEIGHTS], mut right: [f64; WEIGHTS]) -> [f64; WEIGHTS] {
    for at in 0..WEIGHTS {
        for below in at + 1..WEIGHTS {
            let factor = matrix[below][at] / matrix[at][at];
            (at..WEIGHTS).for_each(|column| matrix[below][column] -= factor * matrix[at][column]);
            right[below] -= factor * right[at];
        }
    }
    for at in (0..WEIGHTS).rev() {
        let known: f64 = (at + 1..WEIGHTS).map(|column| matrix[at][column] * right[column]).sum();
        right[at] = (right[at] - known) / matrix[at][at];
    }
    right
}

/// Spearman's rank correlation, of numbers without ties.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |numbers: &[f64]| {
        let mut order: Vec<usize> = (0..numbers.len()).collect();
        order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
        let mut ranks = vec![0.0; numbers.len()];
        order.iter().enumerate().for_each(|(rank, &at)| ranks[at] = rank as f64);
        ranks
    };
    let count = a.len() as f64;
    let squares: f64 = ranks(a).iter().zip(ranks(b)).map(|(a, b)| (a - b) * (a - b)).sum();
    1.0 - 6.0 * squares / (count * (count * count - 1.0))
}
