//! natgrad's passes, and its way to StableHLO, as passes of MLIR.
//!
//! Each is a pass of a `builtin.module` that reads the dialect into the IR, has the IR's own pass change it, and writes it
//! again. So no pass is there twice, and MLIR's pass manager runs them and verifies what each leaves.

use std::rc::Rc;

use melior::ir::operation::{OperationLike, OperationRef};
use melior::ir::r#type::TypeId;
use melior::ir::{Module, RegionLike};
use melior::pass::{ExternalPass, Pass as MlirPass, PassManager, RunExternalPass, create_external};
use melior::{Context, ContextRef};
use natgrad_ir::pass::{Pass, run, run_one};
use natgrad_ir::{Verified, verify};

use super::super::sink::MlirSink;
use super::super::{MlirError, Program, Said, copy_all};
use super::{read, write};
use crate::lower::{Donation, Lowering, TIDY, TO_STABLEHLO, lower};

/// What a pass makes of a program in natgrad's dialect.
#[derive(Clone, Copy, Debug)]
pub enum Transform {
    /// What one of natgrad's passes makes of it.
    Pass(&'static Pass),
    /// What all that make programs smaller do, until nothing changes.
    Tidy,
    /// StableHLO, told in this way. No other can follow.
    Stablehlo(Lowering),
}

impl Transform {
    /// The name.
    pub fn name(&self) -> &'static str {
        match self {
            Transform::Pass(pass) => pass.name,
            Transform::Tidy => TIDY,
            Transform::Stablehlo(_) => TO_STABLEHLO,
        }
    }
}

impl<'m> Program<'m> {
    /// The program in natgrad's IR, verified, and which parameters give their memory to which results.
    ///
    /// # Errors
    /// Each with its place: what is not of natgrad's dialect, or what the IR does not take.
    pub fn ir(&self) -> Result<(Verified, Donation), MlirError> {
        ir(self.module.as_operation()).map_err(MlirError::Refused)
    }

    /// Has MLIR's pass manager run these passes, in order, over a program in natgrad's dialect, and verify it after each.
    ///
    /// # Errors
    /// As [`Program::ir`]; or a pass is at fault, or the program cannot be lowered.
    pub fn transform(&mut self, transforms: &[Transform]) -> Result<(), MlirError> {
        let context = &self.mlir.programs;
        let passes = PassManager::new(context);
        for transform in transforms {
            passes.add_pass(pass(context, *transform, &self.mlir.said));
        }
        passes.run(&mut self.module).map_err(|_| self.mlir.refused())
    }
}

fn ir(module: OperationRef<'_, '_>) -> Result<(Verified, Donation), Vec<String>> {
    let (module, donation) = read::read(module)?;
    let told = |violations: natgrad_ir::verify::Violations| {
        violations.0.iter().map(ToString::to_string).collect::<Vec<String>>()
    };
    Ok((verify(module).map_err(told)?, donation))
}

/// By which MLIR knows these passes: the place of this.
#[repr(align(8))]
struct Id(#[allow(dead_code)] u64);

static ID: Id = Id(0);

fn pass(context: &Context, transform: Transform, said: &Said) -> MlirPass {
    let name = transform.name();
    let pass = OnModule { context, transform, said: Rc::clone(said) };
    let description = "a pass of natgrad over its own dialect";
    create_external(pass, TypeId::create(&ID), name, name, description, "builtin.module", &[])
}

#[derive(Clone)]
struct OnModule<'c> {
    context: &'c Context,
    transform: Transform,
    said: Said,
}

impl<'c> RunExternalPass<'c> for OnModule<'c> {
    fn initialize(&mut self, _context: ContextRef<'c>) {}

    fn run(&mut self, operation: OperationRef<'c, '_>, pass: ExternalPass<'_>) {
        match self.made(operation) {
            Ok(made) => replace(operation, &made),
            Err(faults) => {
                self.said.borrow_mut().extend(faults);
                pass.signal_failure();
            }
        }
    }
}

impl<'c> OnModule<'c> {
    fn made(&self, module: OperationRef<'c, '_>) -> Result<Module<'c>, Vec<String>> {
        let (module, donation) = ir(module)?;
        let mut sink = MlirSink::new(self.context);
        let told = |error: &dyn std::error::Error| vec![error.to_string()];
        let mut write = |module: &Verified| write::write(&mut sink, module, &donation);
        match self.transform {
            Transform::Pass(pass) => write(&run_one(pass, &module).map_err(|error| told(&error))?),
            Transform::Tidy => write(&run(module).map_err(|error| told(&error))?),
            Transform::Stablehlo(lowering) => {
                lower(&module, &donation, lowering, &mut sink).map_err(|error| told(&error))?;
            }
        }
        sink.finish()
    }
}

/// Puts what is in `made` in the place of what is in `module`.
fn replace<'c>(module: OperationRef<'c, '_>, made: &Module<'c>) {
    let Some(block) = module.region(0).ok().and_then(|region| region.first_block()) else { return };
    natgrad_mlir::clear(block);
    copy_all(made, block);
}
