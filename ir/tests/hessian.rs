//! The Hessian of any smooth loss is symmetric.

use natgrad_ir::DType;
use natgrad_ir::grad::hessian_vector;
use natgrad_ir::interp::{Precision, Tensor, evaluate_flat};
use natgrad_ir::testing::{Config, arb_function, inputs};
use natgrad_ir::verify::verify_function;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// `u . H v = v . H u`, over all parameters together.
    #[test]
    fn hessians_are_symmetric(
        function in arb_function(Config::smooth(&[DType::F64])),
        seeds in any::<[u64; 3]>(),
    ) {
        let wrt: Vec<usize> = (0..function.params.len()).collect();
        let product = hessian_vector(&function, &wrt, &[]).unwrap();
        prop_assert_eq!(verify_function(&product), Ok(()));
        let [at, u, v] = seeds.map(|seed| inputs(&function, seed));
        let times = |direction: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let values = at.iter().chain(direction);
            let tensors: Vec<Tensor> = product
                .params
                .iter()
                .zip(values)
                .map(|(&param, values)| Tensor::from_f64s(product.ty(param).clone(), values).unwrap())
                .collect();
            let results = evaluate_flat(&product, &tensors, Precision::AsTyped).unwrap();
            results[1 + wrt.len()..].iter().map(Tensor::to_f64s).collect()
        };
        let terms = |x: &[Vec<f64>], y: &[Vec<f64>]| -> Vec<f64> {
            x.concat().iter().zip(y.concat()).map(|(x, y)| x * y).collect()
        };
        let (left, right) = (terms(&u, &times(&v)), terms(&v, &times(&u)));
        let size: f64 = left.iter().chain(&right).map(|term| term.abs()).sum();
        let (left, right): (f64, f64) = (left.iter().sum(), right.iter().sum());
        prop_assert!((left - right).abs() <= 1e-9 * (1.0 + size), "{left} {right}");
    }
}
