//! Modules of linked models, read, verified and renamed by MLIR before natgrad links them.

use std::collections::HashSet;
use std::path::Path;

use melior::Context;
use melior::ir::attribute::{
    ArrayAttribute, AttributeLike, DictionaryAttribute, FlatSymbolRefAttribute, StringAttribute,
};
use melior::ir::operation::{OperationLike, OperationMutLike, OperationRefMut};
use melior::ir::{Attribute, BlockLike, RegionLike};
use natgrad_layers::{is_mlir_bytecode, read_modules_by};

use super::attributes::{attribute_of, each, string, symbol};
use super::{Mlir, Origin, Program, operations_of};

/// What is in a module of MLIR's generic form, and in no other.
const GENERIC: &str = "\"builtin.module\"";

/// From now on has MLIR read the modules of linked models that are bytecode, or text in MLIR's generic form. It verifies
/// them, so that what is wrong is told with its operation and place, and renames their symbols. Other text is natgrad's to
/// read, as without MLIR: only StableHLO's own dialect reads its operations as they are written for people.
pub fn read_linked_modules() {
    read_modules_by(read);
}

fn read(file: &Path, module: &[u8], prefix: &str) -> Result<Option<String>, String> {
    let is_generic = || std::str::from_utf8(module).is_ok_and(|text| text.contains(GENERIC));
    if !(is_mlir_bytecode(module) || is_generic()) {
        return Ok(None);
    }
    let told = |error: super::MlirError| format!("{}: MLIR refuses it: {error}", file.display());
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let mlir = Mlir::new().map_err(told)?;
    let mut read = mlir.read(&name, module).map_err(told)?;
    read.verify(Origin::Elsewhere).map_err(told)?;
    read.rename(prefix);
    Ok(Some(read.text()))
}

impl Program<'_> {
    /// Puts the prefix and a point in front of the name of every symbol, there and where it is used, and makes all private.
    /// A custom call's target is no symbol, but a name that XLA knows.
    pub fn rename(&mut self, prefix: &str) {
        let named = operations_of(self.module.body());
        let symbols = named.filter_map(|operation| string(attribute_of(operation, "sym_name")?).ok());
        let symbols = symbols.collect();
        let renamer = Renamer { context: &self.mlir.programs, symbols, prefix };
        let mut next = self.module.body().first_operation_mut();
        while let Some(mut operation) = next {
            if let Some(name) = operation.attribute("sym_name").ok().and_then(|name| string(name).ok()) {
                operation.set_attribute("sym_name", renamer.string(&format!("{prefix}.{name}")));
                operation.set_attribute("sym_visibility", renamer.string("private"));
            }
            next = operation.next_in_block_mut();
            renamer.operation(operation);
        }
    }
}

struct Renamer<'c> {
    context: &'c Context,
    symbols: HashSet<String>,
    prefix: &'c str,
}

impl<'c> Renamer<'c> {
    fn string(&self, text: &str) -> Attribute<'c> {
        StringAttribute::new(self.context, text).into()
    }

    /// Renames what an operation, and those in it, refer to.
    fn operation(&self, mut operation: OperationRefMut<'c, '_>) {
        let changed: Vec<_> = operation
            .attributes()
            .filter_map(|(name, attribute)| Some((name, self.attribute(attribute)?)))
            .collect();
        for (name, attribute) in changed {
            if let Ok(name) = name.as_string_ref().as_str() {
                operation.set_attribute(name, attribute);
            }
        }
        for region in operation.regions() {
            let mut block = region.first_block();
            while let Some(inside) = block {
                let mut next = inside.first_operation_mut();
                while let Some(operation) = next {
                    next = operation.next_in_block_mut();
                    self.operation(operation);
                }
                block = inside.next_in_region();
            }
        }
    }

    /// The attribute with other names, if it refers to a symbol.
    fn attribute(&self, attribute: Attribute<'c>) -> Option<Attribute<'c>> {
        if attribute.is_flat_symbol_ref() {
            let name = symbol(attribute).ok().filter(|name| self.symbols.contains(name))?;
            let renamed = format!("{}.{name}", self.prefix);
            return Some(FlatSymbolRefAttribute::new(self.context, &renamed).into());
        }
        let inside = |element: Attribute<'c>| self.attribute(element).unwrap_or(element);
        if attribute.is_array() {
            let renamed: Vec<_> = each(attribute).ok()?.into_iter().map(inside).collect();
            let renamed = ArrayAttribute::new(self.context, &renamed).into();
            return (renamed != attribute).then_some(renamed);
        }
        if attribute.is_dictionary() {
            let dictionary = DictionaryAttribute::try_from(attribute).ok()?;
            let each = (0..dictionary.len()).filter_map(|index| dictionary.element(index).ok());
            let renamed: Vec<_> = each.map(|(name, element)| (name, inside(element))).collect();
            let renamed = DictionaryAttribute::new(self.context, &renamed).into();
            return (renamed != attribute).then_some(renamed);
        }
        None
    }
}
