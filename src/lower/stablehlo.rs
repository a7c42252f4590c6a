//! Which StableHLO each operation of the IR becomes.

use natgrad_ir::{
    BinaryOp, CallKind, CompareOp, DType, Elements, Foreign, FuncId, Function, InstData, Literal, Module, Op,
    ReduceOp, Scalar, TensorType, UnaryOp, Verified,
};

use super::donation::{Donation, LowerError};
use super::manner::{Lowering, Materialization};
use super::sink::{Attr, ComparisonType, FuncHeader, FuncParam, Operation, Sink, SliceDims, Visibility};

/// The name that the entry gets.
const MAIN: &str = "main";

/// Tells the sink what to make of every function of the module.
///
/// # Errors
/// Where the module has no entry, a name that lowering needs is taken, or the donation does not fit the entry;
/// then nothing was told. Or a value is used that the sink gave no handle for.
pub fn emit<S: Sink>(
    module: &Verified,
    donation: &Donation,
    lowering: Lowering,
    sink: &mut S,
) -> Result<(), LowerError> {
    let module = module.module();
    let Some((entry, stages)) = module.functions.split_last() else {
        return Err(LowerError::NoEntry { module: module.name.clone() });
    };
    if stages.iter().any(|stage| stage.name == MAIN) {
        return Err(LowerError::MainTaken { module: module.name.clone() });
    }
    donation.check(entry)?;
    sink.begin_module(&module.name);
    for (stage, only_fused) in stages.iter().zip(only_fused(module)) {
        if !only_fused {
            emit_function(module, stage, None, lowering, sink)?;
        }
    }
    emit_function(module, entry, Some(donation), lowering, sink)?;
    for foreign in foreign_functions(module) {
        sink.link(foreign);
    }
    sink.end_module();
    Ok(())
}

/// The functions from elsewhere that the module calls, each once, in the order of the calls.
fn foreign_functions(module: &Module) -> Vec<&Foreign> {
    let mut found: Vec<&Foreign> = Vec::new();
    for inst in module.functions.iter().flat_map(|function| &function.insts) {
        if let Op::Foreign(foreign) = &inst.op
            && !found.iter().any(|known| known.symbol == foreign.symbol)
        {
            found.push(foreign);
        }
    }
    found
}

/// Which functions are written where they are called, as the bodies of fusions, and nowhere else.
fn only_fused(module: &Module) -> Vec<bool> {
    let mut fused = vec![false; module.functions.len()];
    let mut called = vec![false; module.functions.len()];
    for inst in module.functions.iter().flat_map(|function| &function.insts) {
        if let Some(callee) = inst.op.callee() {
            let calls = if inst.op.fused().is_some() { &mut fused } else { &mut called };
            calls[callee.index()] = true;
        }
    }
    fused.into_iter().zip(called).map(|(fused, called)| fused && !called).collect()
}

/// The entry is the function that comes with a donation.
fn emit_function<S: Sink>(
    module: &Module,
    function: &Function,
    entry: Option<&Donation>,
    lowering: Lowering,
    sink: &mut S,
) -> Result<(), LowerError> {
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
    let results = emit_body(module, function, &function.name, args, lowering, sink)?;
    sink.op(Operation {
        name: "func.return",
        operands: &results,
        results: &[],
        attrs: &[],
        frontend: &[],
        regions: Vec::new(),
        location: &function.name,
    });
    sink.end_func();
    Ok(())
}

/// Emits the instructions of a function, whose paths begin with `prefix`, and gives its results.
fn emit_body<S: Sink>(
    module: &Module,
    function: &Function,
    prefix: &str,
    args: Vec<S::Value>,
    lowering: Lowering,
    sink: &mut S,
) -> Result<Vec<S::Value>, LowerError> {
    let mut values: Vec<Option<S::Value>> = vec![None; function.values.len()];
    for (param, arg) in function.params.iter().zip(args) {
        values[param.index()] = Some(arg);
    }
    let look_up = |values: &[Option<S::Value>], wanted: &[natgrad_ir::Value]| {
        let handle = |&value: &natgrad_ir::Value| {
            values[value.index()].ok_or_else(|| LowerError::NoHandle {
                function: function.name.clone(),
                value: function.label(value),
            })
        };
        wanted.iter().map(handle).collect::<Result<Vec<S::Value>, LowerError>>()
    };
    let mut path = String::new();
    for inst in &function.insts {
        set_path(&mut path, prefix, inst);
        let name = if inst.op.fused().is_some() { "fusion" } else { inst.op.name() };
        let location = format!("{path}/{name}");
        let results: Vec<&TensorType> = inst.results.iter().map(|&result| function.ty(result)).collect();
        let operands = look_up(&values, &inst.operands)?;
        let mut emitter = Emitter {
            module,
            function,
            inst,
            results: &results,
            lowering,
            prefix,
            path: &path,
            location: &location,
            sink,
        };
        let made = emitter.emit(&operands)?;
        for (result, value) in inst.results.iter().zip(made) {
            values[result.index()] = Some(value);
        }
    }
    look_up(&values, &function.results)
}

/// The path of an instruction without its name: what its function's paths begin with, and its scope.
fn set_path(path: &mut String, prefix: &str, inst: &InstData) {
    path.clear();
    path.push_str(prefix);
    if !inst.scope.is_empty() {
        path.extend(["/", &inst.scope]);
    }
}

/// Emits one instruction.
struct Emitter<'a, S: Sink> {
    module: &'a Module,
    function: &'a Function,
    inst: &'a InstData,
    results: &'a [&'a TensorType],
    lowering: Lowering,
    /// What the paths of the function begin with.
    prefix: &'a str,
    /// The path of the instruction without its name.
    path: &'a str,
    /// The whole path.
    location: &'a str,
    sink: &'a mut S,
}

impl<'a, S: Sink> Emitter<'a, S> {
    fn emit(&mut self, operands: &[S::Value]) -> Result<Vec<S::Value>, LowerError> {
        Ok(match &self.inst.op {
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
            Op::Dot(dims) => self.product(
                "stablehlo.dot_general",
                operands,
                vec![("dot_dimension_numbers", Attr::Dot(dims))],
            ),
            Op::Conv(dims) => {
                let attrs = vec![
                    ("window_strides", Attr::Indices(&dims.strides)),
                    ("padding", Attr::Padding(&dims.low, &dims.high)),
                    ("lhs_dilation", Attr::Indices(&dims.lhs_dilation)),
                    ("rhs_dilation", Attr::Indices(&dims.rhs_dilation)),
                    ("dimension_numbers", Attr::Images(dims.spatial())),
                    ("feature_group_count", Attr::Index(dims.groups)),
                    ("batch_group_count", Attr::Index(1)),
                ];
                self.product("stablehlo.convolution", operands, attrs)
            }
            Op::Reverse { dims } => {
                self.plain("stablehlo.reverse", operands, &[("dimensions", Attr::Indices(dims))])
            }
            Op::Take => self.take(operands),
            Op::ScatterAdd => self.scatter_add(operands),
            Op::At => self.at(operands),
            Op::Philox { shape: _ } => self.philox(operands),
            Op::Call { callee, kind: CallKind::Inline } => self.call(self.name(*callee), operands, &[]),
            Op::Call { callee, kind: CallKind::Materialize } => self.materialized(*callee, operands),
            Op::Call { callee, kind: CallKind::Again } => self.again(*callee, operands),
            Op::Call { callee, kind: CallKind::Fuse } => self.fusion(*callee, operands)?,
            Op::Loop { body, carried: _ } => self.repeat(*body, operands),
            Op::Foreign(foreign) => self.call(&foreign.symbol, operands, &[]),
        })
    }

    /// A slice that starts at the index and at zero in the other dimensions, without its first dimension.
    fn at(&mut self, operands: &[S::Value]) -> Vec<S::Value> {
        let Some(operand) = self.inst.operands.first().map(|&operand| self.function.ty(operand)) else {
            return Vec::new();
        };
        let mut sizes = operand.shape.dims().to_vec();
        sizes[0] = 1;
        let mut operands = operands.to_vec();
        if operand.rank() > 1 {
            let zero = self.index_constant(0);
            (1..operand.rank()).for_each(|_| operands.extend(zero.first()));
        }
        let attrs = [("slice_sizes", Attr::Indices(&sizes))];
        let row = TensorType::new(operand.dtype, sizes.as_slice());
        let taken = self.op("stablehlo.dynamic_slice", &operands, &[&row], &attrs, Vec::new());
        self.plain("stablehlo.reshape", &taken, &[])
    }

    /// The indices, none of them past the end of the first dimension of the first operand.
    fn clamped(&mut self, operands: &[S::Value]) -> Vec<S::Value> {
        let (&[table, indices, ..], &[_, index, ..]) = (self.inst.operands.as_slice(), operands) else {
            return Vec::new();
        };
        let last = self.function.ty(table).shape.dims()[0].saturating_sub(1);
        let ty = self.function.ty(indices);
        let literal = Literal::splat(ty.clone(), last as f64);
        let attrs = [("value", Attr::Literal(&literal))];
        let last = self.op("stablehlo.constant", &[], &[ty], &attrs, Vec::new());
        self.op("stablehlo.minimum", &[&[index], last.as_slice()].concat(), &[ty], &[], Vec::new())
    }

    /// Slices by index along the first dimension.
    fn slice_dims(&self) -> SliceDims {
        let rank = |operand: usize| {
            self.inst.operands.get(operand).map_or(0, |&value| self.function.ty(value).rank())
        };
        SliceDims { indices: rank(1), slice: rank(0).saturating_sub(1) }
    }

    fn take(&mut self, operands: &[S::Value]) -> Vec<S::Value> {
        let Some(&table) = self.inst.operands.first() else { return Vec::new() };
        let mut sizes = self.function.ty(table).shape.dims().to_vec();
        sizes[0] = 1;
        let indices = self.clamped(operands);
        let attrs = [
            ("dimension_numbers", Attr::Gather(self.slice_dims())),
            ("slice_sizes", Attr::Indices(&sizes)),
            ("indices_are_sorted", Attr::Flag(false)),
        ];
        self.plain("stablehlo.gather", &[&operands[..1], indices.as_slice()].concat(), &attrs)
    }

    fn scatter_add(&mut self, operands: &[S::Value]) -> Vec<S::Value> {
        let &[result] = self.results else { return Vec::new() };
        let indices = self.clamped(operands);
        let scalar = TensorType::scalar(result.dtype);
        let args = self.sink.begin_region(&[&scalar, &scalar], self.location);
        let sum = self.op("stablehlo.add", &args, &[&scalar], &[], Vec::new());
        self.op("stablehlo.return", &sum, &[], &[], Vec::new());
        let regions = vec![self.sink.end_region()];
        let attrs = [
            ("scatter_dimension_numbers", Attr::Scatter(self.slice_dims())),
            ("indices_are_sorted", Attr::Flag(false)),
            ("unique_indices", Attr::Flag(false)),
        ];
        let operands = [&operands[..1], indices.as_slice(), &operands[2..]].concat();
        self.op("stablehlo.scatter", &operands, &[result], &attrs, regions)
    }

    /// Random bits; the state that comes with them is not used.
    fn philox(&mut self, operands: &[S::Value]) -> Vec<S::Value> {
        let state = TensorType::new(DType::U64, [2]);
        let types: Vec<&TensorType> = [&[&state], self.results].concat();
        let attrs = [("rng_algorithm", Attr::Philox)];
        let made = self.op("stablehlo.rng_bit_generator", operands, &types, &attrs, Vec::new());
        made.into_iter().skip(1).collect()
    }

    /// The symbol of a function of the module.
    fn name(&self, function: FuncId) -> &'a str {
        &self.module.function(function).name
    }

    /// A call, whose location is the path without a name: where XLA inlines the function, it puts the call's path in
    /// front of the paths in it, which begin with the function's name.
    fn call(
        &mut self,
        callee: &str,
        operands: &[S::Value],
        frontend: &[(&'static str, &'static str)],
    ) -> Vec<S::Value> {
        self.sink.op(Operation {
            name: "func.call",
            operands,
            results: self.results,
            attrs: &[("callee", Attr::Function(callee))],
            frontend,
            regions: Vec::new(),
            location: self.path,
        })
    }

    /// A call whose results are stored.
    fn materialized(&mut self, callee: FuncId, operands: &[S::Value]) -> Vec<S::Value> {
        match self.lowering.materialization {
            Materialization::Call => self.call(self.name(callee), operands, &[("inlineable", "false")]),
            Materialization::Barrier => {
                let made = self.call(self.name(callee), operands, &[]);
                match made.as_slice() {
                    [] => made,
                    made => self.plain("stablehlo.optimization_barrier", made, &[]),
                }
            }
        }
    }

    /// A call that shares nothing with what is outside: behind a barrier, the operands are other values than those.
    fn again(&mut self, callee: FuncId, operands: &[S::Value]) -> Vec<S::Value> {
        match (self.lowering.materialization, operands) {
            (Materialization::Call, _) => self.call(self.name(callee), operands, &[("inlineable", "false")]),
            (Materialization::Barrier, []) => self.call(self.name(callee), operands, &[]),
            (Materialization::Barrier, operands) => {
                let function = self.function;
                let types: Vec<&TensorType> =
                    self.inst.operands.iter().map(|&operand| function.ty(operand)).collect();
                let operands = self.op("stablehlo.optimization_barrier", operands, &types, &[], Vec::new());
                self.call(self.name(callee), &operands, &[])
            }
        }
    }

    /// A function as one loop over the elements of its result.
    fn fusion(&mut self, callee: FuncId, operands: &[S::Value]) -> Result<Vec<S::Value>, LowerError> {
        let function = self.module.function(callee);
        let types: Vec<&TensorType> = function.params.iter().map(|&param| function.ty(param)).collect();
        let args = self.sink.begin_region(&types, self.location);
        let results = emit_body(self.module, function, self.prefix, args, self.lowering, self.sink)?;
        self.op("mhlo.return", &results, &[], &[], Vec::new());
        let region = self.sink.end_region();
        let attrs = [("fusion_kind", Attr::LoopFusion)];
        Ok(self.op("mhlo.fusion", operands, self.results, &attrs, vec![region]))
    }

    /// A loop over the index and the carried values; the count and the invariants are values from outside.
    fn repeat(&mut self, body: FuncId, operands: &[S::Value]) -> Vec<S::Value> {
        let Some((&count, values)) = operands.split_first() else { return Vec::new() };
        let (initial, invariants) = values.split_at(self.results.len());
        let (index_type, flag_type) = (TensorType::scalar(DType::U32), TensorType::scalar(DType::Bool));
        let types: Vec<&TensorType> = [&[&index_type], self.results].concat();
        let first = self.index_constant(0);

        let args = self.sink.begin_region(&types, self.location);
        let attrs = [
            ("comparison_direction", Attr::Direction(CompareOp::Lt)),
            ("compare_type", Attr::Comparison(ComparisonType::Unsigned)),
        ];
        let operands: Vec<S::Value> = args.first().copied().into_iter().chain([count]).collect();
        let more = self.op("stablehlo.compare", &operands, &[&flag_type], &attrs, Vec::new());
        self.op("stablehlo.return", &more, &[], &[], Vec::new());
        let condition = self.sink.end_region();

        let args = self.sink.begin_region(&types, self.location);
        let mut made = self.call(self.name(body), &[args.as_slice(), invariants].concat(), &[]);
        let mut operands = self.index_constant(1);
        operands.extend(args.first());
        let mut next = self.op("stablehlo.add", &operands, &[&index_type], &[], Vec::new());
        next.append(&mut made);
        self.op("stablehlo.return", &next, &[], &[], Vec::new());
        let regions = vec![condition, self.sink.end_region()];

        let operands = [first.as_slice(), initial].concat();
        self.op("stablehlo.while", &operands, &types, &[], regions).into_iter().skip(1).collect()
    }

    /// The scalar constant of indices.
    fn index_constant(&mut self, index: u32) -> Vec<S::Value> {
        let ty = TensorType::scalar(DType::U32);
        let literal = Literal::splat(ty.clone(), f64::from(index));
        self.op("stablehlo.constant", &[], &[&ty], &[("value", Attr::Literal(&literal))], Vec::new())
    }

    /// An operation without regions, with the instruction's result types.
    /// A product, as exact as the lowering says.
    fn product(
        &mut self,
        name: &'static str,
        operands: &[S::Value],
        mut attrs: Vec<(&'static str, Attr<'_>)>,
    ) -> Vec<S::Value> {
        if let Some(precision) = self.lowering.precision.attribute() {
            attrs.push(("precision_config", Attr::Precision(precision)));
        }
        self.plain(name, operands, &attrs)
    }

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
        self.sink.op(Operation {
            name,
            operands,
            results,
            attrs,
            frontend: &[],
            regions,
            location: self.location,
        })
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

pub(crate) fn unary_name(op: UnaryOp) -> &'static str {
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
        UnaryOp::Erf => "chlo.erf",
        UnaryOp::Not => "stablehlo.not",
    }
}

pub(crate) fn binary_name(op: BinaryOp) -> &'static str {
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
