//! Which StableHLO each operation of the IR becomes.

use natgrad_ir::{
    BinaryOp, DType, Elements, Function, InstData, Literal, Module, Op, ReduceOp, Scalar, TensorType,
    UnaryOp, Verified,
};

use super::donation::{Donation, LowerError};
use super::sink::{Attr, ComparisonType, FuncHeader, FuncParam, Operation, Sink, Visibility};

/// The name that the entry gets.
const MAIN: &str = "main";

/// Tells the sink what to make of every function of the module.
///
/// # Errors
/// Where the module has no entry, a name that lowering needs is taken, or the donation does not fit the entry;
/// then nothing was told.
pub fn emit<S: Sink>(module: &Verified, donation: &Donation, sink: &mut S) -> Result<(), LowerError> {
    let module = module.module();
    let Some((entry, stages)) = module.functions.split_last() else {
        return Err(LowerError::NoEntry { module: module.name.clone() });
    };
    if stages.iter().any(|stage| stage.name == MAIN) {
        return Err(LowerError::MainTaken { module: module.name.clone() });
    }
    donation.check(entry)?;
    sink.begin_module(&module.name);
    for stage in stages {
        emit_function(module, stage, None, sink);
    }
    emit_function(module, entry, Some(donation), sink);
    sink.end_module();
    Ok(())
}

/// The entry is the function that comes with a donation.
fn emit_function<S: Sink>(module: &Module, function: &Function, entry: Option<&Donation>, sink: &mut S) {
    let params = function.params.iter().enumerate().map(|(index, &param)| FuncParam {
        ty: function.ty(param),
        aliased_output: entry.and_then(|donation| donation.output_of(index)),
        location: function.value(param).name.as_deref().unwrap_or_default(),
    });
    let results: Vec<&TensorType> = function.results.iter().map(|&result| function.ty(result)).collect();
    let args = sink.begin_func(&FuncHeader {
        name: if entry.is_some() { MAIN } else { &function.name },
        visibility: if entry.is_some() { Visibility::Public } else { Visibility::Private },
        params: params.collect(),
        results,
        location: &function.name,
    });
    let mut values: Vec<Option<S::Value>> = vec![None; function.values.len()];
    for (param, arg) in function.params.iter().zip(args) {
        values[param.index()] = Some(arg);
    }
    let look_up = |values: &[Option<S::Value>], wanted: &[natgrad_ir::Value]| -> Vec<S::Value> {
        wanted.iter().filter_map(|value| values[value.index()]).collect()
    };
    let mut location = String::new();
    for inst in &function.insts {
        set_location(&mut location, function, inst);
        let results: Vec<&TensorType> = inst.results.iter().map(|&result| function.ty(result)).collect();
        let operands = look_up(&values, &inst.operands);
        let mut emitter = Emitter { module, function, inst, results: &results, location: &location, sink };
        let made = emitter.emit(&operands);
        for (result, value) in inst.results.iter().zip(made) {
            values[result.index()] = Some(value);
        }
    }
    sink.op(Operation {
        name: "func.return",
        operands: &look_up(&values, &function.results),
        results: &[],
        attrs: &[],
        regions: Vec::new(),
        location: &function.name,
    });
    sink.end_func();
}

/// The path of an instruction: its function, its scope and its name. A call's path ends before the name: where
/// XLA inlines the function, it puts the call's path in front of the paths in it, which begin with its name.
fn set_location(location: &mut String, function: &Function, inst: &InstData) {
    location.clear();
    location.push_str(&function.name);
    if !inst.scope.is_empty() {
        location.extend(["/", &inst.scope]);
    }
    if !matches!(inst.op, Op::Call { .. }) {
        location.extend(["/", inst.op.name()]);
    }
}

/// Emits one instruction.
struct Emitter<'a, S: Sink> {
    module: &'a Module,
    function: &'a Function,
    inst: &'a InstData,
    results: &'a [&'a TensorType],
    location: &'a str,
    sink: &'a mut S,
}

impl<S: Sink> Emitter<'_, S> {
    fn emit(&mut self, operands: &[S::Value]) -> Vec<S::Value> {
        match &self.inst.op {
            Op::Constant(literal) => {
                self.plain("stablehlo.constant", operands, &[("value", Attr::Literal(literal))])
            }
            Op::Iota { dtype: _, shape: _, dim } => {
                self.plain("stablehlo.iota", operands, &[("iota_dimension", Attr::Index(*dim))])
            }
            Op::Unary(unary) => self.plain(unary_name(*unary), operands, &[]),
            Op::Binary(binary) => self.plain(binary_name(*binary), operands, &[]),
            Op::Compare(compare) => {
                let attrs = [
                    ("comparison_direction", Attr::Direction(*compare)),
                    ("compare_type", Attr::Comparison(self.comparison_type())),
                ];
                self.plain("stablehlo.compare", operands, &attrs)
            }
            Op::Select => self.plain("stablehlo.select", operands, &[]),
            Op::Convert { dtype: _ } => self.plain("stablehlo.convert", operands, &[]),
            Op::Broadcast { shape: _, dims } => {
                let attrs = [("broadcast_dimensions", Attr::Indices(dims))];
                self.plain("stablehlo.broadcast_in_dim", operands, &attrs)
            }
            Op::Reshape { shape: _ } => self.plain("stablehlo.reshape", operands, &[]),
            Op::Transpose { perm } => {
                self.plain("stablehlo.transpose", operands, &[("permutation", Attr::Indices(perm))])
            }
            Op::Slice { starts, limits, strides } => {
                let attrs = [
                    ("start_indices", Attr::Indices(starts)),
                    ("limit_indices", Attr::Indices(limits)),
                    ("strides", Attr::Indices(strides)),
                ];
                self.plain("stablehlo.slice", operands, &attrs)
            }
            Op::Pad { low, high, interior } => {
                let attrs = [
                    ("edge_padding_low", Attr::Indices(low)),
                    ("edge_padding_high", Attr::Indices(high)),
                    ("interior_padding", Attr::Indices(interior)),
                ];
                self.plain("stablehlo.pad", operands, &attrs)
            }
            Op::Concat { dim } => {
                self.plain("stablehlo.concatenate", operands, &[("dimension", Attr::Index(*dim))])
            }
            Op::Reduce { op, dims } => self.reduce(*op, dims, operands),
            Op::Dot(dims) => {
                let attrs = [("dot_dimension_numbers", Attr::Dot(dims))];
                self.plain("stablehlo.dot_general", operands, &attrs)
            }
            Op::Call { callee } => {
                let callee = &self.module.function(*callee).name;
                self.plain("func.call", operands, &[("callee", Attr::Function(callee))])
            }
        }
    }

    /// An operation without regions, with the instruction's result types.
    fn plain(
        &mut self,
        name: &'static str,
        operands: &[S::Value],
        attrs: &[(&'static str, Attr<'_>)],
    ) -> Vec<S::Value> {
        self.op(name, operands, self.results, attrs, Vec::new())
    }

    fn op(
        &mut self,
        name: &'static str,
        operands: &[S::Value],
        results: &[&TensorType],
        attrs: &[(&'static str, Attr<'_>)],
        regions: Vec<S::Region>,
    ) -> Vec<S::Value> {
        self.sink.op(Operation { name, operands, results, attrs, regions, location: self.location })
    }

    fn comparison_type(&self) -> ComparisonType {
        let dtype = self.inst.operands.first().map(|&operand| self.function.ty(operand).dtype);
        match dtype {
            Some(DType::F64 | DType::F32 | DType::BF16 | DType::F16) | None => ComparisonType::Float,
            Some(DType::S32) => ComparisonType::Signed,
            Some(DType::U32 | DType::U64 | DType::Bool) => ComparisonType::Unsigned,
        }
    }

    fn reduce(&mut self, reduce: ReduceOp, dims: &[usize], operands: &[S::Value]) -> Vec<S::Value> {
        let (&[operand], &[result]) = (self.inst.operands.as_slice(), self.results) else {
            return Vec::new();
        };
        match (reduce, result.dtype) {
            // Partial sums of half precision would lose what is added to them.
            (ReduceOp::Sum, DType::BF16 | DType::F16) => {
                let wide = self.function.ty(operand).with_dtype(DType::F32);
                let operands = self.op("stablehlo.convert", operands, &[&wide], &[], Vec::new());
                let wide = result.with_dtype(DType::F32);
                let sum = self.reduce_as_typed(reduce, dims, &operands, &wide);
                self.op("stablehlo.convert", &sum, &[result], &[], Vec::new())
            }
            _ => self.reduce_as_typed(reduce, dims, operands, result),
        }
    }

    fn reduce_as_typed(
        &mut self,
        reduce: ReduceOp,
        dims: &[usize],
        operands: &[S::Value],
        result: &TensorType,
    ) -> Vec<S::Value> {
        let scalar = TensorType::scalar(result.dtype);
        let neutral =
            Literal { ty: scalar.clone(), elements: Elements::Splat(neutral_element(reduce, result.dtype)) };
        let attrs = [("value", Attr::Literal(&neutral))];
        let neutral = self.op("stablehlo.constant", &[], &[&scalar], &attrs, Vec::new());
        let args = self.sink.begin_region(&[&scalar, &scalar], self.location);
        let reduced = self.op(reducer_name(reduce), &args, &[&scalar], &[], Vec::new());
        self.op("stablehlo.return", &reduced, &[], &[], Vec::new());
        let regions = vec![self.sink.end_region()];
        let attrs = [("dimensions", Attr::Indices(dims))];
        self.op("stablehlo.reduce", &[operands, &neutral].concat(), &[result], &attrs, regions)
    }
}

fn unary_name(op: UnaryOp) -> &'static str {
    match op {
        UnaryOp::Neg => "stablehlo.negate",
        UnaryOp::Abs => "stablehlo.abs",
        UnaryOp::Sign => "stablehlo.sign",
        UnaryOp::Floor => "stablehlo.floor",
        UnaryOp::Exp => "stablehlo.exponential",
        UnaryOp::Expm1 => "stablehlo.exponential_minus_one",
        UnaryOp::Log => "stablehlo.log",
        UnaryOp::Log1p => "stablehlo.log_plus_one",
        UnaryOp::Sqrt => "stablehlo.sqrt",
        UnaryOp::Rsqrt => "stablehlo.rsqrt",
        UnaryOp::Tanh => "stablehlo.tanh",
        UnaryOp::Logistic => "stablehlo.logistic",
        UnaryOp::Sin => "stablehlo.sine",
        UnaryOp::Cos => "stablehlo.cosine",
        UnaryOp::Not => "stablehlo.not",
    }
}

fn binary_name(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "stablehlo.add",
        BinaryOp::Sub => "stablehlo.subtract",
        BinaryOp::Mul => "stablehlo.multiply",
        BinaryOp::Div => "stablehlo.divide",
        BinaryOp::Max => "stablehlo.maximum",
        BinaryOp::Min => "stablehlo.minimum",
        BinaryOp::Pow => "stablehlo.power",
        BinaryOp::And => "stablehlo.and",
        BinaryOp::Or => "stablehlo.or",
        BinaryOp::Xor => "stablehlo.xor",
        BinaryOp::Shl => "stablehlo.shift_left",
        BinaryOp::Shr => "stablehlo.shift_right_logical",
    }
}

/// The operation that a reduction repeats. On integers `all` and `any` are bitwise.
fn reducer_name(op: ReduceOp) -> &'static str {
    match op {
        ReduceOp::Sum => "stablehlo.add",
        ReduceOp::Max => "stablehlo.maximum",
        ReduceOp::Min => "stablehlo.minimum",
        ReduceOp::All => "stablehlo.and",
        ReduceOp::Any => "stablehlo.or",
    }
}

/// What a reduction starts from.
fn neutral_element(op: ReduceOp, dtype: DType) -> Scalar {
    let (lowest, highest, ones) = match dtype {
        DType::F64 | DType::F32 | DType::BF16 | DType::F16 => {
            (Scalar::Float(f64::NEG_INFINITY), Scalar::Float(f64::INFINITY), Scalar::Float(f64::NAN))
        }
        DType::S32 => (Scalar::Int(i32::MIN.into()), Scalar::Int(i32::MAX.into()), Scalar::Int(-1)),
        DType::U32 => (Scalar::Int(0), Scalar::Int(u32::MAX.into()), Scalar::Int(u32::MAX.into())),
        DType::U64 => (Scalar::Int(0), Scalar::Int(u64::MAX.into()), Scalar::Int(u64::MAX.into())),
        DType::Bool => (Scalar::Bool(false), Scalar::Bool(true), Scalar::Bool(true)),
    };
    match op {
        ReduceOp::Sum | ReduceOp::Any => Scalar::of(dtype, 0.0),
        ReduceOp::Max => lowest,
        ReduceOp::Min => highest,
        ReduceOp::All => ones,
    }
}
