//! Products of matrices.

use half::bf16;

use super::{bytes, library, numbers, share, values};
use crate::{Element, Error, Product};

/// A product, and the one of a right matrix that lies column by column.
fn both_ways(rows: usize, depth: usize, columns: usize) -> [Product; 2] {
    [false, true].map(|is_turned| Product { element: Element::F32, rows, depth, columns, is_turned })
}

/// What it gives by threads, and term by term.
fn run(of: &Product, threads: usize) -> Result<[Vec<f64>; 2], Error> {
    let (left, right) = (numbers(of.rows * of.depth, 1), numbers(of.depth * of.columns, 5));
    let mut out = vec![0xff; of.rows * of.columns * of.element.size_bytes()];
    let [left_bytes, right_bytes] = [&left, &right].map(|numbers| bytes(of.element, numbers));
    library().multiply(of, &left_bytes, &right_bytes, &mut out, threads, &share)?;
    let [row, column] = if of.is_turned { [1, of.depth] } else { [of.columns, 1] };
    let mut wanted = Vec::new();
    for at in 0..of.rows {
        for to in 0..of.columns {
            let term = |by: usize| left[at * of.depth + by] * right[by * row + to * column];
            wanted.push((0..of.depth).map(term).sum::<f64>());
        }
    }
    Ok([values(of.element, &out), wanted])
}

const SIZES: [(usize, usize, usize); 5] =
    [(1, 1, 1), (3, 5, 7), (200, 300, 130), (517, 100, 90), (64, 1000, 10)];

#[test]
fn products_are_the_sums_that_they_stand_for() {
    for of in SIZES.into_iter().flat_map(|(rows, depth, columns)| both_ways(rows, depth, columns)) {
        for threads in [1, 2, 5] {
            let [found, wanted] = run(&of, threads).unwrap();
            // Integers below 2^24: every order of adding gives the same.
            assert_eq!(found, wanted, "{of:?}");
        }
    }
}

#[test]
fn halves_are_added_in_single_precision() {
    for of in SIZES.into_iter().flat_map(|(rows, depth, columns)| both_ways(rows, depth, columns)) {
        let of = Product { element: Element::Bf16, ..of };
        // Not every processor can.
        let Ok([found, wanted]) = run(&of, 2) else { continue };
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!(*found, bf16::from_f64(wanted).to_f64(), "{of:?}");
        }
    }
}

#[test]
fn what_was_in_the_result_and_what_is_no_number_do_not_mix() {
    // `run` begins with bytes that are no number; here an operand has one.
    let of = both_ways(2, 2, 2)[0];
    let mut left = bytes(Element::F32, &[1.0, 2.0, 3.0, 4.0]);
    left[..4].copy_from_slice(&f32::NAN.to_ne_bytes());
    let (right, mut out) = (bytes(Element::F32, &[0.0, 1.0, 1.0, 0.0]), vec![0; 16]);
    library().multiply(&of, &left, &right, &mut out, 1, &share).unwrap();
    let found = values(Element::F32, &out);
    assert!(found[0].is_nan() && found[1].is_nan(), "{found:?}");
    assert_eq!(found[2..], [4.0, 3.0]);
}

#[test]
fn what_cannot_be_computed_is_refused() {
    let of = both_ways(2, 3, 4)[0];
    let refused = |of: &Product, sizes: [usize; 3]| {
        let [left, right, mut out] = sizes.map(|size| vec![0_u8; size]);
        library().multiply(of, &left, &right, &mut out, 1, &share).is_err()
    };
    assert!(!refused(&of, [24, 48, 32]));
    for sizes in [[20, 48, 32], [24, 44, 32], [24, 48, 28], [24, 48, 36], [28, 48, 32]] {
        assert!(refused(&of, sizes));
    }
    assert!(refused(&of.of(0), [0, 48, 0]));
    let error = library().multiply(&of, &[], &[], &mut [], 1, &share).unwrap_err().to_string();
    assert!(error.starts_with("operands of [0, 0, 0] bytes are not those of Product"), "{error}");
    assert!(!library().multiplies_fast(&of.of(0)));
}
