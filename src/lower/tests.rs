//! Snapshots of what every operation, element type and kind of function becomes.

mod sink;

use natgrad_ir::{
    BinaryOp, Builder, CompareOp, ConvDims, DType, DotDims, Elements, Function, Literal, Module, Op,
    ReduceOp, Scalar, Shape, TensorType, UnaryOp, Value, Verified, verify,
};

use super::{Donation, Loops, LowerError, Lowering, Materialization};

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
fn select() {
    let params = [ty(DType::Bool, [4]), ty(DType::F32, [4]), ty(DType::F32, [4])];
    insta::assert_snapshot!(lower([function("f", &params, |b, x| b.select(x[0], x[1], x[2]))]));
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
fn broadcast() {
    insta::assert_snapshot!(lower([
        function("scalar", &[ty(DType::F32, [])], |b, x| b.splat(x[0], [2, 3])),
        function("rows", &[ty(DType::F32, [3])], |b, x| b.broadcast(x[0], [2, 3], &[1])),
    ]));
}

#[test]
fn reshape() {
    insta::assert_snapshot!(lower([
        function("flat", &[ty(DType::F32, [2, 3])], |b, x| b.reshape(x[0], [6])),
        function("scalar", &[ty(DType::F32, [1, 1])], |b, x| b.reshape(x[0], [])),
    ]));
}

#[test]
fn transpose() {
    insta::assert_snapshot!(lower([
        function("f", &[ty(DType::F32, [2, 3, 4])], |b, x| b.transpose(x[0], &[2, 0, 1]))
    ]));
}

#[test]
fn slice() {
    insta::assert_snapshot!(lower([function("f", &[ty(DType::F32, [5, 6])], |b, x| {
        let op = Op::Slice { starts: vec![1, 0], limits: vec![3, 6], strides: vec![1, 2] };
        b.push(op, x.to_vec(), None)[0]
    })]));
}

#[test]
fn pad() {
    insta::assert_snapshot!(lower([function("f", &[ty(DType::F32, [2, 3]), ty(DType::F32, [])], |b, x| {
        let op = Op::Pad { low: vec![1, 0], high: vec![0, 2], interior: vec![0, 1] };
        b.push(op, x.to_vec(), None)[0]
    })]));
}

#[test]
fn concat() {
    let params = [ty(DType::F32, [2, 1]), ty(DType::F32, [2, 3]), ty(DType::F32, [2, 2])];
    insta::assert_snapshot!(lower([function("f", &params, |b, x| {
        b.push(Op::Concat { dim: 1 }, x.to_vec(), None)[0]
    })]));
}

#[test]
fn at() {
    let params = |shape: &[usize]| [ty(DType::F32, shape), ty(DType::U32, [])];
    insta::assert_snapshot!(lower([
        function("scalar", &params(&[4]), |b, x| b.at(x[0], x[1])),
        function("slice", &params(&[4, 3, 2]), |b, x| b.at(x[0], x[1])),
    ]));
}

#[test]
fn philox() {
    insta::assert_snapshot!(lower([
        function("f", &[ty(DType::U64, [2])], |b, x| b.philox(x[0], [3, 5])),
        function("scalar", &[ty(DType::U64, [2])], |b, x| b.philox(x[0], [])),
    ]));
}

#[test]
fn reduce_dimensions() {
    insta::assert_snapshot!(lower([
        function("outer", &[ty(DType::F32, [2, 3, 4])], |b, x| b.sum(x[0], &[0, 2])),
        function("half", &[ty(DType::BF16, [2, 3])], |b, x| b.sum(x[0], &[1])),
        function("none", &[ty(DType::F32, [2])], |b, x| {
            b.push(Op::Reduce { op: ReduceOp::Sum, dims: Vec::new() }, x.to_vec(), None)[0]
        }),
    ]));
}

#[test]
fn conv() {
    let params = [ty(DType::F32, [2, 8, 6, 4]), ty(DType::F32, [3, 2, 2, 6])];
    let dims = ConvDims {
        strides: vec![2, 1],
        low: vec![1, -1],
        high: vec![2, 0],
        lhs_dilation: vec![1, 2],
        rhs_dilation: vec![2, 1],
        groups: 2,
    };
    insta::assert_snapshot!(lower([function("f", &params, |b, x| b.conv(x[0], x[1], dims.clone()))]));
}

#[test]
fn reverse() {
    let op = Op::Reverse { dims: vec![0, 2] };
    let f = function("f", &[ty(DType::F32, [2, 3, 4])], |b, x| b.push(op.clone(), vec![x[0]], None)[0]);
    insta::assert_snapshot!(lower([f]));
}

#[test]
fn slices_by_index() {
    let table = ty(DType::F32, [5, 3, 2]);
    let indices = ty(DType::U32, [4]);
    let take = function("take", &[table.clone(), indices.clone()], |b, x| b.take(x[0], x[1]));
    let params = [table, indices, ty(DType::F32, [4, 3, 2])];
    let add = function("main", &params, |b, x| b.scatter_add(x[0], x[1], x[2]));
    insta::assert_snapshot!(lower([take, Function { name: "add".to_string(), ..add }]));
}

#[test]
fn dot() {
    let batched = DotDims {
        lhs_batch: vec![0],
        rhs_batch: vec![1],
        lhs_contract: vec![1, 3],
        rhs_contract: vec![2, 0],
    };
    let params = [ty(DType::F32, [2, 3, 4, 5]), ty(DType::F32, [5, 2, 3])];
    insta::assert_snapshot!(lower([
        function("matmul", &[ty(DType::F32, [2, 3]), ty(DType::F32, [3, 4])], |b, x| b.matmul(x[0], x[1])),
        function("outer", &[ty(DType::BF16, [2]), ty(DType::BF16, [3])], |b, x| {
            b.dot(x[0], x[1], DotDims::default())
        }),
        function("batched", &params, |b, x| b.dot(x[0], x[1], batched.clone())),
    ]));
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
fn calls_and_donation() {
    let donation = Donation::none().donate(0, 1).donate(1, 2);
    insta::assert_snapshot!(to_stablehlo(&verify(step()).unwrap(), &donation).unwrap());
}

#[test]
fn loops() {
    let mut module = Module::new("steps");
    let mut b = Builder::new("step");
    let index = b.param("index", ty(DType::U32, []));
    let w = b.param("weight", ty(DType::F32, [2]));
    let runs = b.param("runs", ty(DType::U32, []));
    let rate = b.param("rate", ty(DType::F32, []));
    let new = b.scoped("layers.0", |b| b.mul(w, rate));
    let runs = b.add(runs, index);
    let body = module.push(b.finish(&[new, runs]).unwrap());
    let mut b = Builder::new("many");
    let count = b.param("count", ty(DType::U32, []));
    let w = b.param("weight", ty(DType::F32, [2]));
    let rate = b.param("rate", ty(DType::F32, []));
    let results = b.scoped("micro", |b| b.repeat(&module, body, count, &[w, count], &[rate]));
    module.push(b.finish(&results).unwrap());
    insta::assert_snapshot!(to_stablehlo(&verify(module).unwrap(), &Donation::none()).unwrap());
}

#[test]
fn materialized_calls() {
    let mut module = Module::new("stored");
    let mut b = Builder::new("sample");
    let x = b.param("x", ty(DType::F32, [2]));
    let y = b.exp(x);
    let sample = module.push(b.finish(&[y, x]).unwrap());
    let mut b = Builder::new("log");
    b.param("x", ty(DType::F32, [2]));
    let log = module.push(b.finish(&[]).unwrap());
    let mut b = Builder::new("main");
    let x = b.param("x", ty(DType::F32, [2]));
    let stored = b.call_materialized(&module, sample, &[x]);
    b.call_materialized(&module, log, &[x]);
    let again = b.call(&module, sample, &[x]);
    module.push(b.finish(&[stored[0], again[1]]).unwrap());
    let module = verify(module).unwrap();
    let lower = |materialization| {
        super::to_stablehlo(&module, &Donation::none(), Lowering::chosen(materialization)).unwrap()
    };
    insta::assert_snapshot!("materialized_by_call", lower(Materialization::Call));
    insta::assert_snapshot!("materialized_by_barrier", lower(Materialization::Barrier));
}

/// Two results of the same tensors and scalars, one of which the other needs; another that shares nothing with them.
#[test]
fn loops_to_be_merged() {
    let mut module = Module::new("state");
    let mut b = Builder::new("update");
    let tensor = |b: &mut Builder, name: &str| b.param(name, ty(DType::F32, [2, 3]));
    let [g, m, p, x] = ["g", "m", "p", "x"].map(|name| tensor(&mut b, name));
    let rate = b.param("rate", ty(DType::F32, []));
    let (momentum, mean) = b.scoped("layers.0.weight", |b| {
        let momentum = b.add(m, g);
        let rate = b.broadcast(rate, [2, 3], &[]);
        let change = b.mul(rate, momentum);
        (momentum, b.sub(p, change))
    });
    let alone = b.exp(x);
    let update = module.push(b.finish(&[momentum, mean, alone]).unwrap());
    let mut b = Builder::new("main");
    let params = ["g", "m", "p", "x"].map(|name| tensor(&mut b, name));
    let rate = b.param("rate", ty(DType::F32, []));
    let results = b.call(&module, update, &[&params[..], &[rate]].concat());
    module.push(b.finish(&results).unwrap());
    let lowering = Lowering { materialization: Materialization::Call, loops: Loops::Merged };
    let module = verify(module).unwrap();
    insta::assert_snapshot!(super::to_stablehlo(&module, &Donation::none(), lowering).unwrap());
}

#[test]
fn nothing_in_and_nothing_out() {
    let mut module = Module::new("a \"quoted\" name");
    module.push(Builder::new("empty").finish(&[]).unwrap());
    insta::assert_snapshot!(to_stablehlo(&verify(module).unwrap(), &Donation::none()).unwrap());
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
