//! Functions of MLIR's C interface that melior lacks, in safe Rust.
//!
//! melior reads a module from a `str`, which bytecode is not, and gives it no name for the locations of errors; it
//! loads dialects that are described in IRDL, but not the dialect in which they are; and it takes operations out of a block, but
//! then nobody owns them. This crate is empty without the feature `llvm`.
#![cfg(feature = "llvm")]

use melior::Context;
use melior::dialect::DialectHandle;
use melior::ir::operation::{Operation, OperationLike, OperationMutLike};
use melior::ir::{BlockLike, BlockRef, Module};
use mlir_sys::{MlirStringRef, mlirGetDialectHandle__irdl__, mlirOperationCreateParse};

/// The dialect IRDL, in which others are described.
pub fn irdl() -> DialectHandle {
    // SAFETY: the function gives a handle that is valid as long as the process.
    unsafe { DialectHandle::from_raw(mlirGetDialectHandle__irdl__()) }
}

/// Reads a module, as text or as bytecode; `name` is the file in the locations of what has none of its own. None where
/// MLIR refuses it: then the context was told why.
pub fn parse<'c>(context: &'c Context, name: &str, source: &[u8]) -> Option<Module<'c>> {
    // The parser of text reads on to a zero behind the end.
    let mut ended = source.to_vec();
    ended.push(0);
    let string = |bytes: &[u8]| MlirStringRef { data: bytes.as_ptr().cast(), length: bytes.len() };
    // SAFETY: both strings outlive the call, which copies what it keeps; the operation, if there is one, is ours, and
    // belongs to the context, which outlives the module.
    let operation = unsafe {
        let raw = mlirOperationCreateParse(
            context.to_raw(),
            string(&ended[..source.len()]),
            string(name.as_bytes()),
        );
        Operation::from_option_raw(raw)
    };
    let operation = operation?;
    if operation.name().as_string_ref().as_str() == Ok("builtin.module") {
        return Module::from_operation(operation);
    }
    // One function alone.
    let module = Module::new(operation.location());
    module.body().append_operation(operation);
    Some(module)
}

/// Takes every operation out of a block of symbols, such as a module's, and frees it.
pub fn clear(block: BlockRef<'_, '_>) {
    let mut next = block.first_operation_mut();
    while let Some(mut operation) = next {
        next = operation.next_in_block_mut();
        operation.remove_from_parent();
        // SAFETY: nothing owns an operation that is in no block, and this was the last use of it; operations of such a
        // block have no results that others could take.
        drop(unsafe { Operation::from_raw(operation.to_raw()) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_bytecode_are_read() {
        let context = Context::new();
        let module = parse(&context, "a.mlir", b"module @a {}").expect("a module");
        let bytes = module.as_operation().write_bytecode();
        assert!(bytes.starts_with(b"ML\xefR"));
        let again = parse(&context, "a.mlirbc", &bytes).expect("a module");
        assert_eq!(module.as_operation().to_string(), again.as_operation().to_string());
    }

    #[test]
    fn a_block_is_cleared() {
        let context = Context::new();
        let module = parse(&context, "a.mlir", b"module { module @a {} module @b {} }").expect("a module");
        clear(module.body());
        assert!(module.body().first_operation().is_none());
    }

    #[test]
    fn errors_name_the_file() {
        let context = Context::new();
        let said = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
        let hear = std::rc::Rc::clone(&said);
        context.attach_diagnostic_handler(move |diagnostic| {
            hear.borrow_mut().push(format!("{}: {diagnostic}", diagnostic.location()));
            true
        });
        assert!(parse(&context, "b.mlir", b"module {\n  oh\n}").is_none());
        assert!(parse(&context, "c.mlirbc", b"ML\xefR\x00").is_none());
        let said = said.borrow();
        assert!(said[0].starts_with("loc(\"b.mlir\":2:3): "), "{said:?}");
        assert!(said[1].starts_with("loc(\"c.mlirbc\":0:0): "), "{said:?}");
    }
}
