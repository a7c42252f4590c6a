//! Writes a module of the IR in the dialect.

use melior::Context;
use melior::ir::attribute::{ArrayAttribute, DenseI64ArrayAttribute, FlatSymbolRefAttribute};
use melior::ir::{Attribute, Value};
use natgrad_ir::{Attribute as Given, Foreign, Function, InstData, Op, Verified};

use super::super::sink::MlirSink;
use super::{BODY, CALL, CARRIED, LINKED, NAMES, PREFIX};
use crate::lower::{Attr, Donation, FuncHeader, FuncParam, Sink, Visibility};

/// Tells the sink the module in the dialect.
pub(in crate::mlir) fn write(sink: &mut MlirSink<'_>, module: &Verified, donation: &Donation) {
    let mut writer = Writer { context: sink.context(), sink, declared: Vec::new() };
    let module = module.module();
    writer.sink.begin_module(&module.name);
    let called: Vec<&str> = module.functions.iter().map(|function| function.name.as_str()).collect();
    for (index, function) in module.functions.iter().enumerate() {
        let is_entry = index + 1 == module.functions.len();
        let none = Donation::none();
        writer.function(function, &called, is_entry, if is_entry { donation } else { &none });
    }
    writer.sink.end_module();
}

struct Writer<'c, 's> {
    context: &'c Context,
    sink: &'s mut MlirSink<'c>,
    /// The symbols of linked functions that are declared.
    declared: Vec<String>,
}

impl<'c> Writer<'c, '_> {
    fn function(&mut self, function: &Function, called: &[&str], is_entry: bool, donation: &Donation) {
        for inst in &function.insts {
            if let Op::Foreign(foreign) = &inst.op {
                self.declare(foreign);
            }
        }
        let params = function.params.iter().enumerate().map(|(index, &param)| {
            let data = function.value(param);
            let location = data.name.as_deref().unwrap_or_default();
            FuncParam { ty: &data.ty, aliased_output: donation.output_of(index), location }
        });
        let header = FuncHeader {
            name: &function.name,
            visibility: if is_entry { Visibility::Public } else { Visibility::Private },
            params: params.collect(),
            results: function.results.iter().map(|&value| function.ty(value)).collect(),
            location: &function.name,
        };
        let arguments = self.sink.begin_func(&header);
        let mut values: Vec<Option<Value<'c, 'c>>> = vec![None; function.values.len()];
        for (&param, argument) in function.params.iter().zip(arguments) {
            values[param.index()] = Some(argument);
        }
        for inst in &function.insts {
            let made = self.instruction(function, inst, called, &values);
            for (&result, made) in inst.results.iter().zip(made) {
                values[result.index()] = Some(made);
            }
        }
        // A verified function defines what it returns; what could not be built is a fault already.
        let returned: Vec<_> = function.results.iter().filter_map(|value| values[value.index()]).collect();
        self.sink.append("func.return", &returned, &[], Vec::new(), &function.name);
        self.sink.end_func();
    }

    fn instruction(
        &mut self,
        function: &Function,
        inst: &InstData,
        called: &[&str],
        values: &[Option<Value<'c, 'c>>],
    ) -> Vec<Value<'c, 'c>> {
        let operands: Vec<_> = inst.operands.iter().filter_map(|value| values[value.index()]).collect();
        let results: Vec<_> = inst.results.iter().map(|&value| function.ty(value)).collect();
        let location = if inst.scope.is_empty() {
            function.name.clone()
        } else {
            format!("{}/{}", function.name, inst.scope)
        };
        let mut attributes = Vec::new();
        let callee = inst.op.callee().and_then(|callee| called.get(callee.index()).copied());
        let name = match &inst.op {
            Op::Call { kind, .. } => {
                attributes.extend(kind.word().map(|word| (CALL, self.sink.string(word))));
                attributes.extend(callee.map(|callee| ("callee", self.symbol(callee))));
                "func.call".to_owned()
            }
            Op::Foreign(foreign) => {
                attributes.push(("callee", self.symbol(&foreign.symbol)));
                "func.call".to_owned()
            }
            Op::Loop { carried, .. } => {
                attributes.extend(callee.map(|callee| (BODY, self.symbol(callee))));
                attributes.push((CARRIED, self.sink.attribute(Attr::Index(*carried))));
                format!("{PREFIX}{}", inst.op.name())
            }
            Op::Constant(literal) => {
                attributes.push(("value", self.sink.attribute(Attr::Literal(literal))));
                format!("{PREFIX}{}", inst.op.name())
            }
            op => {
                for (name, given) in op.attributes() {
                    attributes.push((name, self.attribute(&given)));
                }
                format!("{PREFIX}{}", op.name())
            }
        };
        let names = inst.results.iter().map(|&value| function.value(value).name.as_deref());
        let names: Vec<Option<&str>> = names.collect();
        if names.iter().any(Option::is_some) {
            let names = names.iter().map(|name| self.sink.string(name.unwrap_or_default()));
            let names: Vec<Attribute<'c>> = names.collect();
            attributes.push((NAMES, ArrayAttribute::new(self.context, &names).into()));
        }
        self.sink.append(&name, &operands, &results, attributes, &location)
    }

    /// Declares a linked function, with its text.
    fn declare(&mut self, foreign: &Foreign) {
        if self.declared.contains(&foreign.symbol) {
            return;
        }
        self.declared.push(foreign.symbol.clone());
        let [text_of, locations, version] = LINKED;
        let header = FuncHeader {
            name: &foreign.symbol,
            visibility: Visibility::Private,
            params: foreign
                .signature
                .params
                .iter()
                .map(|ty| FuncParam { ty, aliased_output: None, location: "" })
                .collect(),
            results: foreign.signature.results.iter().collect(),
            location: &foreign.symbol,
        };
        let mut attributes = vec![
            (text_of, self.sink.string(&foreign.text)),
            (locations, self.sink.string(&foreign.locations)),
        ];
        if let Some(numbers) = foreign.version {
            let numbers = numbers.map(|number| number as usize);
            attributes.push((version, self.sink.attribute(Attr::Indices(&numbers))));
        }
        self.sink.declare(&header, attributes);
    }

    fn symbol(&self, name: &str) -> Attribute<'c> {
        FlatSymbolRefAttribute::new(self.context, name).into()
    }

    fn attribute(&mut self, given: &Given) -> Attribute<'c> {
        match given {
            Given::Number(number) => self.sink.attribute(Attr::Index(*number)),
            Given::Numbers(numbers) => self.sink.attribute(Attr::Indices(numbers)),
            Given::Integers(integers) => DenseI64ArrayAttribute::new(self.context, integers).into(),
            Given::Pair(left, right) => {
                let both = [left, right].map(|list| self.sink.attribute(Attr::Indices(list)));
                ArrayAttribute::new(self.context, &both).into()
            }
        }
    }
}
