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
    if !matches!(what, What::Mlir | What::Bytecode) {
        return Ok(None);
    }
    let origin = if config.model.linked().is_some() { Origin::Elsewhere } else { Origin::Natgrad };
    let mlir = Mlir::new()?;
    let built = mlir.program(program, lowering)?;
    built.verify(origin)?;
    Ok(Some(if what == What::Mlir { built.text().into_bytes() } else { built.bytecode() }))
}
