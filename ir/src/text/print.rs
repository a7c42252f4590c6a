//! Prints modules and functions.

use std::fmt::{self, Write};

use crate::attributes::Attribute;
use crate::graph::{FuncId, Function, InstData, Module, Value};
use crate::literal::{Elements, Literal, Scalar};
use crate::op::Op;
use crate::types::DType;
use crate::verify::valid_name;

/// The textual form of a module. An unverified module is printed as well as it can be; handles that point
/// nowhere are then written as `%index` and `@?index`.
pub fn print(module: &Module) -> String {
    module.to_string()
}

/// The textual form of one function of a module, or nothing if the module has no such function.
pub fn print_function(module: &Module, function: FuncId) -> String {
    match module.functions.get(function.index()) {
        Some(function) => FunctionText { module, function }.to_string(),
        None => String::new(),
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "module {}", symbol(&self.name))?;
        for function in &self.functions {
            write!(f, "\n{}", FunctionText { module: self, function })?;
        }
        Ok(())
    }
}

struct FunctionText<'a> {
    module: &'a Module,
    function: &'a Function,
}

impl fmt::Display for FunctionText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let function = self.function;
        let displaced = displaced(function);
        let define = |value: &Value| {
            let slot = if displaced.get(value.index()) == Some(&true) {
                format!("#{}", value.index())
            } else {
                String::new()
            };
            format!("{}{slot}: {}", function.label(*value), type_of(function, *value))
        };
        let params: Vec<String> = function.params.iter().map(define).collect();
        let results: Vec<String> = function.results.iter().map(|&value| type_of(function, value)).collect();
        writeln!(f, "func {}({}) -> ({}) {{", symbol(&function.name), params.join(", "), results.join(", "))?;
        for inst in &function.insts {
            let defined: Vec<String> = inst.results.iter().map(define).collect();
            let equals = if defined.is_empty() { "" } else { " = " };
            write!(f, "  {}{equals}", defined.join(", "))?;
            self.write_operation(f, inst)?;
            if !inst.scope.is_empty() {
                write!(f, " @{}", quoted(&inst.scope))?;
            }
            f.write_str("\n")?;
        }
        let results = self.labels(&function.results);
        writeln!(f, "  return{}{results}\n}}", if results.is_empty() { "" } else { " " })
    }
}

impl FunctionText<'_> {
    fn labels(&self, values: &[Value]) -> String {
        let labels: Vec<String> = values.iter().map(|&value| self.function.label(value)).collect();
        labels.join(", ")
    }

    fn write_operation(&self, f: &mut fmt::Formatter<'_>, inst: &InstData) -> fmt::Result {
        f.write_str(inst.op.name())?;
        let operands = self.labels(&inst.operands);
        if let Some(callee) = inst.op.callee() {
            let callee = match self.module.functions.get(callee.index()) {
                Some(function) => symbol(&function.name),
                None => format!("@?{}", callee.index()),
            };
            if let Op::Call { kind, .. } = inst.op
                && let Some(word) = kind.word()
            {
                write!(f, " {word}")?;
            }
            return write!(f, " {callee}({operands})");
        }
        if !operands.is_empty() {
            write!(f, " {operands}")?;
        }
        match &inst.op {
            Op::Constant(literal) => return write!(f, " {{{}}}", elements(literal)),
            Op::Foreign(foreign) => return write!(f, " {{symbol = {}}}", symbol(&foreign.symbol)),
            _ => {}
        }
        let attributes = inst.op.attributes();
        let attributes = attributes.iter().map(|(name, value)| format!("{name} = {}", attribute(value)));
        let attributes: Vec<String> = attributes.collect();
        if attributes.is_empty() { Ok(()) } else { write!(f, " {{{}}}", attributes.join(", ")) }
    }
}

/// Which values do not sit in the next free slot of the arena: the others, in order of definition, have
/// increasing indices.
fn displaced(function: &Function) -> Vec<bool> {
    let mut displaced = vec![false; function.values.len()];
    let mut next = 0;
    for (position, param) in function.params.iter().enumerate() {
        if param.index() == position {
            next = position + 1;
        } else if let Some(flag) = displaced.get_mut(param.index()) {
            *flag = true;
        }
    }
    for result in function.insts.iter().flat_map(|inst| &inst.results) {
        if result.index() >= next {
            next = result.index() + 1;
        } else if let Some(flag) = displaced.get_mut(result.index()) {
            *flag = true;
        }
    }
    displaced
}

fn type_of(function: &Function, value: Value) -> String {
    function.values.get(value.index()).map_or("?".to_string(), |data| data.ty.to_string())
}

fn attribute(value: &Attribute) -> String {
    match value {
        Attribute::Number(number) => number.to_string(),
        Attribute::Numbers(numbers) => list(numbers),
        Attribute::Integers(integers) => list(integers),
        Attribute::Pair(left, right) => format!("{} x {}", list(left), list(right)),
    }
}

fn list<T: ToString>(numbers: &[T]) -> String {
    let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(", "))
}

fn elements(literal: &Literal) -> String {
    match &literal.elements {
        Elements::Splat(element) => scalar(literal.ty.dtype, *element),
        Elements::Dense(elements) => {
            let elements: Vec<String> =
                elements.iter().map(|&element| scalar(literal.ty.dtype, element)).collect();
            format!("[{}]", elements.join(", "))
        }
    }
}

fn scalar(dtype: DType, element: Scalar) -> String {
    match element {
        Scalar::Int(value) => value.to_string(),
        Scalar::Bool(value) => value.to_string(),
        Scalar::Float(value) if value.to_bits() == f64::NAN.to_bits() => "nan".to_string(),
        Scalar::Float(value) if value.is_nan() => format!("nan({:#x})", value.to_bits()),
        // The shortest digits that identify the value among those of single precision.
        Scalar::Float(value) if dtype != DType::F64 && f64::from(value as f32) == value => {
            format!("{:?}", value as f32)
        }
        Scalar::Float(value) => format!("{value:?}"),
    }
}

fn symbol(name: &str) -> String {
    if valid_name(name) { format!("@{name}") } else { format!("@{}", quoted(name)) }
}

fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // A string cannot be written to in vain.
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
