//! XLA computes what the interpreter computes, for every operation and element type and random programs, and keeps what lowering
//! tells it of paths and donation.

mod support;

use natgrad::inspect::{HloModule, Opcode};
use natgrad::lower::{Donation, Lowering, Materialization, to_stablehlo};
use natgrad_ir::interp::Tensor;
use natgrad_ir::interp::evaluate;
use natgrad_ir::testing::{Config, arb_case};
use natgrad_ir::{
    BinaryOp, Builder, CompareOp, ConvDims, DType, DotDims, Elements, Literal, Module, Op, ReduceOp, Scalar,
    Shape, TensorType, UnaryOp, Value, Verified, text, verify,
};
use proptest::test_runner::{RngAlgorithm, TestCaseError, TestRng, TestRunner};
use support::{Nearness, Program, agree, compile, difference, lowering, run};

const FLOATS: [f64; 24] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.0,
    -3.0,
    1e-3,
    -1e-3,
    1e-7,
    -1e-7,
    0.1,
    -0.7,
    5.3,
    -5.3,
    10.7,
    -10.7,
    87.0,
    -87.0,
    1e4,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Numbers worth trying in this type, boundaries included.
fn samples(dtype: DType) -> Literal {
    let ints = |ints: &[i128]| Elements::Dense(ints.iter().copied().map(Scalar::Int).collect());
    let elements = match dtype {
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 => {
            Elements::Dense(FLOATS.iter().map(|&value| Scalar::of(dtype, value)).collect())
        }
        DType::S32 => ints(&[0, 1, -1, 2, 5, 31, 32, 33, 1 << 20, -(1 << 31), (1 << 31) - 1]),
        DType::U32 => ints(&[0, 1, 2, 5, 31, 32, 33, 1 << 20, 1 << 31, (1 << 32) - 1]),
        DType::U64 => ints(&[0, 1, 2, 5, 63, 64, 65, 1 << 33, 1 << 63, (1 << 64) - 1]),
        DType::Bool => Elements::Dense(vec![Scalar::Bool(false), Scalar::Bool(true)]),
    };
    let Elements::Dense(list) = &elements else { unreachable!("a list") };
    Literal { ty: TensorType::new(dtype, [list.len()]), elements }
}

/// A tensor of this shape that runs through the numbers worth trying.
fn filled(dtype: DType, shape: impl Into<Shape>, skip: usize) -> Literal {
    let ty = TensorType::new(dtype, shape);
    let Elements::Dense(samples) = samples(dtype).elements else { unreachable!("a list") };
    // NaN and infinities would hide all else in sums.
    let finite: Vec<Scalar> = samples.into_iter().filter(|element| element.to_f64().abs() < 1e3).collect();
    let elements = (0..ty.shape.elements()).map(|index| finite[(index + skip) % finite.len()]).collect();
    Literal { ty, elements: Elements::Dense(elements) }
}

/// A tensor of this shape of halves from -4 to 4. In single precision every sum of their products is exact, so the order in
/// which a processor adds them up does not show; sums that cancel (of 87 and -87, say) would show it.
fn halves(dtype: DType, shape: impl Into<Shape>, skip: usize) -> Literal {
    let ty = TensorType::new(dtype, shape);
    let half = |index: usize| Scalar::of(dtype, ((index + skip) * 5 % 17) as f64 / 2.0 - 4.0);
    let elements = (0..ty.shape.elements()).map(half).collect();
    Literal { ty, elements: Elements::Dense(elements) }
}

/// Adds a sum of products of halves as a result, which must be exact but for the rounding of short types.
fn sum(p: &mut Program, name: String, value: Value) {
    match p.builder.ty(value).dtype {
        DType::BF16 | DType::F16 => p.result(name, value),
        _ => p.exact_result(name, value),
    }
}

fn param(p: &mut Program, literal: &Literal) -> Value {
    p.param(Tensor::from_literal(literal).unwrap())
}

/// Every pair of the numbers worth trying.
fn pairs(b: &mut Builder, x: Value) -> (Value, Value) {
    let size = b.ty(x).shape.elements();
    let rows = b.broadcast(x, [size, size], &[0]);
    let columns = b.broadcast(x, [size, size], &[1]);
    (rows, columns)
}

#[test]
fn unary() {
    let mut p = Program::new();
    for dtype in DType::ALL {
        let x = param(&mut p, &samples(dtype));
        for &op in UnaryOp::ALL.iter().filter(|op| op.domain().accepts(dtype)) {
            let y = p.builder.unary(op, x);
            p.result(format!("{} {dtype}", op.name()), y);
        }
    }
    agree(p);
}

#[test]
fn binary() {
    let mut p = Program::new();
    for dtype in DType::ALL {
        let x = param(&mut p, &samples(dtype));
        let (x, y) = pairs(&mut p.builder, x);
        for &op in BinaryOp::ALL.iter().filter(|op| op.domain().accepts(dtype)) {
            let z = p.builder.binary(op, x, y);
            p.result(format!("{} {dtype}", op.name()), z);
        }
    }
    agree(p);
}

#[test]
fn compare_and_select() {
    let mut p = Program::new();
    for dtype in DType::ALL {
        let x = param(&mut p, &samples(dtype));
        let (x, y) = pairs(&mut p.builder, x);
        for &op in CompareOp::ALL.iter().filter(|op| op.domain().accepts(dtype)) {
            let z = p.builder.compare(op, x, y);
            p.result(format!("{} {dtype}", op.name()), z);
            let chosen = p.builder.select(z, x, y);
            p.result(format!("select {} {dtype}", op.name()), chosen);
        }
    }
    agree(p);
}

#[test]
fn convert() {
    let mut p = Program::new();
    for from in DType::ALL {
        let x = param(&mut p, &samples(from));
        for to in DType::ALL {
            let y = p.builder.push(Op::Convert { dtype: to }, vec![x], None)[0];
            p.result(format!("{from} to {to}"), y);
        }
    }
    agree(p);
}

#[test]
fn reduce() {
    let mut p = Program::new();
    for dtype in DType::ALL {
        let any = param(&mut p, &filled(dtype, [3, 4, 5], 0));
        let exact = param(
            &mut p,
            &if dtype.is_float() { halves(dtype, [3, 4, 5], 0) } else { filled(dtype, [3, 4, 5], 0) },
        );
        let empty = param(&mut p, &filled(dtype, [3, 0], 0));
        let special = param(&mut p, &samples(dtype));
        for &op in ReduceOp::ALL.iter().filter(|op| op.domain().accepts(dtype)) {
            let x = if op == ReduceOp::Sum { exact } else { any };
            for dims in [vec![], vec![0], vec![1], vec![0, 2], vec![0, 1, 2]] {
                let y = p.builder.push(Op::Reduce { op, dims: dims.clone() }, vec![x], None)[0];
                p.result(format!("{} {dtype} {dims:?}", op.name()), y);
            }
            let y = p.builder.reduce(op, empty, &[1]);
            p.result(format!("{} {dtype} of nothing", op.name()), y);
            let y = p.builder.reduce(op, special, &[0]);
            p.result(format!("{} {dtype} of special numbers", op.name()), y);
        }
    }
    agree(p);
}

#[test]
fn conv() {
    let mut p = Program::new();
    let uneven = ConvDims {
        strides: vec![2, 1],
        low: vec![1, -1],
        high: vec![2, 1],
        lhs_dilation: vec![1, 2],
        rhs_dilation: vec![2, 1],
        groups: 1,
    };
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_float()) {
        let mut conv = |name: &str, x: &[usize], kernel: &[usize], dims: ConvDims| {
            let x = param(&mut p, &halves(dtype, x, 0));
            let kernel = param(&mut p, &halves(dtype, kernel, 7));
            let y = p.builder.conv(x, kernel, dims);
            sum(&mut p, format!("{name} {dtype}"), y);
        };
        conv("one dimension", &[2, 5, 3], &[3, 3, 4], ConvDims::padded(1, 1, 1));
        conv("same size", &[2, 6, 5, 3], &[3, 3, 3, 4], ConvDims::padded(2, 1, 1));
        conv("strides", &[2, 6, 5, 3], &[3, 3, 3, 4], ConvDims::padded(2, 2, 1));
        conv("one pixel", &[2, 6, 5, 3], &[1, 1, 3, 4], ConvDims::padded(2, 2, 0));
        conv("uneven", &[2, 4, 4, 2], &[2, 3, 2, 3], uneven.clone());
        conv("groups", &[2, 4, 4, 4], &[2, 3, 2, 6], ConvDims { groups: 2, ..uneven.clone() });
        conv("three dimensions", &[1, 3, 3, 4, 2], &[2, 1, 2, 2, 3], ConvDims::padded(3, 1, 0));
        conv("no examples", &[0, 4, 4, 2], &[3, 3, 2, 3], ConvDims::padded(2, 1, 1));
    }
    agree(p);
}

/// On the CPU most are products of matrices.
#[test]
fn gradients_of_kernels() {
    for dtype in [DType::F32, DType::BF16] {
        let mut p = Program::new();
        for (name, [n, size, c, o], pad) in [
            ("few", [3, 5, 2, 4], 1),
            ("parts", [8, 6, 16, 32], 1),
            ("unpadded", [4, 7, 3, 8], 0),
            ("wide", [2, 4, 65, 33], 1),
        ] {
            let x = param(&mut p, &halves(dtype, [n, size, size, c], 0));
            let out = size + 2 * pad - 2;
            let dy = param(&mut p, &halves(dtype, [n, out, out, o], 3));
            let images = p.builder.transpose(x, &[3, 1, 2, 0]);
            let kernel = p.builder.transpose(dy, &[1, 2, 0, 3]);
            let summed = p.builder.conv(images, kernel, ConvDims::padded(2, 1, pad));
            sum(&mut p, format!("{dtype:?} {name}"), summed);
        }
        // Windows of one place, of which the second takes every other one.
        for step in [1, 2] {
            let x = param(&mut p, &halves(dtype, [4, 5, 5, 3], 0));
            let out = 4 / step + 1;
            let dy = param(&mut p, &halves(dtype, [4, out, out, 6], 3));
            let images = p.builder.transpose(x, &[3, 1, 2, 0]);
            let kernel = p.builder.transpose(dy, &[1, 2, 0, 3]);
            let places = ConvDims { rhs_dilation: vec![step; 2], ..ConvDims::padded(2, 1, 0) };
            let summed = p.builder.conv(images, kernel, places);
            sum(&mut p, format!("{dtype:?} one place, step {step}"), summed);
        }
        agree(p);
    }
}

/// On the CPU large ones read a copy of their left operand, which lies as the product wants it.
#[test]
fn gradients_of_weights() {
    for dtype in [DType::F32, DType::BF16] {
        let mut p = Program::new();
        for (name, [rows, inputs, outputs]) in [("large", [512, 96, 90]), ("small", [512, 3, 5])] {
            let x = param(&mut p, &halves(dtype, [rows, inputs], 0));
            let dy = param(&mut p, &halves(dtype, [rows, outputs], 3));
            let summed = p.builder.dot(x, dy, DotDims::contracting(0, 0));
            sum(&mut p, format!("{dtype:?} {name}"), summed);
        }
        agree(p);
    }
}

#[test]
fn slices_by_index() {
    let mut p = Program::new();
    let indices = param(&mut p, &filled(DType::U32, [2, 3], 0));
    let far = param(&mut p, &Literal::splat(TensorType::scalar(DType::U32), 4e9));
    for dtype in DType::ALL {
        let table = param(&mut p, &filled(dtype, [3, 2, 2], 0));
        let turned = p.builder.push(Op::Reverse { dims: vec![0, 2] }, vec![table], None)[0];
        p.result(format!("reverse {dtype}"), turned);
        for (name, indices) in [("indices", indices), ("past the end", far)] {
            let taken = p.builder.take(table, indices);
            p.result(format!("take {dtype} by {name}"), taken);
            if dtype != DType::Bool {
                let sums = p.builder.scatter_add(table, indices, taken);
                p.result(format!("scatter_add {dtype} by {name}"), sums);
            }
        }
    }
    agree(p);
}

#[test]
fn dot() {
    let mut p = Program::new();
    for dtype in DType::ALL.into_iter().filter(|dtype| dtype.is_float()) {
        let mut product = |name: &str, lhs: &[usize], rhs: &[usize], dims: DotDims| {
            let x = param(&mut p, &halves(dtype, lhs, 0));
            let y = param(&mut p, &halves(dtype, rhs, 7));
            let z = p.builder.dot(x, y, dims);
            sum(&mut p, format!("{name} {dtype}"), z);
        };
        product("matmul", &[2, 3], &[3, 4], DotDims::matmul());
        product("transposed", &[3, 2], &[4, 3], DotDims::contracting(0, 1));
        product("vectors", &[5], &[5], DotDims::contracting(0, 0));
        product("outer", &[2], &[3], DotDims::default());
        product("over nothing", &[2, 0], &[0, 3], DotDims::matmul());
        let batched = DotDims {
            lhs_batch: vec![2, 0],
            rhs_batch: vec![1, 3],
            lhs_contract: vec![1],
            rhs_contract: vec![2],
        };
        product("batched", &[2, 3, 4, 5], &[6, 4, 3, 2], batched);
        let two = DotDims { lhs_contract: vec![1, 3], rhs_contract: vec![2, 0], ..DotDims::default() };
        product("two contracted", &[2, 3, 4, 5], &[5, 2, 3], two);
    }
    agree(p);
}

#[test]
fn layout() {
    let mut p = Program::new();
    for dtype in DType::ALL {
        let x = param(&mut p, &filled(dtype, [4, 5], 0));
        let y = param(&mut p, &filled(dtype, [4, 2], 3));
        let value = param(&mut p, &filled(dtype, Shape::scalar(), 1));
        let b = &mut p.builder;
        let slice = Op::Slice { starts: vec![1, 0], limits: vec![4, 5], strides: vec![2, 3] };
        let nothing = Op::Slice { starts: vec![1, 2], limits: vec![4, 2], strides: vec![1, 1] };
        let pad = Op::Pad { low: vec![1, 0], high: vec![0, 2], interior: vec![2, 1] };
        let mut results = vec![
            ("broadcast", b.broadcast(x, [4, 3, 5], &[0, 2])),
            ("splat", b.splat(value, [2, 3])),
            ("reshape", b.reshape(x, [2, 10])),
            ("transpose", b.transpose(x, &[1, 0])),
            ("slice", b.push(slice, vec![x], None)[0]),
            ("empty slice", b.push(nothing, vec![x], None)[0]),
            ("pad", b.push(pad, vec![x, value], None)[0]),
            ("concat", b.push(Op::Concat { dim: 1 }, vec![x, y, x], None)[0]),
        ];
        if dtype != DType::Bool {
            results.push(("iota", b.iota(dtype, [2, 3], 1)));
        }
        for (name, result) in results {
            p.result(format!("{name} {dtype}"), result);
        }
    }
    agree(p);
}

#[test]
fn at() {
    let mut p = Program::new();
    for dtype in DType::ALL {
        let x = param(&mut p, &filled(dtype, [4, 2, 3], 0));
        let list = param(&mut p, &filled(dtype, [5], 2));
        let empty = param(&mut p, &filled(dtype, [2, 0], 0));
        for index in [0, 2, 3, 4, 5, 1 << 31, u32::MAX] {
            let place = p.param(Tensor::from_u32s([], &[index]).unwrap());
            for (name, operand) in [("block", x), ("element", list), ("nothing", empty)] {
                let taken = p.builder.at(operand, place);
                p.exact_result(format!("{name} {index} {dtype}"), taken);
            }
        }
    }
    agree(p);
}

#[test]
fn philox() {
    let mut p = Program::new();
    let large = 0x0123_4567_89ab_cdef;
    for state in [[0, 0], [1, 2], [large, !large], [u64::MAX, u64::MAX], [large, u64::MAX - 2]] {
        let value = p.param(Tensor::from_u64s([2], &state).unwrap());
        for shape in [&[][..], &[1], &[4], &[7], &[3, 5], &[2, 3, 4], &[1023], &[0], &[3, 0]] {
            let bits = p.builder.philox(value, shape);
            p.exact_result(format!("{state:x?} {shape:?}"), bits);
        }
    }
    agree(p);
}

#[test]
fn constants() {
    let mut p = Program::new();
    for dtype in DType::ALL {
        let dense = p.builder.constant(samples(dtype));
        p.exact_result(format!("dense {dtype}"), dense);
        let Elements::Dense(elements) = samples(dtype).elements else { unreachable!("a list") };
        for element in elements {
            let splat = Literal { ty: TensorType::new(dtype, [3]), elements: Elements::Splat(element) };
            let splat = p.builder.constant(splat);
            p.exact_result(format!("splat {element:?} {dtype}"), splat);
        }
        let nothing = p.builder.constant(Literal::splat(TensorType::new(dtype, [0, 2]), 1.0));
        p.exact_result(format!("nothing {dtype}"), nothing);
    }
    // Numbers whose shortest decimals are hard to read back.
    for bits in [0x0080_0000u32, 0x7f7f_ffff, 0x3f80_0001, 0x1554_2aaa, 0x6a09_e667, 0x3300_0001] {
        let value = f64::from(f32::from_bits(bits));
        let constant = p.builder.scalar(DType::F32, value);
        p.exact_result(format!("{value:e}"), constant);
    }
    agree(p);
}

#[test]
fn paths_and_donation_reach_the_optimized_program() {
    let ty = TensorType::new(DType::F32, [64]);
    let mut module = Module::new("step");
    let mut b = Builder::new("update");
    let mean = b.param("mean", ty.clone());
    let grad = b.param("grad", ty.clone());
    let new = b.scoped("layers.0.weight", |b| {
        let step = b.mul_const(grad, -0.5);
        b.add(mean, step)
    });
    let update = module.push(b.finish(&[new]).unwrap());
    let mut b = Builder::new("step");
    let mean = b.param("mean", ty.clone());
    let grad = b.param("grad", ty);
    let new = b.scoped("sample.0", |b| b.call(&module, update, &[mean, grad])[0]);
    module.push(b.finish(&[new]).unwrap());

    let module = verify(module).unwrap();
    let executable = compile(&to_stablehlo(&module, &Donation::none().donate(0, 0), lowering()).unwrap());
    let hlo = executable.optimized_hlo().unwrap();
    for path in ["step/sample.0/update/layers.0.weight/mul", "step/sample.0/update/layers.0.weight/add"] {
        assert!(hlo.windows(path.len()).any(|window| window == path.as_bytes()), "no {path}");
    }
    assert_eq!(executable.memory_stats().unwrap().aliased, 256);
}

/// A module whose entry takes `count` steps down the gradient `weight * decay + x`, and adds up the indices.
fn descent() -> Module {
    let weights = TensorType::new(DType::F32, [64]);
    let mut module = Module::new("descent");
    let mut b = Builder::new("one");
    let index = b.param("index", TensorType::scalar(DType::U32));
    let w = b.param("weight", weights.clone());
    let total = b.param("total", TensorType::scalar(DType::U32));
    let x = b.param("x", weights.clone());
    let decay = b.param("decay", TensorType::scalar(DType::F32));
    let new = b.scoped("layers.0.weight", |b| {
        let pull = b.mul(w, decay);
        let gradient = b.add(pull, x);
        let step = b.mul_const(gradient, -0.25);
        b.add(w, step)
    });
    let total = b.add(total, index);
    let body = module.push(b.finish(&[new, total]).unwrap());
    let mut b = Builder::new("descent");
    let count = b.param("count", TensorType::scalar(DType::U32));
    let w = b.param("weight", weights.clone());
    let x = b.param("x", weights);
    let decay = b.param("decay", TensorType::scalar(DType::F32));
    let zero = b.scalar(DType::U32, 0.0);
    let results = b.scoped("steps", |b| b.repeat(&module, body, count, &[w, zero], &[x, decay]));
    module.push(b.finish(&results).unwrap());
    module
}

#[test]
fn loops_run_as_often_as_their_input_says() {
    let module = verify(descent()).unwrap();
    let numbers = |scale: f32| (0..64).map(|index| (index as f32 - 20.0) * scale).collect::<Vec<f32>>();
    for count in [0, 1, 7] {
        let inputs = [
            Tensor::from_u32s([], &[count]).unwrap(),
            Tensor::from_f32s([64], &numbers(0.1)).unwrap(),
            Tensor::from_f32s([64], &numbers(-0.03)).unwrap(),
            Tensor::scalar(DType::F32, 0.5),
        ];
        agrees(&module, &inputs).unwrap();
    }
}

#[test]
fn paths_of_loop_bodies_reach_the_optimized_program() {
    let module = verify(descent()).unwrap();
    let executable = compile(&to_stablehlo(&module, &Donation::none().donate(1, 0), lowering()).unwrap());
    let hlo = executable.optimized_hlo().unwrap();
    let path = "descent/steps/one/layers.0.weight/mul";
    assert!(hlo.windows(path.len()).any(|window| window == path.as_bytes()), "no {path}");
    assert_eq!(executable.memory_stats().unwrap().aliased, 256);
}

/// What a loop carries is written in place: XLA copies only its index.
#[test]
fn loops_do_not_copy_what_they_carry() {
    let module = verify(descent()).unwrap();
    let donation = Donation::none().donate(1, 0);
    let executable = compile(&to_stablehlo(&module, &donation, lowering()).unwrap());
    let hlo = HloModule::decode(&executable.optimized_hlo().unwrap()).unwrap();
    let insts = || hlo.computations.iter().flat_map(|computation| &computation.instructions);
    assert!(insts().any(|inst| inst.opcode == Opcode::While));
    let copies = insts().filter(|inst| inst.opcode == Opcode::Copy);
    let large: Vec<_> = copies.filter(|inst| inst.shape.bytes() > 4).map(|inst| &inst.name).collect();
    assert_eq!(large, Vec::<&String>::new());
}

/// A module whose entry uses a sample twice, in products that broadcast it.
fn sampling(materialize: bool) -> Verified {
    let mut module = Module::new("sampling");
    let mut b = Builder::new("draw");
    let mean = b.param("mean", TensorType::new(DType::F32, [16]));
    let noise = b.param("noise", TensorType::new(DType::F32, [16]));
    let scaled = b.tanh(noise);
    let theta = b.add(mean, scaled);
    let draw = module.push(b.finish(&[theta]).unwrap());
    let mut b = Builder::new("main");
    let mean = b.param("mean", TensorType::new(DType::F32, [16]));
    let noise = b.param("noise", TensorType::new(DType::F32, [16]));
    let x = b.param("x", TensorType::new(DType::F32, [8, 16]));
    let theta = if materialize {
        b.call_materialized(&module, draw, &[mean, noise])[0]
    } else {
        b.call(&module, draw, &[mean, noise])[0]
    };
    let wide = b.broadcast(theta, [8, 16], &[1]);
    let product = b.mul(wide, x);
    let sum = b.add(wide, x);
    module.push(b.finish(&[product, sum]).unwrap());
    verify(module).unwrap()
}

/// How many calls the optimized program has.
fn calls(module: &Verified, lowering: Lowering) -> usize {
    let executable = compile(&to_stablehlo(module, &Donation::none(), lowering).unwrap());
    let hlo = HloModule::decode(&executable.optimized_hlo().unwrap()).unwrap();
    let insts = hlo.computations.iter().flat_map(|computation| &computation.instructions);
    insts.filter(|inst| inst.opcode == Opcode::Call).count()
}

#[test]
fn materialized_calls_stay_calls_in_the_optimized_program() {
    let cpu = lowering();
    assert_eq!(calls(&sampling(true), cpu), 1);
    assert_eq!(calls(&sampling(false), cpu), 0);
    // XLA:CPU drops the barrier, so that it would not keep a sample from being computed again.
    assert_eq!(calls(&sampling(true), Lowering { materialization: Materialization::Barrier, ..cpu }), 0);

    let numbers = |count: usize| (0..count).map(|index| index as f32 * 0.1 - 0.7).collect::<Vec<f32>>();
    let tensor = |shape: &[usize]| {
        let count = shape.iter().product();
        Tensor::from_f32s(shape, &numbers(count)).unwrap()
    };
    agrees(&sampling(true), &[tensor(&[16]), tensor(&[16]), tensor(&[8, 16])]).unwrap();
}

/// Checks as many random programs as `PROPTEST_CASES` says, by default `cases`, and always the same.
fn random(config: Config, cases: u32, check: impl Fn(&Verified, &[Tensor]) -> Result<(), String>) {
    let mut setting = proptest::test_runner::Config {
        max_shrink_iters: 512,
        failure_persistence: None,
        ..Default::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        setting.cases = cases;
    }
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let outcome = TestRunner::new_with_rng(setting, rng).run(&arb_case(config), |(module, inputs)| {
        let entry = module.module().entry().unwrap();
        let typed = entry.params.iter().map(|&param| entry.ty(param).clone()).zip(&inputs);
        let tensors: Vec<Tensor> = typed.map(|(ty, values)| Tensor::from_f64s(ty, values).unwrap()).collect();
        check(&module, &tensors).map_err(|difference| {
            TestCaseError::fail(format!("{difference}\n{}\n{inputs:?}", text::print(module.module())))
        })
    });
    if let Err(proptest::test_runner::TestError::Fail(reason, _)) = outcome {
        panic!("{}", reason.message());
    }
    outcome.unwrap();
}

fn agrees(module: &Verified, inputs: &[Tensor]) -> Result<(), String> {
    let wanted = evaluate(module, inputs).unwrap();
    let found = run(module, inputs);
    let differences: Vec<String> = wanted
        .iter()
        .zip(&found)
        .enumerate()
        .filter_map(|(index, (wanted, found))| {
            Some(format!("result {index}: {}", difference(wanted, found, Nearness::Program)?))
        })
        .collect();
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

#[test]
fn random_programs_in_single_precision() {
    random(Config::robust(&[DType::F32]), 32, agrees);
}

#[test]
fn random_programs_in_double_precision() {
    random(Config::robust(&[DType::F64]), 32, agrees);
}

#[test]
fn random_programs_of_every_type_run() {
    random(Config::wild(), 32, |module, inputs| {
        let found = run(module, inputs);
        let count = module.module().entry().unwrap().results.len();
        if found.len() == count { Ok(()) } else { Err(format!("{} results, not {count}", found.len())) }
    });
}
