//! Gradients of regions that are computed again are those of the whole.

use natgrad_ir::grad::{Region, RegionKind, value_and_grad, value_and_grad_of_regions};
use natgrad_ir::interp::{Precision, Tensor, evaluate, evaluate_flat};
use natgrad_ir::testing::{Config, arb_function, inputs};
use natgrad_ir::verify::verify;
use natgrad_ir::{Builder, CallKind, DType, DotDims, Function, Module, Op, TensorType, Value};
use proptest::prelude::*;

fn tensors(function: &Function, numbers: &[Vec<f64>]) -> Vec<Tensor> {
    let tensor = |(&param, values): (&Value, &Vec<f64>)| {
        Tensor::from_f64s(function.ty(param).clone(), values).unwrap()
    };
    function.params.iter().zip(numbers).map(tensor).collect()
}

/// The results by the plain gradient, and by that of the regions; and the module of the latter.
fn both(
    function: &Function,
    wrt: &[usize],
    regions: &[Region],
    at: &[Tensor],
) -> (Vec<f64>, Vec<f64>, Module) {
    let plain = value_and_grad(function, wrt).unwrap();
    let mut module = Module::new("m");
    let gradient = value_and_grad_of_regions(&mut module, function, wrt, &[], regions).unwrap();
    module.push(gradient);
    let verified = verify(module.clone()).unwrap();
    let flat = |results: Vec<Tensor>| results.iter().flat_map(Tensor::to_f64s).collect();
    (
        flat(evaluate_flat(&plain, at, Precision::AsTyped).unwrap()),
        flat(evaluate(&verified, at).unwrap()),
        module,
    )
}

fn again(insts: std::ops::Range<usize>, saved: Vec<Value>) -> Region {
    Region { insts, kind: RegionKind::Again, saved }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the regions, in one another or apart, and whatever they save.
    #[test]
    fn regions_change_no_gradient(
        function in arb_function(Config { max_steps: 16, ..Config::smooth(&[DType::F64]) }),
        seed in any::<u64>(),
        cuts in prop::collection::vec(any::<(u16, u16, u16, bool)>(), 1..6),
    ) {
        let wrt: Vec<usize> = (0..function.params.len()).collect();
        let count = function.insts.len();
        let regions: Vec<Region> = cuts.iter().map(|&(a, b, saved, is_apart)| {
            let [a, b] = [a, b].map(|place| usize::from(place) % (count + 1));
            let insts = a.min(b)..a.max(b);
            let saved = function.insts[insts.clone()].iter().skip(usize::from(saved) % 8).take(1);
            let kind = if is_apart { RegionKind::Apart } else { RegionKind::Again };
            Region { kind, ..again(insts.clone(), saved.flat_map(|inst| inst.results.clone()).collect()) }
        }).collect();
        let at = tensors(&function, &inputs(&function, seed));
        let (plain, found, _) = both(&function, &wrt, &regions, &at);
        prop_assert_eq!(plain.len(), found.len());
        let size = 1.0 + plain.iter().map(|number| number.abs()).fold(0.0, f64::max);
        for (plain, found) in plain.iter().zip(&found) {
            prop_assert!((plain - found).abs() <= 1e-12 * size, "{plain} {found} by {regions:?}");
        }
    }
}

/// `sum over parts of log(sum(exp(x[part] w)))`, each part in a region.
fn terms(parts: usize, scale: f64) -> (Function, Vec<Region>) {
    let mut b = Builder::new("loss");
    let x = b.param("x", TensorType::new(DType::F64, [2 * parts, 3]));
    let w = b.param("w", TensorType::new(DType::F64, [3, 5]));
    let mut regions = Vec::new();
    let mut loss = None;
    for part in 0..parts {
        let first = b.function().insts.len();
        let term = b.formula([x, w], |[x, w]| {
            let rows = x.slice(0, 2 * part..2 * part + 2);
            rows.dot(w, DotDims::matmul()).exp().sum(&[1]).log().total()
        });
        regions.push(Region {
            insts: first..b.function().insts.len(),
            kind: RegionKind::AtOnce,
            saved: Vec::new(),
        });
        loss = Some(loss.map_or(term, |sum| b.add(sum, term)));
    }
    let loss = b.mul_const(loss.unwrap(), scale);
    (b.finish(&[loss]).unwrap(), regions)
}

#[test]
fn terms_come_with_their_gradients() {
    let (mut function, regions) = terms(3, 1.0);
    // The loss is the sum, without the factor.
    let sum = function.insts.last().unwrap().operands[0];
    function.results = vec![sum];
    let at = tensors(&function, &inputs(&function, 7));
    let (plain, found, module) = both(&function, &[0, 1], &regions, &at);
    assert!(
        plain.iter().zip(&found).all(|(plain, found)| (plain - found).abs() < 1e-13),
        "{plain:?} {found:?}"
    );
    let entry = module.entry().unwrap();
    let calls = entry.insts.iter().filter(|it| matches!(it.op, Op::Call { kind: CallKind::Again, .. }));
    assert_eq!(calls.count(), 3);
    assert!(!entry.insts.iter().any(|inst| matches!(inst.op, Op::Dot(_))), "nothing is computed twice");
    // Without a gradient there is nothing to come with the terms.
    let (plain, found, _) = both(&function, &[], &regions, &at);
    assert_eq!(plain, found);
}

#[test]
fn terms_are_added_in_their_own_order() {
    let (mut function, mut regions) = terms(3, 1.0);
    let sum = function.insts.last().unwrap().operands[0];
    function.results = vec![sum];
    let at = tensors(&function, &inputs(&function, 7));
    regions.reverse();
    // One term in another.
    let inner = Region { insts: regions[0].insts.start..regions[0].insts.end - 1, ..regions[0].clone() };
    regions.insert(1, inner);
    let (plain, found, _) = both(&function, &[0, 1], &regions, &at);
    assert!(
        plain.iter().zip(&found).all(|(plain, found)| (plain - found).abs() < 1e-13),
        "{plain:?} {found:?}"
    );
}

#[test]
fn a_later_term_without_a_gradient_drops_none() {
    let mut b = Builder::new("loss");
    let [w, v] = ["w", "v"].map(|name| b.param(name, TensorType::new(DType::F64, [4])));
    let mut regions = Vec::new();
    let mut term = |b: &mut Builder, of: &dyn Fn(&mut Builder) -> Value| {
        let first = b.function().insts.len();
        let made = of(b);
        let insts = first..b.function().insts.len();
        regions.push(Region { insts, kind: RegionKind::AtOnce, saved: Vec::new() });
        made
    };
    let square = term(&mut b, &|b| b.formula([w], |[w]| w.square().total()));
    let whole = term(&mut b, &|b| {
        let whole = b.unary(natgrad_ir::UnaryOp::Floor, w);
        b.formula([whole, v], |[whole, v]| (whole * v).total())
    });
    let loss = b.add(square, whole);
    let function = b.finish(&[loss]).unwrap();
    let at = tensors(&function, &[vec![1.5, -0.4, 2.0, 0.7], vec![0.3, 1.0, -2.0, 0.1]]);
    let (plain, found, _) = both(&function, &[0, 1], &regions, &at);
    assert_eq!(plain, found);
}

#[test]
fn a_term_that_counts_other_than_once_is_told() {
    let (function, regions) = terms(2, 0.5);
    let error =
        value_and_grad_of_regions(&mut Module::new("m"), &function, &[0, 1], &[], &regions).unwrap_err();
    assert!(error.to_string().contains("as a term of its loss"), "{error}");
    let elsewhere = [again(0..1, vec![function.insts[3].results[0]])];
    let error =
        value_and_grad_of_regions(&mut Module::new("m"), &function, &[0], &[], &elsewhere).unwrap_err();
    assert!(error.to_string().contains("are no region"), "{error}");
    let outside = [again(3..usize::MAX, Vec::new())];
    let error = value_and_grad_of_regions(&mut Module::new("m"), &function, &[0], &[], &outside).unwrap_err();
    assert!(error.to_string().contains("are no region"), "{error}");
}

/// What is saved is not computed again, nor is what only that needs.
#[test]
fn what_is_saved_is_handed_in() {
    let mut b = Builder::new("loss");
    let x = b.param("x", TensorType::new(DType::F64, [4]));
    let sine = b.unary(natgrad_ir::UnaryOp::Sin, x);
    let power = b.unary(natgrad_ir::UnaryOp::Exp, sine);
    let loss = b.sum(power, &[0]);
    let function = b.finish(&[loss]).unwrap();
    let at = tensors(&function, &[vec![0.1, -0.4, 2.0, 0.7]]);
    for (saved, wanted) in [(vec![], ["sin", "exp", "cos"].as_slice()), (vec![power], &["cos"])] {
        let (plain, found, module) = both(&function, &[0], &[again(0..2, saved)], &at);
        assert_eq!(plain, found);
        let computed = module.functions[0].insts.iter().filter(|inst| matches!(inst.op, Op::Unary(_)));
        let names: Vec<&str> = computed.map(|inst| inst.op.name()).collect();
        assert_eq!(names, wanted);
    }
}

/// Regions that are computed apart are calls in the forward pass as well, and each adds to the gradients of those after it.
#[test]
fn what_is_computed_apart_is_called_twice_and_adds_up_its_gradients() {
    let mut b = Builder::new("loss");
    let x = b.param("x", TensorType::new(DType::F64, [4, 3]));
    let mut regions = Vec::new();
    let mut sum = None;
    for part in 0..3 {
        let first = b.function().insts.len();
        let row = b.formula([x], |[x]| x.slice(0, part..part + 2).exp().sum(&[1]).log().total());
        let insts = first..b.function().insts.len();
        regions.push(Region { insts, kind: RegionKind::Apart, saved: Vec::new() });
        sum = Some(match sum {
            None => row,
            Some(sum) => b.add(sum, row),
        });
    }
    let function = b.finish(&[sum.unwrap()]).unwrap();
    let at = tensors(&function, &[(0..12).map(|x| (1.7 * f64::from(x)).sin()).collect()]);
    let (plain, found, module) = both(&function, &[0], &regions, &at);
    for (plain, found) in plain.iter().zip(&found) {
        assert!((plain - found).abs() < 1e-12, "{plain} {found}");
    }
    let main = module.entry().unwrap();
    let calls = |wanted: CallKind| {
        let calls = main.insts.iter().filter(|it| matches!(it.op, Op::Call { kind, .. } if kind == wanted));
        calls.map(|it| it.operands.len()).collect::<Vec<_>>()
    };
    assert_eq!(calls(CallKind::Materialize), [1, 1, 1]);
    // The last region's is the first: there is no sum yet.
    assert_eq!(calls(CallKind::Again), [2, 3, 3]);
    assert!(
        main.insts.iter().all(|it| !matches!(it.op, Op::Pad { .. })),
        "gradients are summed in the calls"
    );
}
