//! What arrays become, and what is refused.

use super::*;
use crate::data::Batch;
use natgrad_layers::{Activation, Mlp};
use ndarray::{Array2, array};

fn refused(arrays: impl Into<Arrays>) -> String {
    let mlp = Mlp { sizes: vec![2, 3], activation: Activation::Relu, noise: None };
    arrays.into().examples(&mlp, true).unwrap_err().to_string()
}

#[test]
fn rows_are_examples_in_row_major_order() {
    let mlp = Mlp { sizes: vec![2, 3], activation: Activation::Relu, noise: None };
    // Columns first in memory.
    let x = array![[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]].reversed_axes();
    let examples = Arrays::from((&x, &array![2_i64, 0, 1])).examples(&mlp, true).unwrap();
    assert_eq!((examples.len(), examples.example().classes), (3, 3));
    let mut batch = Batch::default();
    examples.append(1, &mut batch);
    assert_eq!(batch.features, [[2.0_f32, 3.0].map(f32::to_ne_bytes).as_flattened()]);
    assert_eq!(batch.labels, 0_u32.to_ne_bytes());
    let (picked, rest) = examples.divide(&|row| row.is_multiple_of(2));
    assert_eq!((picked.len(), rest.len()), (2, 1));
    assert_eq!(rest.into_batch().features, batch.features);
    let unlabelled = Arrays::from(&x).examples(&mlp, false).unwrap();
    assert_eq!(unlabelled.into_batch().labels, [0; 12]);
}

#[test]
fn what_does_not_fit_is_named() {
    let x = Array2::<f32>::zeros((4, 2));
    let y = array![0_u32, 1, 2, 0];
    assert_eq!(
        refused((&Array2::<f32>::zeros((4, 3)), &y)),
        "the input `features` have the shape [4, 3], but must have [rows, 2]"
    );
    assert_eq!(
        refused((&x, &array![0, 1, 3, 0])),
        "the labels have 3 in row 2, counted from 0, but it must be below 3"
    );
    assert_eq!(
        refused((&x, &array![0, -1, 2, 0])),
        "the labels have -1 in row 1, counted from 0, but it must be from 0 to 2^32 - 1"
    );
    assert_eq!(refused((&x, &array![0, 1])), "the labels have 2 rows, but the arrays before have 4");
    assert_eq!(
        refused((&x, &array![0.0, 1.0, 2.0, 0.0])),
        "the labels are of type f64, but must be whole numbers, such as u32"
    );
    assert!(
        refused((&Array2::<u8>::zeros((4, 2)), &y))
            .starts_with("the input `features` are of type u8, but must be f32 or f64")
    );
    assert_eq!(
        refused(&x),
        "the rows have no labels: give them as `(&inputs, &labels)`, or by `Arrays::labels`"
    );
    assert_eq!(
        refused((&array![[0.0, 1.0], [f64::NAN, 0.0]], &array![0, 1])),
        "the input `features` have NaN in row 1, counted from 0, but it must be finite"
    );
    assert!(
        refused((&array![[0.0, 1e300]], &array![0]))
            .contains("in row 0, counted from 0, but it must be in the range of single precision")
    );
    assert_eq!(
        refused((&Array2::<f32>::zeros((0, 2)), &ndarray::Array1::<u32>::zeros(0))),
        "the input `features` have no rows"
    );
    assert_eq!(
        refused(Arrays::named("image", &x).labels(&y)),
        "the model has no input `image`: it takes `features`"
    );
    assert_eq!(
        refused(Arrays::named("features", &x).and("features", &x).labels(&y)),
        "the input `features` is given twice"
    );
    assert_eq!(
        refused(Arrays::default().labels(&y)),
        "the input `features` is missing: the model takes `features`; `Arrays::named` gives one by its name"
    );
}
