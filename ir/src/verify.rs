//! The invariants of the IR, and the verifier that checks them.

mod fused;

use std::collections::HashSet;
use std::fmt;

use crate::graph::{Def, Function, Module, Origin, Value};
use crate::infer::{Signature, infer};
use crate::types::TensorType;

/// What must hold of every module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// Function names are valid and unique in the module.
    FunctionName,
    /// Value names are valid and unique in the function, and every parameter has one.
    ValueName,
    /// Scope paths contain only what names may contain.
    ScopeName,
    /// Handles point into their arenas.
    Handle,
    /// A value's definition and the list that it is defined in point at each other; each value has exactly one
    /// definition.
    Definition,
    /// An operand is a parameter or the result of an earlier instruction.
    Dominance,
    /// A call or loop names an earlier function of the module.
    CallOrder,
    /// Operand types and attributes satisfy the operation's type rule.
    TypeRule,
    /// Recorded result types are those that the type rule gives.
    ResultType,
    /// What a fused call names is a loop over the elements of its result: elementwise operations, constants of one
    /// element, indices and broadcasts of scalars, on scalars and tensors of the result's shape.
    FusedBody,
    /// Every value has fewer than 2^48 elements.
    Size,
}

impl Invariant {
    /// The invariant in words.
    pub fn describe(self) -> &'static str {
        match self {
            Invariant::FunctionName => "function names are valid and unique",
            Invariant::ValueName => "value names are valid and unique, and parameters have one",
            Invariant::ScopeName => "scope paths contain only what names may contain",
            Invariant::Handle => "handles point into their arenas",
            Invariant::Definition => "each value has exactly one definition",
            Invariant::Dominance => "operands are defined before they are used",
            Invariant::CallOrder => "calls and loops name earlier functions",
            Invariant::TypeRule => "operands satisfy the operation's type rule",
            Invariant::ResultType => "recorded types are the inferred ones",
            Invariant::FusedBody => {
                "fused functions compute each element from scalars and the elements in its place"
            }
            Invariant::Size => "values have fewer than 2^48 elements",
        }
    }
}

/// One violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Violation {
    /// The function.
    pub function: String,
    /// The value concerned, as it is written, e.g. `%layers.0.weight`.
    pub value: Option<String>,
    /// Where the instruction concerned was made.
    pub origin: Origin,
    /// The invariant.
    pub invariant: Invariant,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "function `{}`", self.function)?;
        if let Some(value) = &self.value {
            write!(f, ", value {value}")?;
        }
        write!(f, " (made at {}): {} [{}]", self.origin, self.message, self.invariant.describe())
    }
}

/// Every violation found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violations(pub Vec<Violation>);

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for Violations {}

/// A module that the verifier has accepted. Lowering asks for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified(Module);

impl Verified {
    /// The module.
    pub fn module(&self) -> &Module {
        &self.0
    }

    /// Gives the module back, to be changed and verified again.
    pub fn into_module(self) -> Module {
        self.0
    }
}

/// Whether a name may be given to a value or function: letters, digits, `_`, `.` and `/`, not starting with a digit.
pub fn valid_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && valid_path(name)
}

fn valid_path(path: &str) -> bool {
    !path.is_empty() && path.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/'))
}

/// Checks every invariant.
///
/// # Errors
/// Every violation, not only the first.
pub fn verify(module: Module) -> Result<Verified, Violations> {
    let mut violations = Vec::new();
    let mut names = HashSet::new();
    let mut callees: Vec<Option<Callee>> = Vec::new();
    for function in &module.functions {
        let mut checker = Checker { function, callees: &callees, violations: Vec::new() };
        if !valid_name(&function.name) || !names.insert(function.name.as_str()) {
            let message = format!("the function name `{}` is invalid or taken", function.name);
            checker.report(None, Origin::Unknown, Invariant::FunctionName, message);
        }
        checker.check();
        let found = checker.violations;
        let body = found.is_empty().then_some(function);
        callees.push(signature_if_sound(function).map(|signature| Callee { signature, body }));
        violations.extend(found);
    }
    if violations.is_empty() { Ok(Verified(module)) } else { Err(Violations(violations)) }
}

/// Checks a single function that calls no other, as [`verify`] does.
///
/// # Errors
/// Every violation, not only the first.
pub fn verify_function(function: &Function) -> Result<(), Violations> {
    let mut checker = Checker { function, callees: &[], violations: Vec::new() };
    checker.check();
    if checker.violations.is_empty() { Ok(()) } else { Err(Violations(checker.violations)) }
}

fn signature_if_sound(function: &Function) -> Option<Signature> {
    let in_range = |value: &&Value| value.index() < function.values.len();
    let sound = function.params.iter().chain(&function.results).all(|value| in_range(&value));
    sound.then(|| function.signature())
}

/// A function that later ones may call or repeat.
struct Callee<'a> {
    signature: Signature,
    /// The function, if nothing is wrong with it.
    body: Option<&'a Function>,
}

struct Checker<'a> {
    function: &'a Function,
    /// The functions before it; none where even the signature is wrong.
    callees: &'a [Option<Callee<'a>>],
    violations: Vec<Violation>,
}

impl Checker<'_> {
    fn report(&mut self, value: Option<Value>, origin: Origin, invariant: Invariant, message: String) {
        let function = self.function.name.clone();
        let value = value.map(|value| self.function.label(value));
        self.violations.push(Violation { function, value, origin, invariant, message });
    }

    fn origin_of(&self, value: Value) -> Origin {
        match self.function.values.get(value.index()).map(|data| data.def) {
            Some(Def::Result { inst, .. }) => {
                self.function.insts.get(inst.index()).map_or(Origin::Unknown, |data| data.origin)
            }
            Some(Def::Param(_)) | None => Origin::Unknown,
        }
    }

    fn check(&mut self) {
        self.check_names();
        self.check_definitions();
        self.check_instructions();
        for &result in &self.function.results {
            if result.index() >= self.function.values.len() {
                self.report(Some(result), Origin::Unknown, Invariant::Handle, "no such result".to_string());
            }
        }
    }

    fn check_names(&mut self) {
        let mut names = HashSet::new();
        for (index, data) in self.function.values.iter().enumerate() {
            let value = Value::from_index(index);
            let origin = self.origin_of(value);
            match &data.name {
                Some(name) if !valid_name(name) => {
                    self.report(
                        Some(value),
                        origin,
                        Invariant::ValueName,
                        format!("`{name}` is no valid name"),
                    );
                }
                Some(name) if !names.insert(name.as_str()) => {
                    self.report(
                        Some(value),
                        origin,
                        Invariant::ValueName,
                        format!("the name `{name}` is taken"),
                    );
                }
                None if matches!(data.def, Def::Param(_)) => {
                    let message = "a parameter without a name".to_string();
                    self.report(Some(value), origin, Invariant::ValueName, message);
                }
                Some(_) | None => {}
            }
            if data.ty.shape.checked_elements().is_none() {
                self.report(
                    Some(value),
                    origin,
                    Invariant::Size,
                    format!("{} has too many elements", data.ty),
                );
            }
        }
    }

    /// Each value is listed exactly once, by the parameter list or by the instruction that it names.
    fn check_definitions(&mut self) {
        let mut listed = vec![0usize; self.function.values.len()];
        let params =
            self.function.params.iter().enumerate().map(|(index, &value)| (value, Def::Param(index)));
        let results = self.function.insts.iter().enumerate().flat_map(|(inst, data)| {
            let inst = crate::graph::Inst::from_index(inst);
            data.results.iter().enumerate().map(move |(index, &value)| (value, Def::Result { inst, index }))
        });
        for (value, def) in params.chain(results).collect::<Vec<_>>() {
            match self.function.values.get(value.index()) {
                None => {
                    self.report(Some(value), Origin::Unknown, Invariant::Handle, "no such value".to_string())
                }
                Some(data) => {
                    listed[value.index()] += 1;
                    if data.def != def {
                        let message = format!("listed as {def:?} but defined as {:?}", data.def);
                        self.report(Some(value), self.origin_of(value), Invariant::Definition, message);
                    }
                }
            }
        }
        for (index, count) in listed.into_iter().enumerate() {
            if count != 1 {
                let value = Value::from_index(index);
                let message = format!("defined {count} times");
                self.report(Some(value), self.origin_of(value), Invariant::Definition, message);
            }
        }
    }

    fn check_instructions(&mut self) {
        let mut defined = vec![false; self.function.values.len()];
        for &param in &self.function.params {
            if let Some(seen) = defined.get_mut(param.index()) {
                *seen = true;
            }
        }
        let function = self.function;
        for data in &function.insts {
            let value = data.results.first().copied();
            if !data.scope.is_empty() && !valid_path(&data.scope) {
                let message = format!("`{}` is no valid scope", data.scope);
                self.report(value, data.origin, Invariant::ScopeName, message);
            }
            let mut operand_types: Vec<&TensorType> = Vec::with_capacity(data.operands.len());
            for &operand in &data.operands {
                match defined.get(operand.index()) {
                    None => {
                        let message = format!("operand {} does not exist", function.label(operand));
                        self.report(value, data.origin, Invariant::Handle, message);
                    }
                    Some(false) => {
                        let message = format!("operand {} is not defined before", function.label(operand));
                        self.report(value, data.origin, Invariant::Dominance, message);
                        operand_types.push(function.ty(operand));
                    }
                    Some(true) => operand_types.push(function.ty(operand)),
                }
            }
            if operand_types.len() == data.operands.len() {
                self.check_types(data, &operand_types);
            }
            for &result in &data.results {
                if let Some(seen) = defined.get_mut(result.index()) {
                    *seen = true;
                }
            }
        }
        for &result in &function.results {
            if defined.get(result.index()) == Some(&false) {
                let message = "returned but never defined".to_string();
                self.report(Some(result), Origin::Unknown, Invariant::Dominance, message);
            }
        }
    }

    fn check_types(&mut self, data: &crate::graph::InstData, operand_types: &[&TensorType]) {
        let function = self.function;
        let value = data.results.first().copied();
        let callee = match data.op.callee() {
            Some(callee) => match self.callees.get(callee.index()) {
                Some(Some(callee)) => Some(callee),
                Some(None) => return,
                None => {
                    let (name, index) = (data.op.name(), callee.index());
                    let message = format!("{name} of function {index}, which is not before it");
                    self.report(value, data.origin, Invariant::CallOrder, message);
                    return;
                }
            },
            None => None,
        };
        if data.op.fused().is_some()
            && let Some(body) = callee.and_then(|callee| callee.body)
        {
            for fault in fused::faults(body) {
                let message = format!("in the fused function `{}`, {fault}", body.name);
                self.report(value, data.origin, Invariant::FusedBody, message);
            }
        }
        match infer(&data.op, operand_types, callee.map(|callee| &callee.signature)) {
            Err(error) => self.report(value, data.origin, Invariant::TypeRule, error.to_string()),
            Ok(inferred) => {
                let known =
                    |value: &Value| function.values.get(value.index()).map(|data| data.ty.to_string());
                let recorded: Vec<Option<String>> = data.results.iter().map(known).collect();
                let wanted: Vec<Option<String>> = inferred.iter().map(|ty| Some(ty.to_string())).collect();
                if recorded != wanted {
                    let list = |types: &[Option<String>]| {
                        let types: Vec<&str> =
                            types.iter().map(|ty| ty.as_deref().unwrap_or("nothing")).collect();
                        types.join(", ")
                    };
                    let message =
                        format!("{} gives {}, not {}", data.op.name(), list(&wanted), list(&recorded));
                    self.report(value, data.origin, Invariant::ResultType, message);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Builder;
    use crate::graph::FuncId;
    use crate::op::{CallKind, Op};
    use crate::types::DType;

    fn sample() -> Module {
        let mut module = Module::new("m");
        let ty = TensorType::new(DType::F32, [2, 3]);
        let mut b = Builder::new("inner");
        let x = b.param("x", ty.clone());
        let y = b.scoped("act", |b| b.tanh(x));
        let inner = module.push(b.finish(&[y]).unwrap());
        let mut b = Builder::new("main");
        let x = b.param("x", ty);
        let y = b.call(&module, inner, &[x])[0];
        let z = b.add(x, y);
        b.name(z, "sum");
        let main = b.finish(&[z]).unwrap();
        module.push(main);
        module
    }

    fn found(change: impl FnOnce(&mut Module)) -> Vec<Invariant> {
        let mut module = sample();
        change(&mut module);
        match verify(module) {
            Ok(_) => Vec::new(),
            Err(violations) => violations.0.into_iter().map(|violation| violation.invariant).collect(),
        }
    }

    #[test]
    fn accepts_a_sound_module() {
        assert_eq!(found(|_| {}), []);
    }

    #[test]
    fn each_invariant_is_checked() {
        let ghost = Value::from_index(99);
        assert_eq!(found(|m| m.functions[1].name = "inner".into()), [Invariant::FunctionName]);
        assert_eq!(found(|m| m.functions[1].values[0].name = None), [Invariant::ValueName]);
        assert_eq!(found(|m| m.functions[1].values[1].name = Some("sum".into())), [Invariant::ValueName]);
        assert_eq!(found(|m| m.functions[0].insts[0].scope = "a b".into()), [Invariant::ScopeName]);
        assert_eq!(found(|m| m.functions[1].insts[1].operands[0] = ghost), [Invariant::Handle]);
        assert_eq!(found(|m| m.functions[1].results.push(ghost)), [Invariant::Handle]);
        assert_eq!(
            found(|m| m.functions[1].values[1].def = Def::Param(0)),
            [Invariant::ValueName, Invariant::Definition]
        );
        assert_eq!(
            found(|m| {
                let own = m.functions[1].insts[1].results[0];
                m.functions[1].insts[1].operands[0] = own;
            }),
            [Invariant::Dominance]
        );
        assert_eq!(
            found(|m| m.functions[0].insts[0].op =
                Op::Call { callee: FuncId::from_index(0), kind: CallKind::Inline }),
            [Invariant::CallOrder]
        );
        assert_eq!(found(|m| m.functions[1].insts[1].op = Op::Select), [Invariant::TypeRule]);
        assert_eq!(
            found(|m| m.functions[0].values[1].ty.dtype = DType::F64),
            [Invariant::ResultType, Invariant::ResultType]
        );
        let huge = TensorType::new(DType::F32, [1 << 30, 1 << 30]);
        assert!(found(|m| m.functions[0].values[1].ty = huge).contains(&Invariant::Size));
    }

    #[test]
    fn reports_every_violation_with_name_and_place() {
        let mut module = sample();
        module.functions[0].values[1].ty.dtype = DType::F64;
        module.functions[1].insts[1].op = Op::Select;
        let text = verify(module).unwrap_err().to_string();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("value %sum (made at ") && text.contains("verify.rs:"), "{text}");
    }
}
