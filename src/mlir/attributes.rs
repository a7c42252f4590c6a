//! Reads attributes of MLIR's operations.

use melior::ir::Attribute;
use melior::ir::attribute::{ArrayAttribute, FlatSymbolRefAttribute, StringAttribute};
use melior::ir::operation::{OperationLike, OperationRef};

/// How MLIR writes a reference to a symbol without a name.
const EMPTY_SYMBOL: &str = "@<<INVALID EMPTY SYMBOL>>";

/// An attribute of an operation, wherever it is kept.
pub(super) fn attribute_of<'c>(operation: OperationRef<'c, '_>, name: &str) -> Option<Attribute<'c>> {
    operation.inherent_attribute(name).or_else(|_| operation.discardable_attribute(name)).ok()
}

/// An operation's name, with its dialect.
pub(super) fn name_of(operation: OperationRef<'_, '_>) -> String {
    operation.name().as_string_ref().as_str().unwrap_or_default().to_owned()
}

/// What is in a string attribute. melior reads an empty one by a pointer to nothing, so its text is asked first.
///
/// # Errors
/// It is another attribute.
pub(super) fn string(attribute: Attribute<'_>) -> Result<String, String> {
    let string = StringAttribute::try_from(attribute).map_err(|error| error.to_string())?;
    Ok(if attribute.to_string() == "\"\"" { String::new() } else { string.value().to_owned() })
}

/// The name of the symbol that an attribute refers to, with the care that [`string`] takes.
///
/// # Errors
/// It is another attribute.
pub(super) fn symbol(attribute: Attribute<'_>) -> Result<String, String> {
    let symbol = FlatSymbolRefAttribute::try_from(attribute).map_err(|error| error.to_string())?;
    Ok(if attribute.to_string() == EMPTY_SYMBOL { String::new() } else { symbol.value().to_owned() })
}

/// The elements of an array attribute.
///
/// # Errors
/// It is another attribute.
pub(super) fn each(attribute: Attribute<'_>) -> Result<Vec<Attribute<'_>>, String> {
    let array = ArrayAttribute::try_from(attribute).map_err(|error| error.to_string())?;
    (0..array.len()).map(|index| array.element(index).map_err(|error| error.to_string())).collect()
}
