//! Builds the mapped function.

use super::{Mapped, with_rows};
use crate::graph::{Def, Function, Inst, InstData, Origin, Value, ValueData};
use crate::infer::infer;
use crate::literal::Literal;
use crate::op::Op;
use crate::types::TensorType;

/// The mapped function so far, and what became of the values of the original one.
pub(super) struct Emitter {
    function: Function,
    /// The size of the new dimension.
    pub size: usize,
    /// For each original value, what it is mapped to.
    mapped: Vec<Option<Mapped>>,
    /// For each original value without rows, its broadcast over them, once it was needed.
    spread: Vec<Option<Value>>,
    scope: String,
    origin: Origin,
}

/// Why an instruction cannot be made: where its original was made, and what is wrong.
pub(super) type Refused = (Origin, String);

impl Emitter {
    /// The start of a mapping of a function with this many values.
    pub fn new(name: String, values: usize, size: usize) -> Emitter {
        Emitter {
            function: Function { name, ..Function::default() },
            size,
            mapped: vec![None; values],
            spread: vec![None; values],
            scope: String::new(),
            origin: Origin::Unknown,
        }
    }

    /// Gives the instructions that follow the place and the scope of `inst`.
    pub fn follow(&mut self, inst: &InstData) {
        self.origin = inst.origin;
        self.scope.clone_from(&inst.scope);
    }

    /// Leaves the scopes of the original instructions.
    pub fn follow_none(&mut self) {
        self.origin = Origin::Unknown;
        self.scope.clear();
    }

    /// Adds the parameter that the original one is mapped to.
    pub fn param(&mut self, original: Value, data: &ValueData, batched: bool) -> Result<(), Refused> {
        let ty = if batched { with_rows(&data.ty, self.size) } else { data.ty.clone() };
        if ty.shape.checked_elements().is_none() {
            let name = data.name.as_deref().unwrap_or_default();
            return Err((
                self.origin,
                format!("the parameter %{name} would be {ty}, which has too many elements"),
            ));
        }
        let value = self.function.add_param(ty, data.name.clone());
        self.mapped[original.index()] = Some((value, batched));
        Ok(())
    }

    /// Notes what an original value is mapped to. The new value takes its name.
    pub fn define(&mut self, original: Value, value: Value, batched: bool, name: Option<&str>) {
        self.mapped[original.index()] = Some((value, batched));
        self.function.values[value.index()].name = name.map(str::to_string);
    }

    /// Appends a result.
    pub fn returns(&mut self, value: Value) {
        self.function.results.push(value);
    }

    pub fn ty(&self, value: Value) -> &TensorType {
        self.function.ty(value)
    }

    /// What an original value is mapped to.
    pub fn get(&self, original: Value) -> Mapped {
        // The function is verified, so that operands are defined before they are used.
        self.mapped[original.index()].unwrap_or((Value::from_index(0), false))
    }

    /// What an original value is mapped to, with the new dimension.
    pub fn rows(&mut self, original: Value) -> Result<Value, Refused> {
        let (value, batched) = self.get(original);
        if batched {
            return Ok(value);
        }
        if let Some(spread) = self.spread[original.index()] {
            return Ok(spread);
        }
        let ty = with_rows(self.ty(value), self.size);
        let spread =
            self.emit(Op::Broadcast { dims: (1..ty.rank()).collect(), shape: ty.shape }, vec![value])?;
        self.spread[original.index()] = Some(spread);
        Ok(spread)
    }

    /// Why the instructions that follow an original one cannot be made.
    pub fn refuse(&self, message: String) -> Refused {
        (self.origin, message)
    }

    /// Appends an instruction with one result.
    pub fn emit(&mut self, op: Op, operands: Vec<Value>) -> Result<Value, Refused> {
        let types: Vec<&TensorType> = operands.iter().map(|&operand| self.function.ty(operand)).collect();
        let mut types = infer(&op, &types, None).map_err(|error| self.refuse(error.to_string()))?;
        let ty = types.pop().ok_or_else(|| self.refuse(format!("{} has no result", op.name())))?;
        let inst = Inst::from_index(self.function.insts.len());
        let result = Value::from_index(self.function.values.len());
        self.function.values.push(ValueData { ty, def: Def::Result { inst, index: 0 }, name: None });
        let (scope, origin) = (self.scope.clone(), self.origin);
        self.function.insts.push(InstData { op, operands, results: vec![result], scope, origin });
        Ok(result)
    }

    /// The constant with `value` everywhere.
    pub fn full(&mut self, ty: TensorType, value: f64) -> Result<Value, Refused> {
        self.emit(Op::Constant(Literal::splat(ty, value)), Vec::new())
    }

    /// Ends the function.
    pub fn finish(self) -> Function {
        self.function
    }
}
