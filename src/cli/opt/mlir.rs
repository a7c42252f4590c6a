//! Passes over a program in natgrad's dialect of MLIR.

use super::{Opt, lowering};
use crate::cli::Failure;
use crate::lower::{TIDY, TO_STABLEHLO, passes};
use crate::mlir::{Mlir, Origin, Transform};

impl Opt {
    /// What the passes make of it, run by MLIR's pass manager.
    pub(super) fn in_mlir(&self, name: &str, source: &[u8]) -> Result<Vec<u8>, Failure> {
        let mlir = Mlir::new()?;
        let mut program = mlir.read(name, source).map_err(Failure::usage)?;
        program.verify(Origin::Natgrad).map_err(Failure::usage)?;
        // What MLIR cannot know, the IR's own verifier does.
        program.ir().map_err(Failure::usage)?;
        for wanted in &self.passes {
            program.transform(&[transform(wanted)])?;
            self.tell(wanted, || program.text());
        }
        let is_bytecode =
            self.out.as_ref().is_some_and(|out| out.extension().is_some_and(|of| of == "mlirbc"));
        Ok(if is_bytecode { program.bytecode() } else { program.text().into_bytes() })
    }
}

fn transform(name: &str) -> Transform {
    match passes().find(|pass| pass.name == name) {
        Some(pass) => Transform::Pass(pass),
        None if name == TO_STABLEHLO => Transform::Stablehlo(lowering()),
        None => {
            debug_assert_eq!(name, TIDY, "the command line takes no other");
            Transform::Tidy
        }
    }
}
