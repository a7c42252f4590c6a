//! Modules of linked models, read, verified and renamed by MLIR before natgrad links them.

use std::collections::HashSet;
use std::path::Path;

use melior::Context;
use melior::ir::attribute::{
    ArrayAttribute, AttributeLike, DictionaryAttribute, FlatSymbolRefAttribute, StringAttribute,
};
use melior::ir::operation::{OperationLike, OperationMutLike, OperationRefMut};
use melior::ir::{Attribute, BlockLike, RegionLike};
use natgrad_layers::read_modules_by;

use super::copy::attribute_of;
use super::{Mlir, Origin, Program, string};

/// How a module of MLIR's bytecode begins.
const BYTECODE: &[u8] = b"ML\xefR";

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
    if !(module.starts_with(BYTECODE) || is_generic()) {
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
        let mut symbols = HashSet::new();
        let mut next = self.module.body().first_operation();
        while let Some(operation) = next {
            symbols.extend(symbol_of(attribute_of(operation, "sym_name")));
            next = operation.next_in_block();
        }
        let renamer = Renamer { context: &self.mlir.programs, symbols, prefix };
        let mut next = self.module.body().first_operation_mut();
        while let Some(mut operation) = next {
            if let Some(name) = symbol_of(operation.attribute("sym_name").ok()) {
                operation.set_attribute("sym_name", renamer.string(&format!("{prefix}.{name}")));
                operation.set_attribute("sym_visibility", renamer.string("private"));
            }
            next = operation.next_in_block_mut();
            renamer.operation(operation);
        }
    }
}

fn symbol_of(attribute: Option<Attribute<'_>>) -> Option<String> {
    string(attribute?).ok()
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
            let name = FlatSymbolRefAttribute::try_from(attribute).ok()?.value();
            let renamed = format!("{}.{name}", self.prefix);
            return self
                .symbols
                .contains(name)
                .then(|| FlatSymbolRefAttribute::new(self.context, &renamed).into());
        }
        if attribute.is_array() {
            let array = ArrayAttribute::try_from(attribute).ok()?;
            let each = (0..array.len()).filter_map(|index| array.element(index).ok());
            let each: Vec<Attribute<'c>> = each.collect();
            let renamed: Vec<_> = each.iter().map(|&element| self.attribute(element)).collect();
            let all: Vec<_> =
                renamed.iter().zip(&each).map(|(renamed, &element)| renamed.unwrap_or(element)).collect();
            let is_changed = renamed.iter().any(Option::is_some);
            return is_changed.then(|| ArrayAttribute::new(self.context, &all).into());
        }
        if attribute.is_dictionary() {
            let dictionary = DictionaryAttribute::try_from(attribute).ok()?;
            let each = (0..dictionary.len()).filter_map(|index| dictionary.element(index).ok());
            let each: Vec<_> = each.collect();
            let renamed: Vec<_> = each.iter().map(|&(_, element)| self.attribute(element)).collect();
            let all: Vec<_> = renamed
                .iter()
                .zip(&each)
                .map(|(renamed, &(name, element))| (name, renamed.unwrap_or(element)))
                .collect();
            let is_changed = renamed.iter().any(Option::is_some);
            return is_changed.then(|| DictionaryAttribute::new(self.context, &all).into());
        }
        None
    }
}
