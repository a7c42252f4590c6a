//! Builds functions: infers types, records names, scopes and places, and collects errors.

use std::collections::HashSet;
use std::panic::Location;
use std::sync::Arc;

use crate::foreign::Foreign;
use crate::graph::{FuncId, Function, InstData, Module, Origin, Value};
use crate::infer::{Signature, infer};
use crate::literal::Literal;
use crate::op::{BinaryOp, CallKind, CompareOp, ConvDims, DotDims, Op, ReduceOp, UnaryOp};
use crate::types::{DType, Shape, TensorType};
use crate::verify::valid_name;

/// Something that a builder was asked to do and that does not type-check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("in function `{function}`{}, made at {origin}: {message}", of_scope(scope))]
pub struct BuildError {
    /// The function being built.
    pub function: String,
    /// The scope path, such as the layer that was being built; empty outside any.
    pub scope: String,
    /// The line of code that asked for it.
    pub origin: Origin,
    /// What is wrong.
    pub message: String,
}

fn of_scope(scope: &str) -> String {
    if scope.is_empty() { String::new() } else { format!(", in `{scope}`") }
}

/// Builds one function.
///
/// A wrong request is recorded and answered with a stand-in value, so that building goes on and
/// [`Builder::finish`] reports every mistake, each with the line of code that made it.
///
/// Elementwise operations accept a scalar beside a tensor: the scalar is broadcast.
#[derive(Debug)]
pub struct Builder {
    function: Function,
    scope: Vec<String>,
    taken: HashSet<String>,
    errors: Vec<BuildError>,
    /// Where mistakes are said to be made, if not where the builder is called.
    place: Option<&'static Location<'static>>,
}

macro_rules! unary_methods {
    ($($(#[$doc:meta])* $method:ident => $op:ident,)*) => {
        $($(#[$doc])*
        #[track_caller]
        pub fn $method(&mut self, x: Value) -> Value {
            self.unary(UnaryOp::$op, x)
        })*
    };
}

macro_rules! binary_methods {
    ($($(#[$doc:meta])* $method:ident => $op:ident,)*) => {
        $($(#[$doc])*
        #[track_caller]
        pub fn $method(&mut self, x: Value, y: Value) -> Value {
            self.binary(BinaryOp::$op, x, y)
        })*
    };
}

impl Builder {
    /// A builder of a function with this name.
    pub fn new(name: impl Into<String>) -> Builder {
        Builder {
            function: Function { name: name.into(), ..Function::default() },
            scope: Vec::new(),
            taken: HashSet::new(),
            errors: Vec::new(),
            place: None,
        }
    }

    /// The function so far.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &TensorType {
        self.function.ty(value)
    }

    /// Adds a parameter.
    #[track_caller]
    pub fn param(&mut self, name: impl Into<String>, ty: TensorType) -> Value {
        let name = name.into();
        if !valid_name(&name) {
            self.fail(Location::caller(), format!("`{name}` is no valid name for a parameter"));
        } else if !self.taken.insert(name.clone()) {
            self.fail(Location::caller(), format!("the name `{name}` is taken"));
        }
        self.function.add_param(ty, Some(name))
    }

    /// Names a value, so that errors and printed programs say it. Keeps an earlier name, and adds a number to
    /// a name that is taken.
    pub fn name(&mut self, value: Value, name: &str) -> Value {
        if self.function.value(value).name.is_none() && valid_name(name) {
            let mut candidate = name.to_string();
            let mut number = 1;
            while !self.taken.insert(candidate.clone()) {
                number += 1;
                candidate = format!("{name}.{number}");
            }
            self.function.values[value.index()].name = Some(candidate);
        }
        value
    }

    /// Runs `build` with `name` appended to the scope path of the instructions made in it.
    pub fn scoped<T>(&mut self, name: &str, build: impl FnOnce(&mut Builder) -> T) -> T {
        self.enter(name);
        let result = build(self);
        self.leave();
        result
    }

    /// Appends `name` to the scope path, until [`Builder::leave`].
    pub fn enter(&mut self, name: &str) {
        self.scope.push(name.to_string());
    }

    /// Takes the last name off the scope path.
    pub fn leave(&mut self) {
        self.scope.pop();
    }

    /// Appends an instruction, as its type rule allows, and returns its results.
    #[track_caller]
    pub fn push(&mut self, op: Op, operands: Vec<Value>, callee: Option<&Signature>) -> Vec<Value> {
        let place = Location::caller();
        let types: Vec<&TensorType> = operands.iter().map(|&operand| self.function.ty(operand)).collect();
        let result_types = match infer(&op, &types, callee) {
            Ok(types) => types,
            Err(error) => {
                let labels: Vec<String> = operands.iter().map(|&value| self.function.label(value)).collect();
                self.fail(place, format!("{error} (operands: {})", labels.join(", ")));
                let stand_in = operands.first().map(|&operand| self.function.ty(operand).clone());
                return vec![self.stand_in(stand_in.unwrap_or(TensorType::scalar(DType::F32)))];
            }
        };
        self.append(op, operands, result_types, Origin::Code(place))
    }

    fn append(
        &mut self,
        op: Op,
        operands: Vec<Value>,
        result_types: Vec<TensorType>,
        origin: Origin,
    ) -> Vec<Value> {
        let inst = InstData { op, operands, results: Vec::new(), scope: self.scope.join("/"), origin };
        self.function.append(inst, result_types.into_iter().map(|ty| (ty, None)))
    }

    fn stand_in(&mut self, ty: TensorType) -> Value {
        let shape = if ty.shape.checked_elements().is_some() { ty.shape } else { Shape::scalar() };
        let ty = TensorType { dtype: ty.dtype, shape };
        let op = Op::Constant(Literal::splat(ty.clone(), 0.0));
        self.append(op, Vec::new(), vec![ty], Origin::Unknown)[0]
    }

    /// Says where mistakes are made from now on: `None` stands for where the builder is called. Gives what was said before.
    ///
    /// Layers are told apart by who used them, not by their own lines of code.
    pub fn set_place(
        &mut self,
        place: Option<&'static Location<'static>>,
    ) -> Option<&'static Location<'static>> {
        std::mem::replace(&mut self.place, place)
    }

    /// Records a mistake of whoever calls this, which [`Builder::finish`] will report.
    #[track_caller]
    pub fn refuse(&mut self, message: impl Into<String>) {
        self.fail(Location::caller(), message.into());
    }

    fn fail(&mut self, place: &'static Location<'static>, message: String) {
        let function = self.function.name.clone();
        let scope = self.scope.join("/");
        let place = self.place.unwrap_or(place);
        self.errors.push(BuildError { function, scope, origin: Origin::Code(place), message });
    }

    #[track_caller]
    fn one(&mut self, op: Op, operands: Vec<Value>) -> Value {
        self.push(op, operands, None)[0]
    }

    /// A constant tensor.
    #[track_caller]
    pub fn constant(&mut self, literal: Literal) -> Value {
        self.one(Op::Constant(literal), Vec::new())
    }

    /// A scalar constant.
    #[track_caller]
    pub fn scalar(&mut self, dtype: DType, value: f64) -> Value {
        self.constant(Literal::splat(TensorType::scalar(dtype), value))
    }

    /// A constant with the type of `like` and `value` everywhere.
    #[track_caller]
    pub fn full_like(&mut self, like: Value, value: f64) -> Value {
        let ty = self.ty(like).clone();
        self.constant(Literal::splat(ty, value))
    }

    /// The index along dimension `dim`.
    #[track_caller]
    pub fn iota(&mut self, dtype: DType, shape: impl Into<Shape>, dim: usize) -> Value {
        self.one(Op::Iota { dtype, shape: shape.into(), dim }, Vec::new())
    }

    /// An elementwise operation of one operand.
    #[track_caller]
    pub fn unary(&mut self, op: UnaryOp, x: Value) -> Value {
        self.one(Op::Unary(op), vec![x])
    }

    /// An elementwise operation of two operands, broadcasting a scalar one.
    #[track_caller]
    pub fn binary(&mut self, op: BinaryOp, x: Value, y: Value) -> Value {
        let (x, y) = self.match_shapes(x, y);
        self.one(Op::Binary(op), vec![x, y])
    }

    /// An elementwise comparison, broadcasting a scalar operand.
    #[track_caller]
    pub fn compare(&mut self, op: CompareOp, x: Value, y: Value) -> Value {
        let (x, y) = self.match_shapes(x, y);
        self.one(Op::Compare(op), vec![x, y])
    }

    #[track_caller]
    fn match_shapes(&mut self, x: Value, y: Value) -> (Value, Value) {
        match (self.ty(x).rank(), self.ty(y).rank()) {
            (0, rank) if rank > 0 => (self.splat(x, self.ty(y).shape.clone()), y),
            (rank, 0) if rank > 0 => (x, self.splat(y, self.ty(x).shape.clone())),
            _ => (x, y),
        }
    }

    unary_methods! {
        /// `-x`.
        neg => Neg,
        /// `|x|`.
        abs => Abs,
        /// The sign.
        sign => Sign,
        /// `e^x`.
        exp => Exp,
        /// `e^x - 1`.
        expm1 => Expm1,
        /// The natural logarithm.
        log => Log,
        /// `ln(1 + x)`.
        log1p => Log1p,
        /// The square root.
        sqrt => Sqrt,
        /// `1 / sqrt(x)`.
        rsqrt => Rsqrt,
        /// The hyperbolic tangent.
        tanh => Tanh,
        /// The logistic function.
        logistic => Logistic,
        /// The error function.
        erf => Erf,
        /// The sine.
        sin => Sin,
        /// The cosine.
        cos => Cos,
        /// The largest whole number not above.
        floor => Floor,
        /// Logical or bitwise negation.
        not => Not,
    }

    binary_methods! {
        /// `x + y`.
        add => Add,
        /// `x - y`.
        sub => Sub,
        /// `x * y`.
        mul => Mul,
        /// `x / y`.
        div => Div,
        /// The larger.
        max => Max,
        /// The smaller.
        min => Min,
        /// `x` to the power `y`.
        pow => Pow,
        /// And.
        and => And,
        /// Or.
        or => Or,
        /// Exclusive or.
        xor => Xor,
        /// Shift left.
        shl => Shl,
        /// Logical shift right.
        shr => Shr,
    }

    /// `x + value`.
    #[track_caller]
    pub fn add_const(&mut self, x: Value, value: f64) -> Value {
        let constant = self.full_like(x, value);
        self.add(x, constant)
    }

    /// `x * value`.
    #[track_caller]
    pub fn mul_const(&mut self, x: Value, value: f64) -> Value {
        let constant = self.full_like(x, value);
        self.mul(x, constant)
    }

    /// `x * x`.
    #[track_caller]
    pub fn square(&mut self, x: Value) -> Value {
        self.mul(x, x)
    }

    /// `condition ? on_true : on_false`, elementwise, broadcasting scalar values.
    #[track_caller]
    pub fn select(&mut self, condition: Value, on_true: Value, on_false: Value) -> Value {
        let shape = self.ty(condition).shape.clone();
        let on_true = self.splat(on_true, shape.clone());
        let on_false = self.splat(on_false, shape);
        self.one(Op::Select, vec![condition, on_true, on_false])
    }

    /// Converts to another element type; nothing if it has that type already.
    #[track_caller]
    pub fn convert(&mut self, x: Value, dtype: DType) -> Value {
        if self.ty(x).dtype == dtype {
            return x;
        }
        self.one(Op::Convert { dtype }, vec![x])
    }

    /// Broadcasts: dimension `i` of `x` becomes dimension `dims[i]`.
    #[track_caller]
    pub fn broadcast(&mut self, x: Value, shape: impl Into<Shape>, dims: &[usize]) -> Value {
        self.one(Op::Broadcast { shape: shape.into(), dims: dims.to_vec() }, vec![x])
    }

    /// Broadcasts a scalar; any other value is returned as it is.
    #[track_caller]
    pub fn splat(&mut self, x: Value, shape: impl Into<Shape>) -> Value {
        let shape = shape.into();
        if self.ty(x).rank() > 0 || shape.rank() == 0 {
            return x;
        }
        self.broadcast(x, shape, &[])
    }

    /// The same elements in another shape; nothing if it has that shape already.
    #[track_caller]
    pub fn reshape(&mut self, x: Value, shape: impl Into<Shape>) -> Value {
        let shape = shape.into();
        if self.ty(x).shape == shape {
            return x;
        }
        self.one(Op::Reshape { shape }, vec![x])
    }

    /// Permutes the dimensions.
    #[track_caller]
    pub fn transpose(&mut self, x: Value, perm: &[usize]) -> Value {
        self.one(Op::Transpose { perm: perm.to_vec() }, vec![x])
    }

    /// Concatenates along a dimension.
    #[track_caller]
    pub fn concat(&mut self, operands: &[Value], dim: usize) -> Value {
        self.one(Op::Concat { dim }, operands.to_vec())
    }

    /// Reduces over `dims`; nothing if there are none.
    #[track_caller]
    pub fn reduce(&mut self, op: ReduceOp, x: Value, dims: &[usize]) -> Value {
        if dims.is_empty() {
            return x;
        }
        self.one(Op::Reduce { op, dims: dims.to_vec() }, vec![x])
    }

    /// The sum over `dims`.
    #[track_caller]
    pub fn sum(&mut self, x: Value, dims: &[usize]) -> Value {
        self.reduce(ReduceOp::Sum, x, dims)
    }

    /// A batched matrix product.
    #[track_caller]
    pub fn dot(&mut self, x: Value, y: Value, dims: DotDims) -> Value {
        self.one(Op::Dot(dims), vec![x, y])
    }

    /// The matrix product `[m,k] x [k,n]`.
    #[track_caller]
    pub fn matmul(&mut self, x: Value, y: Value) -> Value {
        self.dot(x, y, DotDims::matmul())
    }

    /// The slice of `x` with this index, a `u32[]`, along its first dimension, which vanishes. An index past the end
    /// takes the last one.
    #[track_caller]
    pub fn at(&mut self, x: Value, index: Value) -> Value {
        self.one(Op::At, vec![x, index])
    }

    /// The convolution of `x[n, spatial..., c]` with `kernel[window..., c / groups, o]`.
    #[track_caller]
    pub fn conv(&mut self, x: Value, kernel: Value, dims: ConvDims) -> Value {
        self.one(Op::Conv(dims), vec![x, kernel])
    }

    /// The slices of `x[n, w...]` with these indices `u32[k...]` along its first dimension: `[k..., w...]`.
    #[track_caller]
    pub fn take(&mut self, x: Value, indices: Value) -> Value {
        self.one(Op::Take, vec![x, indices])
    }

    /// `x[n, w...]` with the slices `[k..., w...]` added at their indices `u32[k...]`.
    #[track_caller]
    pub fn scatter_add(&mut self, x: Value, indices: Value, slices: Value) -> Value {
        self.one(Op::ScatterAdd, vec![x, indices, slices])
    }

    /// Random bits, a pure function of `state`: a `u64[2]` of a key and a counter (see [`Op::Philox`]).
    #[track_caller]
    pub fn philox(&mut self, state: Value, shape: impl Into<Shape>) -> Value {
        self.one(Op::Philox { shape: shape.into() }, vec![state])
    }

    /// Calls a function of `module`.
    #[track_caller]
    pub fn call(&mut self, module: &Module, callee: FuncId, operands: &[Value]) -> Vec<Value> {
        self.call_as(CallKind::Inline, module, callee, operands)
    }

    /// Calls a function of `module`, whose results are computed once and stored, never again in what uses them.
    #[track_caller]
    pub fn call_materialized(&mut self, module: &Module, callee: FuncId, operands: &[Value]) -> Vec<Value> {
        self.call_as(CallKind::Materialize, module, callee, operands)
    }

    /// Calls a function from elsewhere.
    #[track_caller]
    pub fn call_foreign(&mut self, foreign: &Arc<Foreign>, operands: &[Value]) -> Vec<Value> {
        let results = self.push(Op::Foreign(Arc::clone(foreign)), operands.to_vec(), None);
        self.fill(results, foreign.signature.results.len())
    }

    #[track_caller]
    fn call_as(&mut self, kind: CallKind, module: &Module, callee: FuncId, operands: &[Value]) -> Vec<Value> {
        let signature = module.functions.get(callee.index()).map(Function::signature);
        let wanted = signature.as_ref().map_or(1, |signature| signature.results.len());
        let results = self.push(Op::Call { callee, kind }, operands.to_vec(), signature.as_ref());
        self.fill(results, wanted)
    }

    /// Runs `body`, a function of `module` with parameters `(index: u32[], carried..., invariants...)`, for each index
    /// below `count`, a `u32[]`. Its results are the next carried values; the last ones are returned.
    #[track_caller]
    pub fn repeat(
        &mut self,
        module: &Module,
        body: FuncId,
        count: Value,
        carried: &[Value],
        invariants: &[Value],
    ) -> Vec<Value> {
        let signature = module.functions.get(body.index()).map(Function::signature);
        let op = Op::Loop { body, carried: carried.len() };
        let results = self.push(op, [&[count], carried, invariants].concat(), signature.as_ref());
        self.fill(results, carried.len())
    }

    /// As many values as `wanted`, where a mistake gave fewer.
    fn fill(&mut self, mut results: Vec<Value>, wanted: usize) -> Vec<Value> {
        while results.len() < wanted {
            results.push(self.stand_in(TensorType::scalar(DType::F32)));
        }
        results
    }

    /// Ends the function with these results.
    ///
    /// # Errors
    /// Every mistake made while building, in order.
    pub fn finish(mut self, results: &[Value]) -> Result<Function, BuildErrors> {
        self.function.results = results.to_vec();
        if self.errors.is_empty() { Ok(self.function) } else { Err(BuildErrors(self.errors)) }
    }
}

/// Every mistake made while building a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildErrors(pub Vec<BuildError>);

impl std::fmt::Display for BuildErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for BuildErrors {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infers_types_and_broadcasts_scalars() {
        let mut b = Builder::new("f");
        let x = b.param("x", TensorType::new(DType::F32, [2, 3]));
        let w = b.param("w", TensorType::new(DType::F32, [3, 4]));
        let s = b.param("s", TensorType::scalar(DType::F32));
        let y = b.matmul(x, w);
        let z = b.mul(y, s);
        assert_eq!(b.ty(z), &TensorType::new(DType::F32, [2, 4]));
        let function = b.finish(&[z]).unwrap();
        assert_eq!(function.insts.len(), 3);
    }

    #[test]
    fn collects_every_error_with_its_place() {
        let mut b = Builder::new("f");
        let x = b.param("x", TensorType::new(DType::F32, [2, 3]));
        let y = b.param("y", TensorType::new(DType::F32, [3, 2]));
        let first = b.add(x, y);
        b.matmul(x, x);
        let errors = b.finish(&[first]).unwrap_err();
        assert_eq!(errors.0.len(), 2);
        let text = errors.to_string();
        assert!(
            text.contains("add of f32[2,3] and f32[3,2]") && text.contains("(operands: %x, %y)"),
            "{text}"
        );
        assert!(text.contains("build.rs:"), "{text}");
    }

    #[test]
    fn what_no_loop_can_repeat_is_an_error() {
        let scalar = |dtype| TensorType::scalar(dtype);
        let body = |params: &[TensorType], results: &[usize]| {
            let mut module = Module::new("m");
            let mut b = Builder::new("body");
            let names = ["a", "b", "c"];
            let params: Vec<Value> =
                params.iter().zip(names).map(|(ty, name)| b.param(name, ty.clone())).collect();
            let results: Vec<Value> = results.iter().map(|&index| params[index]).collect();
            let body = module.push(b.finish(&results).unwrap());
            (module, body)
        };
        let (u32s, f32s) = (scalar(DType::U32), scalar(DType::F32));
        for (params, results, wanted) in [
            (
                vec![f32s.clone(), f32s.clone()],
                vec![1],
                "operand 0 of loop is u32[] but the parameter is f32[]",
            ),
            (vec![u32s.clone(), f32s.clone()], vec![1, 1], "carries 1 values has a body with 2 results"),
            (vec![u32s.clone(), f32s.clone()], vec![0], "makes u32[] of carried value 0, a f32[]"),
            (vec![u32s.clone()], vec![0], "loop takes 1 operands but has 2"),
        ] {
            let (module, body) = body(&params, &results);
            let mut b = Builder::new("f");
            let count = b.param("count", u32s.clone());
            let x = b.param("x", f32s.clone());
            let results = b.repeat(&module, body, count, &[x], &[]);
            assert_eq!(results.len(), 1);
            let errors = b.finish(&results).unwrap_err().to_string();
            assert!(errors.contains(wanted), "{errors}");
        }
    }

    #[test]
    fn repeated_names_get_numbers() {
        let mut b = Builder::new("f");
        let x = b.param("x", TensorType::scalar(DType::F32));
        let y = b.neg(x);
        b.name(y, "x");
        assert_eq!(b.function().label(y), "%x.2");
    }
}
