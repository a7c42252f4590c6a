//! Functions as arenas of instructions and values, and modules of functions.

use std::collections::HashMap;
use std::fmt;
use std::panic::Location;

use crate::infer::Signature;
use crate::op::Op;
use crate::types::TensorType;

/// Handle of a value of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(u32);

/// Handle of an instruction of a function. Instructions run in the order of their handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Inst(u32);

/// Handle of a function of a module. A function calls and repeats only functions before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FuncId(u32);

macro_rules! handle {
    ($($name:ident),*) => {
        $(impl $name {
            /// The handle with this index.
            pub fn from_index(index: usize) -> $name {
                $name(u32::try_from(index).unwrap_or(u32::MAX))
            }

            /// The index into the arena.
            pub fn index(self) -> usize {
                self.0 as usize
            }
        })*
    };
}
handle!(Value, Inst, FuncId);

/// Where an instruction was made. Never part of equality.
#[derive(Clone, Copy, Debug, Default)]
pub enum Origin {
    /// Not known.
    #[default]
    Unknown,
    /// A line of Rust code that called the builder.
    Code(&'static Location<'static>),
    /// A line of the textual form, from one.
    Text(usize),
}

impl PartialEq for Origin {
    fn eq(&self, _: &Origin) -> bool {
        true
    }
}

impl Eq for Origin {}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Unknown => f.write_str("an unknown place"),
            Origin::Code(location) => write!(f, "{}:{}", location.file(), location.line()),
            Origin::Text(line) => write!(f, "line {line}"),
        }
    }
}

/// What defines a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Def {
    /// The parameter with this index.
    Param(usize),
    /// A result of an instruction.
    Result {
        /// The instruction.
        inst: Inst,
        /// Which of its results.
        index: usize,
    },
}

/// A value: its type, definition and optional name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueData {
    /// Its type.
    pub ty: TensorType,
    /// What defines it.
    pub def: Def,
    /// Its name, unique in the function: letters, digits, `_`, `.` and `/`, not starting with a digit.
    pub name: Option<String>,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstData {
    /// The operation with its attributes.
    pub op: Op,
    /// The operands.
    pub operands: Vec<Value>,
    /// The results: one, except for calls and loops.
    pub results: Vec<Value>,
    /// The path of builder scopes that it was made in, e.g. `layers.0`; empty outside all scopes.
    pub scope: String,
    /// Where it was made.
    pub origin: Origin,
}

/// A function: typed parameters, instructions in order, results.
///
/// The fields are open so that passes and mutation tests can rewrite them; [`mod@crate::verify`] says what must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Its name, unique in the module.
    pub name: String,
    /// The values that are parameters, in order. Every parameter has a name.
    pub params: Vec<Value>,
    /// The arena of values.
    pub values: Vec<ValueData>,
    /// The arena of instructions, in the order that they run in.
    pub insts: Vec<InstData>,
    /// The values returned.
    pub results: Vec<Value>,
}

impl Function {
    /// The data of a value.
    pub fn value(&self, value: Value) -> &ValueData {
        &self.values[value.index()]
    }

    /// The type of a value.
    pub fn ty(&self, value: Value) -> &TensorType {
        &self.values[value.index()].ty
    }

    /// The data of an instruction.
    pub fn inst(&self, inst: Inst) -> &InstData {
        &self.insts[inst.index()]
    }

    /// The instruction that defines a value, unless it is a parameter.
    pub fn def_inst(&self, value: Value) -> Option<&InstData> {
        match self.value(value).def {
            Def::Param(_) => None,
            Def::Result { inst, .. } => self.insts.get(inst.index()),
        }
    }

    /// The parameter with this name, if there is one.
    pub fn param(&self, name: &str) -> Option<Value> {
        self.params.iter().copied().find(|&param| self.value(param).name.as_deref() == Some(name))
    }

    /// How the value is written: `%name`, or `%12` by its index.
    pub fn label(&self, value: Value) -> String {
        match self.values.get(value.index()).and_then(|data| data.name.as_deref()) {
            Some(name) => format!("%{name}"),
            None => format!("%{}", value.index()),
        }
    }

    /// Adds a parameter of this type and name, after those that are there.
    pub fn add_param(&mut self, ty: TensorType, name: Option<String>) -> Value {
        let value = Value::from_index(self.values.len());
        self.values.push(ValueData { ty, def: Def::Param(self.params.len()), name });
        self.params.push(value);
        value
    }

    /// A function of this one's name and parameters without instructions, and the new value of each parameter: where a
    /// copy begins that [`append_copy`](Function::append_copy) goes on with.
    pub fn begin_copy(&self) -> (Function, HashMap<Value, Value>) {
        let mut new = Function { name: self.name.clone(), ..Function::default() };
        let copied = |&param: &Value| {
            let ValueData { ty, name, .. } = self.value(param).clone();
            (param, new.add_param(ty, name))
        };
        let map = self.params.iter().map(copied).collect();
        (new, map)
    }

    /// Appends an instruction of another function. Its operands are looked up in `map`, where its results are added; they keep
    /// their types and names.
    pub fn append_copy(&mut self, from: &Function, inst: &InstData, map: &mut HashMap<Value, Value>) {
        let operands = inst.operands.iter().map(|operand| map[operand]).collect();
        let results = inst.results.iter().map(|&result| {
            let ValueData { ty, name, .. } = from.value(result).clone();
            (ty, name)
        });
        let made = self.append(InstData { operands, ..inst.clone() }, results);
        map.extend(inst.results.iter().copied().zip(made));
    }

    /// Appends an instruction whose results, in the place of those that `inst` has, are new values of these types and names.
    ///
    /// What is appended is not checked: [`mod@crate::verify`] says what must hold.
    pub fn append(
        &mut self,
        inst: InstData,
        results: impl IntoIterator<Item = (TensorType, Option<String>)>,
    ) -> Vec<Value> {
        let handle = Inst::from_index(self.insts.len());
        let first = self.values.len();
        let defined = results.into_iter().enumerate().map(|(index, (ty, name))| ValueData {
            ty,
            def: Def::Result { inst: handle, index },
            name,
        });
        self.values.extend(defined);
        let results: Vec<Value> = (first..self.values.len()).map(Value::from_index).collect();
        self.insts.push(InstData { results: results.clone(), ..inst });
        results
    }

    /// Parameter and result types.
    pub fn signature(&self) -> Signature {
        let types = |values: &[Value]| values.iter().map(|&value| self.ty(value).clone()).collect();
        Signature { params: types(&self.params), results: types(&self.results) }
    }
}

/// A list of functions; the last one is the entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The functions, callees before callers.
    pub functions: Vec<Function>,
}

impl Module {
    /// An empty module.
    pub fn new(name: impl Into<String>) -> Module {
        Module { name: name.into(), functions: Vec::new() }
    }

    /// Adds a function and returns its handle.
    pub fn push(&mut self, function: Function) -> FuncId {
        self.functions.push(function);
        FuncId::from_index(self.functions.len() - 1)
    }

    /// A function.
    pub fn function(&self, id: FuncId) -> &Function {
        &self.functions[id.index()]
    }

    /// The function with this name, if there is one.
    pub fn by_name(&self, name: &str) -> Option<FuncId> {
        self.functions.iter().position(|function| function.name == name).map(FuncId::from_index)
    }

    /// The entry: the last function, if there is any.
    pub fn entry(&self) -> Option<&Function> {
        self.functions.last()
    }
}
