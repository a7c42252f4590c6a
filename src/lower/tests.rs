//! Snapshots of what every operation of every element type becomes, and what lowering refuses. What single operations and
//! whole programs become is in [`files`].

mod files;
mod sink;

use natgrad_ir::{
    BinaryOp, Builder, CompareOp, DType, Elements, Function, Literal, Module, ReduceOp, Scalar, Shape,
    TensorType, UnaryOp, Value, Verified, verify,
};

use super::{Donation, LowerError, Lowering, Materialization};

fn ty(dtype: DType, shape: impl Into<Shape>) -> TensorType {
    TensorType::new(dtype, shape)
}

fn function(name: &str, params: &[TensorType], build: impl Fn(&mut Builder, &[Value]) -> Value) -> Function {
    let mut b = Builder::new(name);
    let params: Vec<Value> =
        params.iter().zip(["x", "y", "z"]).map(|(ty, name)| b.param(name, ty.clone())).collect();
    let result = build(&mut b, &params);
    b.finish(&[result]).unwrap()
}

fn module(functions: impl IntoIterator<Item = Function>) -> Verified {
    let mut module = Module::new("ops");
    module.functions.extend(functions);
    verify(module).unwrap()
}

fn to_stablehlo(module: &Verified, donation: &Donation) -> Result<String, LowerError> {
    super::to_stablehlo(module, donation, Lowering::chosen(Materialization::Call))
}

fn lower(functions: impl IntoIterator<Item = Function>) -> String {
    to_stablehlo(&module(functions), &Donation::none()).unwrap()
}

/// A module of one function for each way to use each operation.
fn each<T: Copy>(
    ops: &[T],
    name: impl Fn(T) -> &'static str,
    accepts: impl Fn(T, DType) -> bool,
    arity: usize,
    build: impl Fn(&mut Builder, T, &[Value]) -> Value,
) -> String {
    let mut functions = Vec::new();
    for &op in ops {
        for dtype in [DType::F32, DType::S32, DType::U32, DType::Bool] {
            if accepts(op, dtype) {
                let params = vec![ty(dtype, [4]); arity];
                let name = format!("{}.{dtype}", name(op));
                functions.push(function(&name, &params, |b, x| build(b, op, x)));
            }
        }
    }
    lower(functions)
}

#[test]
fn unary() {
    let text = each(
        UnaryOp::ALL,
        UnaryOp::name,
        |op, dtype| op.domain().accepts(dtype),
        1,
        |b, op, x| b.unary(op, x[0]),
    );
    insta::assert_snapshot!(text);
}

#[test]
fn binary() {
    let text = each(
        BinaryOp::ALL,
        BinaryOp::name,
        |op, dtype| op.domain().accepts(dtype),
        2,
        |b, op, x| b.binary(op, x[0], x[1]),
    );
    insta::assert_snapshot!(text);
}

#[test]
fn compare() {
    let text = each(
        CompareOp::ALL,
        CompareOp::name,
        |op, dtype| op.domain().accepts(dtype),
        2,
        |b, op, x| b.compare(op, x[0], x[1]),
    );
    insta::assert_snapshot!(text);
}

#[test]
fn reduce() {
    let text = each(
        ReduceOp::ALL,
        ReduceOp::name,
        |op, dtype| op.domain().accepts(dtype),
        1,
        |b, op, x| b.reduce(op, x[0], &[0]),
    );
    insta::assert_snapshot!(text);
}

#[test]
fn convert() {
    let of = |from| {
        let to = DType::ALL.into_iter().filter(move |&to| to != from);
        to.map(move |to| function(&format!("{from}.to.{to}"), &[ty(from, [2])], |b, x| b.convert(x[0], to)))
    };
    insta::assert_snapshot!(lower(of(DType::F32).chain(of(DType::U64)).chain(of(DType::Bool))));
}

#[test]
fn iota() {
    let of = |dtype| function(&format!("iota.{dtype}"), &[], |b, _| b.iota(dtype, [2, 3], 1));
    insta::assert_snapshot!(lower(DType::ALL.into_iter().filter(|&dtype| dtype != DType::Bool).map(of)));
}

#[test]
fn constants_of_every_type() {
    let of = |dtype: DType| {
        let dense = Literal::dense(dtype, [2, 2], &[0.0, 1.0, 2.0, 3.0]);
        [
            function(&format!("splat.{dtype}"), &[], |b, _| {
                b.constant(Literal::splat(ty(dtype, [2, 2]), 1.0))
            }),
            function(&format!("dense.{dtype}"), &[], move |b, _| b.constant(dense.clone())),
            function(&format!("empty.{dtype}"), &[], |b, _| b.constant(Literal::splat(ty(dtype, [0]), 1.0))),
        ]
    };
    insta::assert_snapshot!(lower(DType::ALL.into_iter().flat_map(of)));
}

#[test]
fn special_numbers() {
    let floats = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-40, 0.1, 1e38];
    let of =
        |dtype| function(&format!("{dtype}"), &[], |b, _| b.constant(Literal::dense(dtype, [7], &floats)));
    let whole = |dtype, values: [i128; 2]| {
        let elements = Elements::Dense(values.map(Scalar::Int).to_vec());
        let literal = Literal { ty: ty(dtype, [2]), elements };
        function(&format!("{dtype}"), &[], move |b, _| b.constant(literal.clone()))
    };
    insta::assert_snapshot!(lower([
        of(DType::F64),
        of(DType::F32),
        of(DType::BF16),
        of(DType::F16),
        whole(DType::S32, [i32::MIN.into(), i32::MAX.into()]),
        whole(DType::U32, [0, u32::MAX.into()]),
        whole(DType::U64, [1 << 63, u64::MAX.into()]),
    ]));
}

/// A step whose update has two results: the new weight and the new momentum.
fn step() -> Module {
    let mut module = Module::new("step");
    let weight = ty(DType::F32, [3, 2]);
    let mut b = Builder::new("update");
    let w = b.param("layers.0.weight", weight.clone());
    let g = b.param("grad", weight.clone());
    let m = b.param("momentum", weight.clone());
    let results = b.scoped("layers.0.weight", |b| {
        let momentum = b.scoped("momentum", |b| b.add(m, g));
        let change = b.mul_const(momentum, -0.5);
        [b.add(w, change), momentum]
    });
    let update = module.push(b.finish(&results).unwrap());
    let mut b = Builder::new("step");
    let w = b.param("layers.0.weight", weight.clone());
    let m = b.param("momentum", weight.clone());
    let x = b.param("batch/x", weight);
    let g = b.scoped("loss", |b| b.mul(w, x));
    let loss = b.sum(g, &[0, 1]);
    let new = b.call(&module, update, &[w, g, m]);
    module.push(b.finish(&[loss, new[0], new[1]]).unwrap());
    module
}

#[test]
fn donation_must_fit_the_entry() {
    let module = verify(step()).unwrap();
    let refused = |donation| to_stablehlo(&module, &donation).unwrap_err().to_string();
    let none = Donation::none;
    assert_eq!(
        refused(none().donate(3, 0)),
        "entry `step`: parameter 3 is donated, but there are 3 parameters"
    );
    assert_eq!(
        refused(none().donate(2, 3)),
        "entry `step`: parameter %batch/x is donated to output 3, but there are 3 outputs"
    );
    assert_eq!(
        refused(none().donate(0, 0)),
        "entry `step`: parameter %layers.0.weight of type f32[3,2] is donated to output 0 of type f32[]; \
         the types must be equal"
    );
    assert_eq!(
        refused(none().donate(0, 1).donate(2, 1)),
        "entry `step`: parameters %layers.0.weight and %batch/x are both donated to output 1"
    );
}

#[test]
fn the_entry_must_be_there_and_main_be_free() {
    let empty = verify(Module::new("m")).unwrap();
    let error = to_stablehlo(&empty, &Donation::none()).unwrap_err();
    assert_eq!(error, LowerError::NoEntry { module: "m".into() });
    let negate = |name| function(name, &[ty(DType::F32, [])], |b, x| b.neg(x[0]));
    let error = to_stablehlo(&module([negate("main"), negate("step")]), &Donation::none()).unwrap_err();
    assert_eq!(error, LowerError::MainTaken { module: "ops".into() });
    assert!(to_stablehlo(&module([negate("step"), negate("main")]), &Donation::none()).is_ok());
}
