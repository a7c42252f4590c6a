//! Copies a program into the context whose dialects describe StableHLO, for MLIR to verify it there.
//!
//! The copy is for the verifier alone. Attributes that only StableHLO's own dialect could read are strings in it, and
//! operations that no description fits are of the dialect `unchecked`, which MLIR does not know.

use std::collections::HashMap;

use melior::Context;
use melior::ir::attribute::StringAttribute;
use melior::ir::operation::{Operation, OperationBuilder, OperationLike, OperationRef};
use melior::ir::{
    Attribute, Block, BlockLike, BlockRef, Identifier, Location, Module, Region, RegionLike, RegionRef, Type,
    Value, ValueLike,
};

use super::attributes::{attribute_of, name_of};
use super::operations::{self, CALL, Kind, OPEN};
use super::{Origin, check, operations_of, place};
use crate::lower::{CONVOLUTION, PRODUCT};

/// What functions have that is of use to the verifier: their types, and what refers to them.
const OF_FUNCTIONS: [&str; 4] = ["sym_name", "sym_visibility", "function_type", "callee"];

/// Why an operation is not copied.
enum Uncopied {
    Fault(String),
    /// One that it takes a value of was not copied.
    Follows,
}

impl From<String> for Uncopied {
    fn from(fault: String) -> Uncopied {
        Uncopied::Fault(fault)
    }
}

pub(super) struct Copy<'t> {
    context: &'t Context,
    described: HashMap<String, operations::Operation>,
    origin: Origin,
    /// By the value that each is a copy of.
    values: HashMap<usize, Value<'t, 't>>,
    types: HashMap<String, Type<'t>>,
    faults: Vec<String>,
    /// Whether every operation so far has a copy.
    is_whole: bool,
}

impl<'t> Copy<'t> {
    pub fn new(context: &'t Context, described: &[operations::Operation], origin: Origin) -> Copy<'t> {
        let described =
            described.iter().map(|operation| (operation.name.to_string(), operation.clone())).collect();
        Copy {
            context,
            described,
            origin,
            values: HashMap::new(),
            types: HashMap::new(),
            faults: Vec::new(),
            is_whole: true,
        }
    }

    /// What is wrong that MLIR cannot know, each with its place, and whether every operation has a copy.
    pub fn finish(self) -> (Vec<String>, bool) {
        (self.faults, self.is_whole)
    }

    /// The copy of a module.
    pub fn module(&mut self, module: &Module<'_>) -> Module<'t> {
        let copy = Module::new(Location::unknown(self.context));
        for operation in operations_of(module.body()) {
            if let Some(made) = self.operation(operation) {
                copy.body().append_operation(made);
            }
        }
        copy
    }

    /// The copy of an operation with all that is in it. None where it cannot be copied, which is a fault.
    fn operation(&mut self, from: OperationRef<'_, '_>) -> Option<Operation<'t>> {
        match self.try_operation(from) {
            Ok(made) => Some(made),
            Err(Uncopied::Fault(fault)) => {
                self.fault(from, &fault);
                self.is_whole = false;
                None
            }
            Err(Uncopied::Follows) => None,
        }
    }

    fn try_operation(&mut self, from: OperationRef<'_, '_>) -> Result<Operation<'t>, Uncopied> {
        let name = name_of(from);
        let described = self.described.get(name.as_str()).cloned();
        let described = described.filter(|described| self.origin == Origin::Natgrad || fits(from, described));
        let is_builtin = name.starts_with("func.") || name.starts_with("builtin.");
        if described.is_none() && !is_builtin && self.origin == Origin::Natgrad && !OPEN.contains(&&*name) {
            return Err("natgrad writes no such operation".to_owned().into());
        }
        let called = attribute_of(from, "call_target_name").map(|target| target.to_string());
        let is_own = |called: &str| [CONVOLUTION, PRODUCT].contains(&called.trim_matches('"'));
        if name == CALL && self.origin == Origin::Natgrad && !called.as_deref().is_some_and(is_own) {
            let called = called.unwrap_or_else(|| "nothing".to_owned());
            let own = format!("\"{CONVOLUTION}\" and \"{PRODUCT}\"");
            return Err(format!("calls {called}, and natgrad's programs call {own} alone").into());
        }
        if let Err(fault) = check::operation(&name, from) {
            self.fault(from, &fault);
        }
        let copied = match (&described, is_builtin) {
            (Some(_), _) | (_, true) => name,
            _ => format!("unchecked.{name}"),
        };
        // MLIR has seen that every operand is defined before.
        let operands = from.operands().map(|operand| self.values.get(&key(operand)).copied());
        let operands = operands.collect::<Option<Vec<_>>>().ok_or(Uncopied::Follows)?;
        let results = from.results().map(|result| self.ty(result.r#type()));
        let results = results.collect::<Result<Vec<_>, String>>()?;
        let mut attributes = Vec::new();
        if let Some(described) = described {
            for attribute in described.attributes.iter() {
                if let Some(found) = attribute_of(from, attribute.name) {
                    let copied = self.attribute(attribute.kind, &found.to_string())?;
                    attributes.push((Identifier::new(self.context, attribute.name), copied));
                }
            }
        } else if is_builtin {
            for name in OF_FUNCTIONS {
                if let Some(found) = attribute_of(from, name) {
                    let copied = self.parse(&found.to_string())?;
                    attributes.push((Identifier::new(self.context, name), copied));
                }
            }
        }
        let regions = from.regions().map(|region| self.region(region)).collect::<Result<Vec<_>, String>>()?;
        OperationBuilder::new(&copied, self.location(from.location()))
            .add_operands(&operands)
            .add_results(&results)
            .add_attributes(&attributes)
            .add_regions_vec(regions)
            .build()
            .map_err(|error| Uncopied::Fault(error.to_string()))
    }

    /// The copy of a region of one block, or of none.
    fn region(&mut self, from: RegionRef<'_, '_>) -> Result<Region<'t>, String> {
        let region = Region::new();
        let Some(block) = from.first_block() else { return Ok(region) };
        if block.next_in_region().is_some() {
            return Err("a region has more than one block".to_owned());
        }
        let arguments: Vec<Value<'_, '_>> = (0..block.argument_count())
            .filter_map(|index| block.argument(index).ok())
            .map(Value::from)
            .collect();
        let types = arguments
            .iter()
            .map(|argument| Ok((self.ty(argument.r#type())?, self.location(argument.location()))));
        let types = types.collect::<Result<Vec<_>, String>>()?;
        let into: BlockRef<'t, 't> = region.append_block(Block::new(&types));
        for (index, argument) in arguments.into_iter().enumerate() {
            if let Ok(copied) = into.argument(index) {
                self.values.insert(key(argument), copied.into());
            }
        }
        for operation in operations_of(block) {
            if let Some(made) = self.operation(operation) {
                let made = into.append_operation(made);
                for (from, to) in operation.results().zip(made.results()) {
                    self.values.insert(key(from.into()), to.into());
                }
            }
        }
        Ok(region)
    }

    fn ty(&mut self, from: Type<'_>) -> Result<Type<'t>, String> {
        let text = from.to_string();
        if let Some(&known) = self.types.get(&text) {
            return Ok(known);
        }
        let unknown = || format!("`{text}` is not of a type that MLIR knows");
        let ty = Type::parse(self.context, &text).ok_or_else(unknown)?;
        self.types.insert(text, ty);
        Ok(ty)
    }

    fn parse(&self, text: &str) -> Result<Attribute<'t>, String> {
        let unknown = || format!("`{text}` is not an attribute that MLIR knows");
        Attribute::parse(self.context, text).ok_or_else(unknown)
    }

    fn attribute(&self, kind: Kind, text: &str) -> Result<Attribute<'t>, String> {
        match kind {
            Kind::Integer | Kind::Integers | Kind::Lists | Kind::Constant => self.parse(text),
            Kind::Name { .. } | Kind::Opaque => Ok(StringAttribute::new(self.context, text).into()),
        }
    }

    fn location(&self, from: Location<'_>) -> Location<'t> {
        Location::name(self.context, &place(from), Location::unknown(self.context))
    }

    fn fault(&mut self, at: OperationRef<'_, '_>, fault: &str) {
        self.faults.push(format!("{}: `{}`: {fault}", place(at.location()), name_of(at)));
    }
}

/// What tells a value from others.
pub(super) fn key(value: Value<'_, '_>) -> usize {
    value.to_raw().ptr as usize
}

/// Whether the description is for an operation like this one: StableHLO reduces and scatters several tensors at once too, which
/// natgrad does not.
fn fits(operation: OperationRef<'_, '_>, described: &operations::Operation) -> bool {
    described.regions.is_empty() || operation.operand_count() <= described.operands.len()
}
