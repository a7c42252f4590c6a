//! A program as MLIR itself builds, verifies and writes it.

use crate::cli::Failure;
use crate::config::RunConfig;
use crate::lower::Lowering;
use crate::mlir::{Mlir, Origin};
use crate::step::Program;

use super::What;

/// The program in the form that is asked for, if that is one of MLIR's.
pub(super) fn written(
    what: What,
    program: &Program,
    lowering: Lowering,
    config: &RunConfig,
) -> Result<Option<Vec<u8>>, Failure> {
    let mlir = match what {
        What::Dialect | What::Mlir | What::Bytecode => Mlir::new()?,
        _ => return Ok(None),
    };
    let is_linked = config.model.linked().is_some();
    let (built, origin) = match what {
        What::Dialect => (mlir.dialect(program)?, Origin::Natgrad),
        _ if is_linked => (mlir.program(program, lowering)?, Origin::Elsewhere),
        _ => (mlir.program(program, lowering)?, Origin::Natgrad),
    };
    built.verify(origin)?;
    Ok(Some(if what == What::Bytecode { built.bytecode() } else { built.text().into_bytes() }))
}
