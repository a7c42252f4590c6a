//! Reads a module of the dialect back into the IR.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use melior::ir::attribute::{DenseI64ArrayAttribute, DictionaryAttribute, IntegerAttribute, TypeAttribute};
use melior::ir::operation::{OperationLike, OperationRef};
use melior::ir::r#type::FunctionType;
use melior::ir::{Attribute, BlockLike, BlockRef, Location, RegionLike, Value as MlirValue, ValueLike};
use natgrad_ir::verify::valid_name;
use natgrad_ir::{
    Attributes, CallKind, Foreign, FuncId, Function, InstData, Literal, Module, Op, Origin, Signature,
    TensorType, Value,
};

use super::super::attributes::{attribute_of, each, name_of, string, symbol};
use super::super::copy::key;
use super::super::tensor::{elements, tensor_type};
use super::super::{operations_of, place};
use super::{BODY, CALL, CARRIED, LINKED, NAMES, PREFIX};
use crate::lower::Donation;

/// The module of the IR, and which parameters of its entry give their memory away. What the IR asks of a module is not
/// checked.
///
/// # Errors
/// Each with its place: what is not of the dialect.
pub(in crate::mlir) fn read(module: OperationRef<'_, '_>) -> Result<(Module, Donation), Vec<String>> {
    let name = attribute_of(module, "sym_name").and_then(|name| string(name).ok());
    let mut reader = Reader { module: Module::new(name.unwrap_or_default()), ..Reader::default() };
    let block = module.region(0).ok().and_then(|region| region.first_block());
    for function in block.into_iter().flat_map(operations_of) {
        if let Err(fault) = reader.function(function) {
            reader.faults.push(fault);
        }
    }
    if reader.faults.is_empty() { Ok((reader.module, reader.donation)) } else { Err(reader.faults) }
}

#[derive(Default)]
struct Reader {
    module: Module,
    /// Of the function that was read last.
    donation: Donation,
    linked: HashMap<String, Arc<Foreign>>,
    faults: Vec<String>,
}

/// A function that is being read.
struct Body {
    function: Function,
    /// By the value of MLIR's that each is.
    values: HashMap<usize, Value>,
    names: HashSet<String>,
}

impl Body {
    /// A name, if it is one and no other value has it.
    fn name(&mut self, name: &str) -> Option<String> {
        (valid_name(name) && self.names.insert(name.to_owned())).then(|| name.to_owned())
    }
}

impl Reader {
    fn function(&mut self, at: OperationRef<'_, '_>) -> Result<(), String> {
        let kind = name_of(at);
        if kind != "func.func" {
            return Err(fault(at, &format!("`{kind}` stands where only functions may")));
        }
        let name = attribute_of(at, "sym_name").ok_or_else(|| fault(at, "a function has no name"))?;
        let name = string(name).map_err(|what| fault(at, &what))?;
        let region = at.region(0).map_err(|error| fault(at, &error.to_string()))?;
        let Some(block) = region.first_block() else { return self.declaration(at, name) };
        if block.next_in_region().is_some() {
            return Err(fault(at, &format!("`@{name}` has more than one block")));
        }
        let mut body = Body {
            function: Function { name, ..Function::default() },
            values: HashMap::new(),
            names: HashSet::new(),
        };
        params(at, block, &mut body)?;
        self.donation = donation(at).map_err(|what| fault(at, &what))?;
        for operation in operations_of(block) {
            // Further faults of a function may follow from the first.
            self.operation(operation, &mut body).map_err(|what| fault(operation, &what))?;
        }
        self.module.push(body.function);
        Ok(())
    }

    /// A function without a body: a linked one.
    fn declaration(&mut self, at: OperationRef<'_, '_>, symbol: String) -> Result<(), String> {
        let told = |what: String| fault(at, &what);
        let [text, locations, version] = LINKED.map(|name| attribute_of(at, name));
        let text = text.ok_or_else(|| {
            fault(at, &format!("`@{symbol}` has neither a body nor its text as `{}`", LINKED[0]))
        })?;
        let signature = signature(at).map_err(told)?;
        let version = version.map(numbers::<u32>).transpose().map_err(told)?;
        let foreign = Foreign {
            symbol: symbol.clone(),
            locations: locations.map(string).transpose().map_err(told)?.unwrap_or_default(),
            text: string(text).map_err(told)?,
            signature,
            version: version.and_then(|numbers| numbers.try_into().ok()),
        };
        self.linked.insert(symbol, Arc::new(foreign));
        Ok(())
    }

    fn operation(&self, at: OperationRef<'_, '_>, body: &mut Body) -> Result<(), String> {
        let name = name_of(at);
        let operands = at.operands().map(|operand| body.values.get(&key(operand)).copied());
        let operands: Vec<Value> =
            operands.collect::<Option<_>>().ok_or("it takes a value of another function")?;
        if name == "func.return" {
            body.function.results = operands;
            return Ok(());
        }
        let results = at.results().map(|result| tensor_type(result.r#type()));
        let results: Vec<TensorType> = results.collect::<Result<_, _>>()?;
        let op = self.op(at, &name, &results)?;
        let names = match attribute_of(at, NAMES) {
            Some(names) => each(names)?.into_iter().map(string).collect::<Result<Vec<_>, _>>()?,
            None => Vec::new(),
        };
        let names = names.into_iter().map(Some).chain(std::iter::repeat(None));
        let named: Vec<_> = results
            .into_iter()
            .zip(names)
            .map(|(ty, name)| (ty, name.and_then(|name| body.name(&name))))
            .collect();
        let scope = scope(at.location(), &body.function.name);
        let origin = origin(at.location());
        let inst = InstData { op, operands, results: Vec::new(), scope, origin };
        let made = body.function.append(inst, named);
        body.values.extend(at.results().map(|result| key(result.into())).zip(made));
        Ok(())
    }

    fn op(&self, at: OperationRef<'_, '_>, name: &str, results: &[TensorType]) -> Result<Op, String> {
        if name == "func.call" {
            let callee = symbol(Given(at).attribute("callee")?)?;
            if let Some(foreign) = self.linked.get(&callee) {
                return Ok(Op::Foreign(Arc::clone(foreign)));
            }
            return Ok(Op::Call { callee: self.before(&callee)?, kind: call_kind(at)? });
        }
        let plain =
            name.strip_prefix(PREFIX).ok_or_else(|| format!("`{name}` is not of natgrad's dialect"))?;
        if plain == "loop" {
            let carried = Given(at).number(CARRIED)?;
            let body = symbol(Given(at).attribute(BODY)?)?;
            return Ok(Op::Loop { body: self.before(&body)?, carried });
        }
        let [result] = results else {
            return Err(format!("`{name}` gives {} values, not one", results.len()));
        };
        if plain == "constant" {
            let elements = elements(Given(at).attribute("value")?, result)?;
            return Ok(Op::Constant(Literal { ty: result.clone(), elements }));
        }
        Op::read(plain, result, &mut Given(at))?.ok_or_else(|| format!("natgrad has no operation `{name}`"))
    }

    /// The function of this name, which must be before the one that is read.
    fn before(&self, name: &str) -> Result<FuncId, String> {
        self.module.by_name(name).ok_or_else(|| format!("there is no function `@{name}` before this one"))
    }
}

/// The parameters of a function, by the names that are their locations.
fn params(at: OperationRef<'_, '_>, block: BlockRef<'_, '_>, body: &mut Body) -> Result<(), String> {
    for index in 0..block.argument_count() {
        let argument: MlirValue<'_, '_> =
            block.argument(index).map_err(|error| fault(at, &error.to_string()))?.into();
        let ty = tensor_type(argument.r#type()).map_err(|what| fault(at, &what))?;
        let location = argument.location();
        let name = if location.is_name() { body.name(&place(location)) } else { None };
        // Every parameter has a name.
        let name = name.or_else(|| (index..).find_map(|number| body.name(&format!("arg{number}"))));
        let param = body.function.add_param(ty, name);
        body.values.insert(key(argument), param);
    }
    Ok(())
}

/// Which arguments of a function are marked as giving their memory to a result.
fn donation(at: OperationRef<'_, '_>) -> Result<Donation, String> {
    let Some(arguments) = attribute_of(at, "arg_attrs") else { return Ok(Donation::none()) };
    let mut donation = Donation::none();
    for (param, argument) in each(arguments)?.into_iter().enumerate() {
        let marks = DictionaryAttribute::try_from(argument).map_err(|error| error.to_string())?;
        if let Some(output) = marks.element_by_name("tf.aliasing_output") {
            let output = IntegerAttribute::try_from(output).map_err(|error| error.to_string())?.value();
            let output =
                usize::try_from(output).map_err(|_| format!("argument {param} has no output {output}"))?;
            donation = donation.donate(param, output);
        }
    }
    Ok(donation)
}

/// The scope in a location: what is behind the function's name.
fn scope(location: Location<'_>, function: &str) -> String {
    if !location.is_name() {
        return String::new();
    }
    let place = place(location);
    match place.strip_prefix(function) {
        Some("") => String::new(),
        Some(rest) if rest.starts_with('/') => rest[1..].to_owned(),
        _ => place,
    }
}

/// The line of a location in a file.
fn origin(location: Location<'_>) -> Origin {
    let place = if location.is_name() { String::new() } else { place(location) };
    let line = place.rsplit(':').nth(1).and_then(|line| line.parse().ok());
    line.map_or(Origin::Unknown, Origin::Text)
}

/// The types of a function that is declared.
fn signature(at: OperationRef<'_, '_>) -> Result<Signature, String> {
    let ty =
        TypeAttribute::try_from(Given(at).attribute("function_type")?).map_err(|error| error.to_string())?;
    let ty = FunctionType::try_from(ty.value()).map_err(|error| error.to_string())?;
    let told = |error: melior::Error| error.to_string();
    let params = (0..ty.input_count()).map(|index| tensor_type(ty.input(index).map_err(told)?));
    let results = (0..ty.result_count()).map(|index| tensor_type(ty.result(index).map_err(told)?));
    Ok(Signature { params: params.collect::<Result<_, _>>()?, results: results.collect::<Result<_, _>>()? })
}

fn call_kind(at: OperationRef<'_, '_>) -> Result<CallKind, String> {
    let word = attribute_of(at, CALL).map(string).transpose()?;
    let found = CallKind::ALL.into_iter().find(|kind| kind.word() == word.as_deref());
    found.ok_or_else(|| {
        let known: Vec<&str> = CallKind::ALL.into_iter().filter_map(CallKind::word).collect();
        format!("`{CALL}` is `{}`, but must be one of {}", word.unwrap_or_default(), known.join(", "))
    })
}

/// The attributes of an operation.
struct Given<'c, 'a>(OperationRef<'c, 'a>);

impl<'c> Given<'c, '_> {
    fn attribute(&self, name: &str) -> Result<Attribute<'c>, String> {
        attribute_of(self.0, name).ok_or_else(|| format!("`{}` has no attribute `{name}`", name_of(self.0)))
    }
}

impl Attributes for Given<'_, '_> {
    type Error = String;

    fn number(&mut self, name: &'static str) -> Result<usize, String> {
        let attribute = self.attribute(name)?;
        let integer = IntegerAttribute::try_from(attribute).map_err(|error| error.to_string())?;
        usize::try_from(integer.value()).map_err(|_| format!("`{name}` is `{attribute}`, below zero"))
    }

    fn numbers(&mut self, name: &'static str) -> Result<Vec<usize>, String> {
        numbers(self.attribute(name)?)
    }

    fn integers(&mut self, name: &'static str) -> Result<Vec<i64>, String> {
        numbers(self.attribute(name)?)
    }

    fn pair(&mut self, name: &'static str) -> Result<(Vec<usize>, Vec<usize>), String> {
        let attribute = self.attribute(name)?;
        match each(attribute)?.as_slice() {
            [left, right] => Ok((numbers(*left)?, numbers(*right)?)),
            _ => Err(format!("`{name}` is `{attribute}`, but must have two lists")),
        }
    }
}

fn fault(at: OperationRef<'_, '_>, what: &str) -> String {
    format!("{}: {what}", place(at.location()))
}

/// The numbers of a dense array.
fn numbers<T: TryFrom<i64>>(attribute: Attribute<'_>) -> Result<Vec<T>, String> {
    let array = DenseI64ArrayAttribute::try_from(attribute).map_err(|error| error.to_string())?;
    let number = |index| {
        let number = array.element(index).map_err(|error| error.to_string())?;
        T::try_from(number).map_err(|_| format!("`{attribute}` has {number}, which is out of range"))
    };
    (0..array.len()).map(number).collect()
}
