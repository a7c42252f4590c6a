//! A mapped function gives for every row what the function gives for it.

use natgrad_ir::grad::value_and_grad;
use natgrad_ir::interp::{Data, Precision, Tensor, evaluate_flat};
use natgrad_ir::testing::{Config, arb_function, inputs};
use natgrad_ir::vectorize::{VectorizeError, vectorize};
use natgrad_ir::verify::verify_function;
use natgrad_ir::{
    Builder, CompareOp, DType, FuncId, Function, Module, Op, ReduceOp, Shape, TensorType, Value,
};
use proptest::prelude::*;

/// The tensor with these tensors, all of one type, as its rows.
fn stacked(ty: &TensorType, rows: &[Vec<f64>]) -> Tensor {
    let shape = Shape::new([&[rows.len()], ty.shape.dims()].concat());
    Tensor::from_f64s(TensorType { dtype: ty.dtype, shape }, &rows.concat()).unwrap()
}

/// The elements of one row, all NaNs being one and both zeros too.
fn row(tensor: &Tensor, index: usize, size: usize) -> Vec<i128> {
    let range = index * size..(index + 1) * size;
    let bits = |value: &f64| match *value {
        0.0 => 0,
        value if value.is_nan() => i128::MAX,
        value => i128::from(value.to_bits()),
    };
    match tensor.data() {
        Data::Float(values) => values[range].iter().map(bits).collect(),
        Data::Int(values) => values[range].to_vec(),
        Data::Bool(values) => values[range].iter().map(|&value| i128::from(value)).collect(),
    }
}

/// Checks the mapped function on as many rows as there are seeds; parameters that are not mapped get the values of
/// the first seed, or of none.
fn check(function: &Function, batched: &[bool], seeds: &[u64]) -> Result<Function, String> {
    let mapped = vectorize(function, batched, seeds.len()).map_err(|error| error.to_string())?;
    verify_function(&mapped).map_err(|violations| violations.to_string())?;
    let rows: Vec<Vec<Vec<f64>>> = seeds.iter().map(|&seed| inputs(function, seed)).collect();
    let shared = rows.first().cloned().unwrap_or_else(|| inputs(function, 0));
    let types: Vec<&TensorType> = function.params.iter().map(|&param| function.ty(param)).collect();
    let all: Vec<Tensor> = (0..types.len())
        .map(|param| {
            if batched[param] {
                let rows: Vec<Vec<f64>> = rows.iter().map(|row| row[param].clone()).collect();
                stacked(types[param], &rows)
            } else {
                Tensor::from_f64s(types[param].clone(), &shared[param]).unwrap()
            }
        })
        .collect();
    let found = evaluate_flat(&mapped, &all, Precision::AsTyped).map_err(|error| error.to_string())?;
    for (index, values) in rows.iter().enumerate() {
        let one: Vec<Tensor> = (0..types.len())
            .map(|param| {
                let values = if batched[param] { &values[param] } else { &shared[param] };
                Tensor::from_f64s(types[param].clone(), values).unwrap()
            })
            .collect();
        let wanted = evaluate_flat(function, &one, Precision::AsTyped).map_err(|error| error.to_string())?;
        for (result, (wanted, found)) in wanted.iter().zip(&found).enumerate() {
            let size = wanted.ty().shape.elements();
            if row(wanted, 0, size) != row(found, index, size) {
                return Err(format!("row {index} of result {result} is not {wanted:?} in {found:?}"));
            }
        }
    }
    for (&result, found) in function.results.iter().zip(&found) {
        let dims = [&[seeds.len()], function.ty(result).shape.dims()].concat();
        if found.ty().shape.dims() != dims {
            return Err(format!("a result is {}", found.ty()));
        }
    }
    Ok(mapped)
}

/// What is taken by an index of its own row can lose the sign of a zero, which a wild program may make visible.
fn exact(function: &Function) -> bool {
    !function.insts.iter().any(|inst| matches!(inst.op, Op::At))
}

fn names(function: &Function) -> Vec<&str> {
    function.values.iter().filter_map(|data| data.name.as_deref()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn rows_are_those_of_the_function(
        function in prop_oneof![
            arb_function(Config::robust(&[DType::F32, DType::F64, DType::BF16])),
            arb_function(Config { max_steps: 40, ..Config::robust(&[DType::F32]) }),
            arb_function(Config::wild()).prop_filter("zeros keep their signs", exact),
        ],
        flags in any::<u32>(),
        seeds in prop::collection::vec(any::<u64>(), 0..4),
    ) {
        let batched: Vec<bool> = (0..function.params.len()).map(|index| flags >> (index % 32) & 1 == 1).collect();
        let mapped = match check(&function, &batched, &seeds) {
            Ok(mapped) => mapped,
            Err(error) => panic!("{error}\n{function:?}"),
        };
        let mut kept = names(&function);
        let mut found = names(&mapped);
        kept.sort_unstable();
        found.sort_unstable();
        prop_assert_eq!(kept, found);
        let scopes = |function: &Function| -> Vec<String> {
            let mut scopes: Vec<String> = function.insts.iter().map(|inst| inst.scope.clone()).collect();
            scopes.push(String::new());
            scopes.sort();
            scopes.dedup();
            scopes
        };
        prop_assert_eq!(scopes(&function), scopes(&mapped));
    }

    #[test]
    fn gradients_of_rows_are_those_of_the_function(
        function in arb_function(Config::smooth(&[DType::F64])),
        flags in any::<u32>(),
        seeds in prop::collection::vec(any::<u64>(), 1..4),
    ) {
        let wrt: Vec<usize> = (0..function.params.len()).collect();
        let gradient = value_and_grad(&function, &wrt).unwrap();
        let batched: Vec<bool> = wrt.iter().map(|index| flags >> (index % 32) & 1 == 1).collect();
        prop_assert_eq!(check(&gradient, &batched, &seeds).err(), None);
    }
}

/// The cross-entropy of a perceptron on one example.
fn loss() -> Function {
    let ty = |dims: &[usize]| TensorType::new(DType::F32, dims);
    let mut b = Builder::new("loss");
    let x = b.param("x", ty(&[4]));
    let label = b.param("label", TensorType::scalar(DType::U32));
    let w0 = b.param("w0", ty(&[4, 5]));
    let b0 = b.param("b0", ty(&[5]));
    let w1 = b.param("w1", ty(&[5, 3]));
    let hidden = b.scoped("layers.0", |b| {
        let y = b.dot(x, w0, natgrad_ir::DotDims::contracting(0, 0));
        let y = b.add(y, b0);
        b.tanh(y)
    });
    let logits = b.scoped("layers.1", |b| b.dot(hidden, w1, natgrad_ir::DotDims::contracting(0, 0)));
    let most = b.reduce(ReduceOp::Max, logits, &[0]);
    let shifted = b.sub(logits, most);
    let exp = b.exp(shifted);
    let sum = b.sum(exp, &[0]);
    let log = b.log(sum);
    let classes = b.iota(DType::U32, [3], 0);
    let hit = b.compare(CompareOp::Eq, classes, label);
    let zero = b.scalar(DType::F32, 0.0);
    let zero = b.splat(zero, [3]);
    let chosen = b.select(hit, shifted, zero);
    let chosen = b.sum(chosen, &[0]);
    let loss = b.sub(log, chosen);
    b.name(loss, "loss");
    b.finish(&[loss]).unwrap()
}

#[test]
fn gradients_of_each_example() {
    let gradient = value_and_grad(&loss(), &[2, 3, 4]).unwrap();
    let mapped = check(&gradient, &[true, true, false, false, false], &[1, 2, 3, 4, 5]).unwrap();
    assert_eq!(mapped.name, "loss_grad_vectorized");
}

#[test]
fn what_no_row_changes_is_as_in_every_row() {
    let ty = TensorType::new(DType::F32, [3]);
    let mut b = Builder::new("f");
    let x = b.param("x", ty.clone());
    let w = b.param("w", ty);
    let shared = b.exp(w);
    let product = b.mul(x, shared);
    let sum = b.add(product, shared);
    let function = b.finish(&[sum, shared]).unwrap();
    for batched in [[true, false], [false, true], [false, false]] {
        check(&function, &batched, &[1, 2]).unwrap();
    }
}

/// Scalars that an operation takes one of, but each row has its own.
#[test]
fn rows_with_their_own_index_and_padding() {
    for dtype in DType::ALL {
        let mut b = Builder::new("f");
        let x = b.param("x", TensorType::new(dtype, [3, 2]));
        let value = b.param("value", TensorType::scalar(dtype));
        let index = b.param("index", TensorType::scalar(DType::U32));
        let pad = Op::Pad { low: vec![1, 0], high: vec![0, 1], interior: vec![1, 2] };
        let padded = b.push(pad, vec![x, value], None)[0];
        let taken = b.at(x, index);
        let function = b.finish(&[padded, taken]).unwrap();
        for flags in 0..8 {
            let batched = [0, 1, 2].map(|bit| flags >> bit & 1 == 1);
            check(&function, &batched, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        }
    }
}

#[test]
fn rows_with_their_own_random_bits() {
    let mut b = Builder::new("f");
    let state = b.param("state", TensorType::new(DType::U64, [2]));
    let bits = b.philox(state, [3, 2]);
    let number = b.philox(state, []);
    let function = b.finish(&[bits, number]).unwrap();
    check(&function, &[true], &[1, 2, 3]).unwrap();
    check(&function, &[true], &[]).unwrap();
    check(&function, &[false], &[1, 2, 3]).unwrap();
    let error = vectorize(&function, &[true], 5000).unwrap_err().to_string();
    assert!(error.contains("5000 rows: each row has its own random bits"), "{error}");
}

#[test]
fn what_cannot_be_mapped_is_refused() {
    let function = loss();
    let error = vectorize(&function, &[true], 2).unwrap_err();
    assert_eq!(error.to_string(), "function `loss` has 5 parameters, but 1 flags say which are mapped");
    let error = vectorize(&function, &[true; 5], 1 << 47).unwrap_err();
    assert!(matches!(error, VectorizeError::TooLarge { .. }), "{error}");
    let error = vectorize(&function, &[false, true, false, false, false], 1 << 47).unwrap_err().to_string();
    assert!(error.contains("vectorize.rs:") && error.contains("140737488355328 rows"), "{error}");
    let mut malformed = function.clone();
    malformed.insts[0].operands[0] = Value::from_index(999);
    assert!(matches!(vectorize(&malformed, &[true; 5], 2), Err(VectorizeError::Malformed(_))));
    let mut module = Module::new("m");
    let callee: FuncId = module.push(function);
    let mut b = Builder::new("main");
    let params: Vec<Value> = {
        let function = module.function(callee);
        let types: Vec<TensorType> =
            function.params.iter().map(|&param| function.ty(param).clone()).collect();
        types.into_iter().enumerate().map(|(index, ty)| b.param(format!("p{index}"), ty)).collect()
    };
    let results = b.call(&module, callee, &params);
    let main = b.finish(&results).unwrap();
    let error = vectorize(&main, &[true; 5], 2).unwrap_err();
    assert!(matches!(error, VectorizeError::Call { operation: "call", .. }), "{error}");
}
