//! Builds the module in memory.

use std::collections::HashMap;

use melior::Context;
use melior::ir::attribute::{ArrayAttribute, DictionaryAttribute, StringAttribute, TypeAttribute};
use melior::ir::operation::{OperationBuilder, OperationLike, OperationMutLike};
use melior::ir::r#type::FunctionType;
use melior::ir::{
    Attribute, Block, BlockLike, BlockRef, Identifier, Location, Module, Region, RegionLike, Type, Value,
};
use natgrad_ir::{Foreign, TensorType};

use super::{copy_all, parse};
use crate::lower::{Attr, FuncHeader, Operation, Sink, Visibility, write_attr, write_type};

/// A [`Sink`] that builds MLIR's own operations.
pub struct MlirSink<'c> {
    context: &'c Context,
    module: Module<'c>,
    /// The function being built: all of it but its body.
    function: Option<OperationBuilder<'c>>,
    /// The regions being built, the innermost last.
    open: Vec<(Region<'c>, BlockRef<'c, 'c>)>,
    types: HashMap<TensorType, Type<'c>>,
    /// Attributes by their text, all but constants.
    attributes: HashMap<String, Attribute<'c>>,
    /// What could not be built.
    faults: Vec<String>,
}

impl<'c> MlirSink<'c> {
    /// A module without anything in it. The context must have the dialect `func`, and take operations that it does not
    /// know.
    pub(super) fn new(context: &'c Context) -> MlirSink<'c> {
        MlirSink {
            context,
            module: Module::new(Location::unknown(context)),
            function: None,
            open: Vec::new(),
            types: HashMap::new(),
            attributes: HashMap::new(),
            faults: Vec::new(),
        }
    }

    /// Where the module is built.
    pub(super) fn context(&self) -> &'c Context {
        self.context
    }

    /// The module built.
    ///
    /// # Errors
    /// What could not be built.
    pub(super) fn finish(self) -> Result<Module<'c>, Vec<String>> {
        if self.faults.is_empty() { Ok(self.module) } else { Err(self.faults) }
    }

    fn location(&self, path: &str) -> Location<'c> {
        Location::name(self.context, path, Location::unknown(self.context))
    }

    fn identifier(&self, name: &str) -> Identifier<'c> {
        Identifier::new(self.context, name)
    }

    pub(super) fn string(&self, text: &str) -> Attribute<'c> {
        StringAttribute::new(self.context, text).into()
    }

    /// What MLIR does not read becomes a fault, and a unit in its place.
    fn parse(&mut self, text: &str) -> Attribute<'c> {
        Attribute::parse(self.context, text).unwrap_or_else(|| {
            self.faults.push(format!("MLIR does not read the attribute `{text}`"));
            Attribute::unit(self.context)
        })
    }

    pub(super) fn attribute(&mut self, attr: Attr<'_>) -> Attribute<'c> {
        let mut text = String::new();
        write_attr(&mut text, attr);
        if matches!(attr, Attr::Literal(_)) {
            return self.parse(&text);
        }
        if let Some(&known) = self.attributes.get(&text) {
            return known;
        }
        let attribute = self.parse(&text);
        self.attributes.insert(text, attribute);
        attribute
    }

    fn ty(&mut self, ty: &TensorType) -> Type<'c> {
        if let Some(&known) = self.types.get(ty) {
            return known;
        }
        let mut text = String::new();
        write_type(&mut text, ty);
        let parsed = Type::parse(self.context, &text).unwrap_or_else(|| {
            self.faults.push(format!("MLIR does not read the type `{text}`"));
            Type::none(self.context)
        });
        self.types.insert(ty.clone(), parsed);
        parsed
    }

    /// Begins a region of one block.
    fn begin(&mut self, arguments: &[(Type<'c>, Location<'c>)]) -> Vec<Value<'c, 'c>> {
        let region = Region::new();
        let block = region.append_block(Block::new(arguments));
        let found = (0..arguments.len()).filter_map(|index| block.argument(index).ok());
        let found = found.map(Value::from).collect();
        self.open.push((region, block));
        found
    }

    fn end(&mut self) -> Region<'c> {
        self.open.pop().map_or_else(Region::new, |(region, _)| region)
    }

    /// A function, all of it but its body.
    fn header(&mut self, header: &FuncHeader<'_>) -> OperationBuilder<'c> {
        let params: Vec<Type<'c>> = header.params.iter().map(|param| self.ty(param.ty)).collect();
        let results: Vec<Type<'c>> = header.results.iter().map(|ty| self.ty(ty)).collect();
        let visibility = match header.visibility {
            Visibility::Public => "public",
            Visibility::Private => "private",
        };
        let ty = FunctionType::new(self.context, &params, &results);
        let mut attributes = vec![
            (self.identifier("sym_name"), self.string(header.name)),
            (self.identifier("sym_visibility"), self.string(visibility)),
            (self.identifier("function_type"), TypeAttribute::new(ty.into()).into()),
        ];
        if header.params.iter().any(|param| param.aliased_output.is_some()) {
            let each = header.params.iter().map(|param| {
                let entry = param.aliased_output.map(|output| {
                    (self.identifier("tf.aliasing_output"), self.parse(&format!("{output} : i32")))
                });
                DictionaryAttribute::new(self.context, entry.as_slice()).into()
            });
            let each: Vec<Attribute<'c>> = each.collect();
            attributes.push((self.identifier("arg_attrs"), ArrayAttribute::new(self.context, &each).into()));
        }
        OperationBuilder::new("func.func", self.location(header.location)).add_attributes(&attributes)
    }

    /// Declares a function that has no body, with attributes of its own.
    pub(super) fn declare(&mut self, header: &FuncHeader<'_>, attributes: Vec<(&str, Attribute<'c>)>) {
        let attributes = self.named(attributes);
        let declared = self.header(header).add_attributes(&attributes).add_regions([Region::new()]).build();
        self.add(declared);
    }

    /// Appends an operation without regions, of any dialect, and gives its results.
    pub(super) fn append(
        &mut self,
        name: &str,
        operands: &[Value<'c, 'c>],
        results: &[&TensorType],
        attributes: Vec<(&str, Attribute<'c>)>,
        location: &str,
    ) -> Vec<Value<'c, 'c>> {
        let results: Vec<Type<'c>> = results.iter().map(|ty| self.ty(ty)).collect();
        let builder = OperationBuilder::new(name, self.location(location))
            .add_operands(operands)
            .add_results(&results)
            .add_attributes(&self.named(attributes));
        self.build(builder, location)
    }

    fn named(&self, attributes: Vec<(&str, Attribute<'c>)>) -> Vec<(Identifier<'c>, Attribute<'c>)> {
        attributes.into_iter().map(|(name, attribute)| (self.identifier(name), attribute)).collect()
    }

    /// Appends what is built to the innermost region.
    fn build(&mut self, builder: OperationBuilder<'c>, location: &str) -> Vec<Value<'c, 'c>> {
        let Some(&(_, block)) = self.open.last() else { return Vec::new() };
        match builder.build() {
            Ok(built) => block.append_operation(built).results().map(Value::from).collect(),
            Err(error) => {
                self.faults.push(format!("{location}: {error}"));
                Vec::new()
            }
        }
    }

    /// Appends a function to the module.
    fn add(&mut self, function: Result<melior::ir::Operation<'c>, melior::Error>) {
        match function {
            Ok(function) => {
                self.module.body().append_operation(function);
            }
            Err(error) => self.faults.push(error.to_string()),
        }
    }
}

impl<'c> Sink for MlirSink<'c> {
    type Value = Value<'c, 'c>;
    type Region = Region<'c>;

    fn begin_module(&mut self, name: &str) {
        if !name.is_empty() {
            let name = self.string(name);
            self.module.as_operation_mut().set_attribute("sym_name", name);
        }
    }

    fn end_module(&mut self) {}

    fn link(&mut self, foreign: &Foreign) {
        let text = format!("{}module {{\n{}}}\n", foreign.locations, foreign.text);
        let Some(linked) = parse(self.context, &foreign.symbol, text.as_bytes()) else {
            let of = &foreign.symbol;
            let fault =
                format!("MLIR does not read the functions of `@{of}`, which must be in its generic form");
            return self.faults.push(fault);
        };
        copy_all(&linked, self.module.body());
    }

    fn begin_func(&mut self, header: &FuncHeader<'_>) -> Vec<Value<'c, 'c>> {
        let function = self.header(header);
        self.function = Some(function);
        let arguments = header.params.iter().map(|param| (self.ty(param.ty), self.location(param.location)));
        let arguments: Vec<(Type<'c>, Location<'c>)> = arguments.collect();
        self.begin(&arguments)
    }

    fn end_func(&mut self) {
        let body = self.end();
        let Some(function) = self.function.take() else { return };
        self.add(function.add_regions([body]).build());
    }

    fn begin_region(&mut self, params: &[&TensorType], location: &str) -> Vec<Value<'c, 'c>> {
        let location = self.location(location);
        let arguments: Vec<_> = params.iter().map(|ty| (self.ty(ty), location)).collect();
        self.begin(&arguments)
    }

    fn end_region(&mut self) -> Region<'c> {
        self.end()
    }

    fn op(&mut self, operation: Operation<'_, Value<'c, 'c>, Region<'c>>) -> Vec<Value<'c, 'c>> {
        let results: Vec<Type<'c>> = operation.results.iter().map(|ty| self.ty(ty)).collect();
        let mut builder = OperationBuilder::new(operation.name, self.location(operation.location))
            .add_operands(operation.operands)
            .add_results(&results)
            .add_regions_vec(operation.regions);
        if !operation.frontend.is_empty() {
            let each = operation.frontend.iter();
            let each = each.map(|(name, value)| (self.identifier(name), self.string(value)));
            let each: Vec<_> = each.collect();
            let frontend = DictionaryAttribute::new(self.context, &each).into();
            builder = builder.add_attributes(&[(self.identifier("mhlo.frontend_attributes"), frontend)]);
        }
        let attributes: Vec<_> = operation
            .attrs
            .iter()
            .map(|(name, attr)| (self.identifier(name), self.attribute(*attr)))
            .collect();
        self.build(builder.add_attributes(&attributes), operation.location)
    }
}
