use super::*;
use crate::build::Builder;
use crate::literal::Literal;
use crate::op::{BinaryOp, CallKind, ConvDims, DotDims, ReduceOp, UnaryOp};
use crate::verify::verify;

fn ty(dtype: DType, dims: &[usize]) -> TensorType {
    TensorType::new(dtype, dims)
}

/// Runs a function of inputs made by `build`.
fn run_with(
    inputs: &[Tensor],
    precision: Precision,
    build: impl FnOnce(&mut Builder, &[Value]) -> Value,
) -> Tensor {
    let mut b = Builder::new("f");
    let params: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| b.param(format!("p{index}"), input.ty().clone()))
        .collect();
    let result = build(&mut b, &params);
    let mut module = Module::new("m");
    module.push(b.finish(&[result]).unwrap());
    let verified = verify(module).unwrap();
    evaluate_with(&verified, inputs, precision).unwrap().remove(0)
}

fn run_typed(inputs: &[Tensor], build: impl FnOnce(&mut Builder, &[Value]) -> Value) -> Tensor {
    run_with(inputs, Precision::AsTyped, build)
}

fn f64s(dims: &[usize], values: &[f64]) -> Tensor {
    Tensor::from_f64s(ty(DType::F64, dims), values).unwrap()
}

fn counting(dims: &[usize]) -> Tensor {
    let values: Vec<f64> = (0..dims.iter().product::<usize>()).map(|index| index as f64).collect();
    f64s(dims, &values)
}

fn unary_of(op: UnaryOp, x: f64) -> f64 {
    run_typed(&[f64s(&[], &[x])], |b, p| b.unary(op, p[0])).to_f64s()[0]
}

fn binary_of(op: BinaryOp, x: f64, y: f64) -> f64 {
    run_typed(&[f64s(&[], &[x]), f64s(&[], &[y])], |b, p| b.binary(op, p[0], p[1])).to_f64s()[0]
}

#[test]
fn unary_floats() {
    let x = 0.7f64;
    for &op in UnaryOp::ALL {
        let wanted = match op {
            UnaryOp::Neg => -0.7,
            UnaryOp::Abs => 0.7,
            UnaryOp::Sign => 1.0,
            UnaryOp::Floor => 0.0,
            UnaryOp::Exp => x.exp(),
            UnaryOp::Expm1 => x.exp() - 1.0,
            UnaryOp::Log => x.ln(),
            UnaryOp::Log1p => 1.7f64.ln(),
            UnaryOp::Sqrt => x.powf(0.5),
            UnaryOp::Rsqrt => x.powf(-0.5),
            UnaryOp::Tanh => x.sinh() / x.cosh(),
            UnaryOp::Logistic => x.exp() / (1.0 + x.exp()),
            UnaryOp::Sin => x.sin(),
            UnaryOp::Cos => x.cos(),
            // Abramowitz and Stegun, table 7.1, to more digits.
            UnaryOp::Erf => 0.677_801_193_837_418_5,
            UnaryOp::Not => continue,
        };
        let found = unary_of(op, x);
        assert!((found - wanted).abs() < 1e-14, "{}: {found} {wanted}", op.name());
    }
    assert_eq!(unary_of(UnaryOp::Sign, -3.0), -1.0);
    assert_eq!(unary_of(UnaryOp::Sign, -0.0).to_bits(), (-0.0f64).to_bits());
    assert!(unary_of(UnaryOp::Sign, f64::NAN).is_nan());
    assert_eq!(unary_of(UnaryOp::Floor, -0.5), -1.0);
    assert_eq!(unary_of(UnaryOp::Logistic, -800.0), 0.0);
}

#[test]
fn binary_floats_and_nan() {
    assert_eq!(binary_of(BinaryOp::Pow, 2.0, -2.0), 0.25);
    assert_eq!(binary_of(BinaryOp::Div, 1.0, 0.0), f64::INFINITY);
    for op in [BinaryOp::Max, BinaryOp::Min] {
        assert!(binary_of(op, f64::NAN, 1.0).is_nan());
        assert!(binary_of(op, 1.0, f64::NAN).is_nan());
    }
    let nan = f64s(&[], &[f64::NAN]);
    for &op in CompareOp::ALL {
        let found = run_typed(std::slice::from_ref(&nan), |b, p| b.compare(op, p[0], p[0])).to_ints()[0];
        assert_eq!(found == 1, op == CompareOp::Ne, "{}", op.name());
    }
    let pair = [f64s(&[3], &[1.0, 2.0, 3.0]), f64s(&[3], &[2.0, 2.0, 2.0])];
    for (op, wanted) in [
        (CompareOp::Eq, [0, 1, 0]),
        (CompareOp::Ne, [1, 0, 1]),
        (CompareOp::Lt, [1, 0, 0]),
        (CompareOp::Le, [1, 1, 0]),
        (CompareOp::Gt, [0, 0, 1]),
        (CompareOp::Ge, [0, 1, 1]),
    ] {
        assert_eq!(run_typed(&pair, |b, p| b.compare(op, p[0], p[1])).to_ints(), wanted);
    }
    let nan_in_row = f64s(&[3], &[1.0, f64::NAN, 2.0]);
    for op in [ReduceOp::Max, ReduceOp::Min, ReduceOp::Sum] {
        let found = run_typed(std::slice::from_ref(&nan_in_row), |b, p| b.reduce(op, p[0], &[0]));
        assert!(found.to_f64s()[0].is_nan());
    }
}

/// The interpreter's single precision is the machine's.
#[test]
fn single_precision_is_exact() {
    let mut state = 0x2545_f491_4f6c_dd1du64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 40) as f32 / 8388608.0 - 1.0) * 2f32.powi((state % 40) as i32 - 20)
    };
    let x: Vec<f32> = (0..500).map(|_| next()).collect();
    let y: Vec<f32> = (0..500).map(|_| next()).collect();
    let inputs = [Tensor::from_f32s([500], &x).unwrap(), Tensor::from_f32s([500], &y).unwrap()];
    type Native = fn(f32, f32) -> f32;
    let cases: [(BinaryOp, Native); 4] = [
        (BinaryOp::Add, |x, y| x + y),
        (BinaryOp::Sub, |x, y| x - y),
        (BinaryOp::Mul, |x, y| x * y),
        (BinaryOp::Div, |x, y| x / y),
    ];
    for (op, native) in cases {
        let found = run_typed(&inputs, |b, p| b.binary(op, p[0], p[1])).to_f32s();
        for index in 0..500 {
            assert_eq!(found[index].to_bits(), native(x[index], y[index]).to_bits(), "{}", op.name());
        }
    }
    let roots = run_typed(&inputs, |b, p| {
        let x = b.abs(p[0]);
        b.sqrt(x)
    });
    let native: Vec<f32> = x.iter().map(|x| x.abs().sqrt()).collect();
    assert_eq!(roots.to_f32s(), native);
}

#[test]
fn precision_decides_what_is_rounded() {
    let x = Tensor::from_f32s([], &[1.0]).unwrap();
    let tiny = |b: &mut Builder, p: &[Value]| b.add_const(p[0], 2f64.powi(-30));
    assert_eq!(run_typed(std::slice::from_ref(&x), tiny).to_f64s(), [1.0]);
    assert_eq!(run_with(&[x], Precision::F64, tiny).to_f64s(), [1.0 + 2f64.powi(-30)]);
    let big = Tensor::from_u64s([], &[(1 << 25) + 1]).unwrap();
    let single = |b: &mut Builder, p: &[Value]| b.convert(p[0], DType::F32);
    assert_eq!(run_typed(std::slice::from_ref(&big), single).to_f64s(), [33554432.0]);
    assert_eq!(run_with(&[big], Precision::F64, single).to_f64s(), [33554433.0]);
    let x = Tensor::from_f64s(ty(DType::BF16, &[]), &[1.0]).unwrap();
    assert_eq!(run_typed(std::slice::from_ref(&x), |b, p| b.add_const(p[0], 2f64.powi(-9))).to_f64s(), [1.0]);
}

#[test]
fn integers_wrap_and_shift() {
    let u = |x: u32, y: u32, op: BinaryOp| {
        let inputs = [Tensor::from_u32s([], &[x]).unwrap(), Tensor::from_u32s([], &[y]).unwrap()];
        run_typed(&inputs, |b, p| b.binary(op, p[0], p[1])).to_ints()[0] as u32
    };
    let x = 0x9e37_79b9u32;
    for y in [0u32, 1, 5, 31, 32, 33, 0xffff_fff0] {
        assert_eq!(u(x, y, BinaryOp::Add), x.wrapping_add(y));
        assert_eq!(u(x, y, BinaryOp::Sub), x.wrapping_sub(y));
        assert_eq!(u(x, y, BinaryOp::Mul), x.wrapping_mul(y));
        assert_eq!(u(x, y, BinaryOp::And), x & y);
        assert_eq!(u(x, y, BinaryOp::Or), x | y);
        assert_eq!(u(x, y, BinaryOp::Xor), x ^ y);
        assert_eq!(u(x, y, BinaryOp::Max), x.max(y));
        assert_eq!(u(x, y, BinaryOp::Min), x.min(y));
        assert_eq!(u(x, y, BinaryOp::Shl), if y < 32 { x << y } else { 0 });
        assert_eq!(u(x, y, BinaryOp::Shr), if y < 32 { x >> y } else { 0 });
    }
    let s = |x: i32, y: i32, op: BinaryOp| {
        let inputs = [Tensor::from_i32s([], &[x]).unwrap(), Tensor::from_i32s([], &[y]).unwrap()];
        run_typed(&inputs, |b, p| b.binary(op, p[0], p[1])).to_ints()[0] as i32
    };
    assert_eq!(s(i32::MAX, 1, BinaryOp::Add), i32::MIN);
    assert_eq!(s(-1, 28, BinaryOp::Shr), 15);
    assert_eq!(s(-1, -1, BinaryOp::Shr), 0);
    assert_eq!(s(3, 31, BinaryOp::Shl), i32::MIN);
    let all = u64::MAX;
    let inputs = [Tensor::from_u64s([], &[all]).unwrap(), Tensor::from_u64s([], &[all - 2]).unwrap()];
    let product = run_typed(&inputs, |b, p| b.mul(p[0], p[1])).to_ints()[0] as u64;
    assert_eq!(product, all.wrapping_mul(all - 2));
    assert_eq!(run_typed(&inputs[..1], |b, p| b.not(p[0])).to_ints(), [0]);
    assert_eq!(run_typed(&inputs[..1], |b, p| b.neg(p[0])).to_ints(), [1]);
}

#[test]
fn booleans() {
    let inputs = [
        Tensor::from_bools([4], &[false, false, true, true]).unwrap(),
        Tensor::from_bools([4], &[false, true, false, true]).unwrap(),
    ];
    for (op, wanted) in
        [(BinaryOp::And, [0, 0, 0, 1]), (BinaryOp::Or, [0, 1, 1, 1]), (BinaryOp::Xor, [0, 1, 1, 0])]
    {
        assert_eq!(run_typed(&inputs, |b, p| b.binary(op, p[0], p[1])).to_ints(), wanted);
    }
    assert_eq!(run_typed(&inputs, |b, p| b.not(p[0])).to_ints(), [1, 1, 0, 0]);
    assert_eq!(run_typed(&inputs, |b, p| b.compare(CompareOp::Eq, p[0], p[1])).to_ints(), [1, 0, 0, 1]);
    assert_eq!(run_typed(&inputs, |b, p| b.reduce(ReduceOp::All, p[0], &[0])).to_ints(), [0]);
    assert_eq!(run_typed(&inputs, |b, p| b.reduce(ReduceOp::Any, p[0], &[0])).to_ints(), [1]);
    let chosen = run_typed(&inputs, |b, p| {
        let ones = b.constant(Literal::splat(ty(DType::F32, &[4]), 1.0));
        let iota = b.iota(DType::F32, [4], 0);
        b.select(p[0], ones, iota)
    });
    assert_eq!(chosen.to_f64s(), [0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn conversions_truncate_and_saturate() {
    let values = [1.9, -1.9, f64::NAN, 1e20, -1e20];
    let x = f64s(&[5], &values);
    let to = |dtype: DType| run_typed(std::slice::from_ref(&x), |b, p| b.convert(p[0], dtype)).to_ints();
    assert_eq!(to(DType::S32), [1, -1, 0, i128::from(i32::MAX), i128::from(i32::MIN)]);
    assert_eq!(to(DType::U32), [1, 0, 0, i128::from(u32::MAX), 0]);
    assert_eq!(to(DType::U64), [1, 0, 0, i128::from(u64::MAX), 0]);
    assert_eq!(to(DType::Bool), [1, 1, 1, 1, 1]);
    let negative = Tensor::from_i32s([1], &[-1]).unwrap();
    assert_eq!(
        run_typed(std::slice::from_ref(&negative), |b, p| b.convert(p[0], DType::U32)).to_ints(),
        [0xffff_ffff]
    );
    assert_eq!(run_typed(&[negative], |b, p| b.convert(p[0], DType::F16)).to_f64s(), [-1.0]);
    let truth = Tensor::from_bools([2], &[true, false]).unwrap();
    assert_eq!(run_typed(&[truth], |b, p| b.convert(p[0], DType::F32)).to_f64s(), [1.0, 0.0]);
}

#[test]
fn shapes_move_data() {
    let x = [counting(&[2, 3])];
    assert_eq!(run_typed(&x, |b, p| b.transpose(p[0], &[1, 0])).to_f64s(), [0., 3., 1., 4., 2., 5.]);
    assert_eq!(run_typed(&x, |b, p| b.reshape(p[0], [3, 2])).to_f64s(), [0., 1., 2., 3., 4., 5.]);
    let wide = run_typed(&x, |b, p| b.broadcast(p[0], [2, 2, 3], &[0, 2]));
    assert_eq!(wide.to_f64s(), [0., 1., 2., 0., 1., 2., 3., 4., 5., 3., 4., 5.]);
    let cut = run_typed(&x, |b, p| {
        let op = Op::Slice { starts: vec![1, 0], limits: vec![2, 3], strides: vec![1, 2] };
        b.push(op, vec![p[0]], None)[0]
    });
    assert_eq!((cut.ty().shape.dims(), cut.to_f64s()), ([1, 2].as_slice(), vec![3., 5.]));
    let padded = run_typed(&x, |b, p| {
        let nine = b.scalar(DType::F64, 9.0);
        let op = Op::Pad { low: vec![0, 1], high: vec![1, 0], interior: vec![0, 1] };
        b.push(op, vec![p[0], nine], None)[0]
    });
    assert_eq!(padded.ty().shape.dims(), [3, 6]);
    assert_eq!(padded.to_f64s(), [9., 0., 9., 1., 9., 2., 9., 3., 9., 4., 9., 5., 9., 9., 9., 9., 9., 9.]);
    // A lone element has no neighbours to stand between.
    let lone = run_typed(&[f64s(&[1], &[3.0])], |b, p| {
        let nine = b.scalar(DType::F64, 9.0);
        let op = Op::Pad { low: vec![1], high: vec![0], interior: vec![usize::MAX] };
        b.push(op, vec![p[0], nine], None)[0]
    });
    assert_eq!(lone.to_f64s(), [9.0, 3.0]);
    let joined = run_typed(&x, |b, p| {
        let iota = b.iota(DType::F64, [2, 1], 0);
        b.push(Op::Concat { dim: 1 }, vec![p[0], iota, p[0]], None)[0]
    });
    assert_eq!(joined.to_f64s(), [0., 1., 2., 0., 0., 1., 2., 3., 4., 5., 1., 3., 4., 5.]);
    let turned = run_typed(&[counting(&[2, 3, 4])], |b, p| b.transpose(p[0], &[2, 0, 1]));
    assert_eq!(turned.ty().shape.dims(), [4, 2, 3]);
    assert_eq!(turned.to_f64s()[..7], [0., 4., 8., 12., 16., 20., 1.]);
}

#[test]
fn an_index_past_the_end_takes_the_last_slice() {
    let x = counting(&[3, 2]);
    for (index, wanted) in
        [(0, [0.0, 1.0]), (1, [2.0, 3.0]), (2, [4.0, 5.0]), (3, [4.0, 5.0]), (u32::MAX, [4.0, 5.0])]
    {
        let index = Tensor::from_u32s([], &[index]).unwrap();
        let taken = run_typed(&[x.clone(), index], |b, p| b.at(p[0], p[1]));
        assert_eq!((taken.ty(), taken.to_f64s()), (&ty(DType::F64, &[2]), wanted.to_vec()));
    }
}

#[test]
fn reductions_start_from_their_neutral_element() {
    let x = [counting(&[2, 3])];
    assert_eq!(run_typed(&x, |b, p| b.sum(p[0], &[0])).to_f64s(), [3., 5., 7.]);
    assert_eq!(run_typed(&x, |b, p| b.sum(p[0], &[0, 1])).to_f64s(), [15.]);
    assert_eq!(run_typed(&x, |b, p| b.reduce(ReduceOp::Max, p[0], &[1])).to_f64s(), [2., 5.]);
    assert_eq!(run_typed(&x, |b, p| b.reduce(ReduceOp::Min, p[0], &[1])).to_f64s(), [0., 3.]);
    let none = [f64s(&[0], &[])];
    assert_eq!(run_typed(&none, |b, p| b.reduce(ReduceOp::Max, p[0], &[0])).to_f64s(), [f64::NEG_INFINITY]);
    assert_eq!(run_typed(&none, |b, p| b.sum(p[0], &[0])).to_f64s(), [0.0]);
    let none = [Tensor::from_i32s([0], &[]).unwrap()];
    let of = |op| run_typed(&none, |b, p| b.reduce(op, p[0], &[0])).to_ints()[0] as i32;
    assert_eq!(of(ReduceOp::Max), i32::MIN);
    assert_eq!(of(ReduceOp::Min), i32::MAX);
    assert_eq!(of(ReduceOp::All), -1);
    assert_eq!(of(ReduceOp::Any), 0);
    let wrapping = [Tensor::from_u32s([2], &[u32::MAX, 2]).unwrap()];
    assert_eq!(run_typed(&wrapping, |b, p| b.sum(p[0], &[0])).to_ints(), [1]);
}

#[test]
fn dots_batch_contract_and_order_dimensions() {
    let plain = run_typed(&[counting(&[2, 3]), counting(&[3, 2])], |b, p| b.matmul(p[0], p[1]));
    assert_eq!(plain.to_f64s(), [10., 13., 28., 40.]);
    let (x, y) = (counting(&[2, 3, 4, 2]), counting(&[5, 4, 3]));
    let dims =
        DotDims { lhs_batch: vec![1], rhs_batch: vec![2], lhs_contract: vec![2], rhs_contract: vec![1] };
    let found = run_typed(&[x.clone(), y.clone()], |b, p| b.dot(p[0], p[1], dims));
    assert_eq!(found.ty().shape.dims(), [3, 2, 2, 5]);
    let (x, y, found) = (x.to_f64s(), y.to_f64s(), found.to_f64s());
    for t in 0..3 {
        for i in 0..2 {
            for j in 0..2 {
                for k in 0..5 {
                    let wanted: f64 =
                        (0..4).map(|c| x[i * 24 + t * 8 + c * 2 + j] * y[k * 12 + c * 3 + t]).sum();
                    assert_eq!(found[t * 20 + i * 10 + j * 5 + k], wanted);
                }
            }
        }
    }
}

#[test]
fn calls_run_functions_of_the_module() {
    let mut module = Module::new("m");
    let mut b = Builder::new("both");
    let x = b.param("x", ty(DType::F32, &[2]));
    let (double, square) = (b.add(x, x), b.square(x));
    let both = module.push(b.finish(&[double, square]).unwrap());
    let mut b = Builder::new("main");
    let x = b.param("x", ty(DType::F32, &[2]));
    let results = b.call(&module, both, &[x]);
    let sum = b.add(results[0], results[1]);
    module.push(b.finish(&[sum, results[0]]).unwrap());
    let x = Tensor::from_f32s([2], &[1.0, 3.0]).unwrap();
    let inner = evaluate_function(&module, both, std::slice::from_ref(&x), Precision::AsTyped).unwrap();
    assert_eq!(inner[1].to_f64s(), [1.0, 9.0]);
    let found = evaluate(&verify(module).unwrap(), &[x]).unwrap();
    assert_eq!(found[0].to_f64s(), [3.0, 15.0]);
    assert_eq!(found[1].to_f64s(), [2.0, 6.0]);
}

/// A module whose entry sums `scale * (index + 1)` over a loop and counts its runs.
fn summing() -> crate::verify::Verified {
    let text = "module @m
        func @body(%index: u32[], %sum: f64[2], %runs: u32[], %scale: f64[]) -> (f64[2], u32[]) {
            %one: u32[] = constant {1}
            %next: u32[] = add %runs, %one
            %place: u32[] = add %index, %one
            %float: f64[] = convert %place
            %term: f64[] = mul %float, %scale
            %wide: f64[2] = broadcast %term {dims = []}
            %total: f64[2] = add %sum, %wide
            return %total, %next
        }
        func @main(%count: u32[], %start: f64[2], %scale: f64[]) -> (f64[2], u32[]) {
            %zero: u32[] = constant {0}
            %sum: f64[2], %runs: u32[] = loop @body(%count, %start, %zero, %scale)
            return %sum, %runs
        }";
    verify(crate::text::parse(text).unwrap()).unwrap()
}

#[test]
fn loops_carry_values_from_run_to_run() {
    let module = summing();
    for (count, sum) in [(0, [1.0, 2.0]), (1, [1.5, 2.5]), (4, [6.0, 7.0])] {
        let inputs = [Tensor::from_u32s([], &[count]).unwrap(), f64s(&[2], &[1.0, 2.0]), f64s(&[], &[0.5])];
        let results = evaluate(&module, &inputs).unwrap();
        assert_eq!((results[0].to_f64s(), results[1].to_ints()), (sum.to_vec(), vec![count.into()]));
    }
}

#[test]
fn wrong_inputs_are_errors() {
    let mut b = Builder::new("f");
    let x = b.param("x", ty(DType::F32, &[2]));
    let y = b.neg(x);
    let mut module = Module::new("m");
    let id = module.push(b.finish(&[y]).unwrap());
    let run = |inputs: &[Tensor]| evaluate_function(&module, id, inputs, Precision::AsTyped).unwrap_err();
    assert_eq!(run(&[]).to_string(), "function `f` takes 1 inputs, not 0");
    let wrong = Tensor::from_f32s([3], &[0.0; 3]).unwrap();
    assert_eq!(run(&[wrong]).to_string(), "input 0 of function `f`, %x, is f32[2], not f32[3]");
    assert_eq!(
        evaluate(&verify(Module::new("empty")).unwrap(), &[]),
        Err(InterpError::NoFunction { functions: 0, index: 0 })
    );
}

#[test]
fn malformed_and_huge_programs_are_errors() {
    let mut b = Builder::new("f");
    let x = b.param("x", ty(DType::F32, &[2]));
    let y = b.neg(x);
    let sound = b.finish(&[y]).unwrap();
    let input = Tensor::from_f32s([2], &[1.0, 2.0]).unwrap();
    let run = |change: &dyn Fn(&mut Function)| {
        let mut function = sound.clone();
        change(&mut function);
        evaluate_flat(&function, std::slice::from_ref(&input), Precision::AsTyped)
    };
    assert!(run(&|_| {}).is_ok());
    let changes: [&dyn Fn(&mut Function); 6] = [
        &|f| f.insts[0].op = Op::Unary(UnaryOp::Not),
        &|f| f.insts[0].op = Op::Call { callee: FuncId::from_index(0), kind: CallKind::Inline },
        &|f| f.insts[0].operands[0] = Value::from_index(9),
        &|f| f.insts[0].operands[0] = f.insts[0].results[0],
        &|f| f.insts[0].results[0] = Value::from_index(9),
        &|f| f.params[0] = Value::from_index(9),
    ];
    for change in changes {
        assert!(run(change).is_err());
    }
    let mut b = Builder::new("huge");
    let x = b.constant(Literal::splat(ty(DType::F32, &[1 << 40, 0]), 0.0));
    let huge = b.finish(&[x]).unwrap();
    assert!(matches!(evaluate_flat(&huge, &[], Precision::AsTyped), Err(InterpError::TooLarge { .. })));
}

#[test]
fn convolutions_by_hand() {
    let x = f64s(&[1, 3, 1], &[1.0, 2.0, 3.0]);
    let kernel = f64s(&[2, 1, 1], &[10.0, 1.0]);
    let conv =
        |dims: ConvDims| run_typed(&[x.clone(), kernel.clone()], |b, p| b.conv(p[0], p[1], dims)).to_f64s();
    assert_eq!(conv(ConvDims::padded(1, 1, 0)), [12.0, 23.0]);
    assert_eq!(conv(ConvDims::padded(1, 2, 1)), [1.0, 23.0]);
    let cut = ConvDims { low: vec![-1], ..ConvDims::padded(1, 1, 0) };
    assert_eq!(conv(cut), [23.0]);
    // 1 0 2 0 3, and a kernel that meets neighbours two apart.
    let dilated = ConvDims { lhs_dilation: vec![2], ..ConvDims::padded(1, 1, 0) };
    assert_eq!(conv(dilated.clone()), [10.0, 2.0, 20.0, 3.0]);
    assert_eq!(conv(ConvDims { rhs_dilation: vec![2], ..dilated }), [12.0, 0.0, 23.0]);
    // Two groups: each output sees its own feature.
    let x = f64s(&[1, 1, 1, 2], &[3.0, 5.0]);
    let kernel = f64s(&[1, 1, 1, 2], &[2.0, 7.0]);
    let dims = ConvDims { groups: 2, ..ConvDims::padded(2, 1, 0) };
    assert_eq!(run_typed(&[x, kernel], |b, p| b.conv(p[0], p[1], dims)).to_f64s(), [6.0, 35.0]);
}

#[test]
fn slices_are_taken_and_added_by_index() {
    let table = f64s(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let indices = Tensor::from_u32s([2], &[2, 9]).unwrap();
    let taken = run_typed(&[table.clone(), indices.clone()], |b, p| b.take(p[0], p[1]));
    assert_eq!(taken.to_f64s(), [5.0, 6.0, 5.0, 6.0]);
    let slices = f64s(&[2, 2], &[10.0, 20.0, 100.0, 200.0]);
    let sums = run_typed(&[table, indices, slices], |b, p| b.scatter_add(p[0], p[1], p[2]));
    assert_eq!(sums.to_f64s(), [1.0, 2.0, 3.0, 4.0, 115.0, 226.0]);
}
