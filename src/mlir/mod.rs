//! Programs as true MLIR, through LLVM's libraries: the feature `mlir`.
//!
//! [`Mlir::lower`] builds a module in memory by the same lowering that writes text ([`crate::lower`]), and [`Mlir::read`]
//! reads one from text or bytecode. Both give a [`Program`], which MLIR verifies, prints and stores.
//!
//! StableHLO's own dialect is not among LLVM's libraries. So a program is kept in a context that takes operations it does
//! not know, with StableHLO's attributes as they are written; so XLA takes it. To be verified it is copied into a
//! second context, whose dialects are made of the list of operations that natgrad writes.
//!
//! natgrad's own IR is a dialect too: [`Mlir::dialect`] writes it, [`Program::ir`] reads it, and
//! [`Program::transform`] runs natgrad's passes over it, the one to StableHLO among them.

mod attributes;
mod check;
mod copy;
mod dialect;
mod linked;
mod operations;
mod properties;
mod sink;
mod tensor;

use std::cell::RefCell;
use std::rc::Rc;

use melior::Context;
use melior::diagnostic::{Diagnostic, DiagnosticSeverity};
use melior::dialect::DialectHandle;
use melior::ir::operation::{OperationLike, OperationPrintingFlags, OperationRef};
use melior::ir::{BlockLike, BlockRef, Location, Module};
use melior::utility::load_irdl_dialects;
use natgrad_ir::Verified;

use self::copy::Copy;
pub use self::dialect::passes::Transform;
pub use self::linked::read_linked_modules;
pub use self::sink::MlirSink;
use crate::compile::manner;
use crate::lower::{Donation, LowerError, Lowering, lower};
use crate::step;

/// Why MLIR did not take something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MlirError {
    /// The program cannot be lowered.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// What MLIR says, or natgrad of what MLIR does not know, each with the place.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
}

/// MLIR, with the dialects that natgrad's programs are written in.
#[derive(Debug)]
pub struct Mlir {
    /// Where programs are: it knows functions, and takes any other operation.
    programs: Context,
    /// Where they are verified: it knows StableHLO's operations too, as natgrad describes them.
    described: Context,
    /// What either has said and was not told yet.
    said: Said,
    operations: Vec<operations::Operation>,
}

type Said = Rc<RefCell<Vec<String>>>;

/// Which operations a program may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Those that natgrad writes: any other is a mistake.
    Natgrad,
    /// Any: those that natgrad does not write are not looked into.
    Elsewhere,
}

/// A module of MLIR.
#[derive(Debug)]
pub struct Program<'m> {
    mlir: &'m Mlir,
    module: Module<'m>,
}

impl Mlir {
    /// Makes the contexts.
    ///
    /// # Errors
    /// MLIR refuses natgrad's description of StableHLO, which is a mistake in natgrad.
    pub fn new() -> Result<Mlir, MlirError> {
        let said = Said::default();
        let operations = operations::all();
        let mlir = Mlir { programs: context(&said), described: context(&said), said, operations };
        let irdl = Mlir::dialects();
        natgrad_mlir::irdl().load_dialect(&mlir.described);
        let loaded = natgrad_mlir::parse(&mlir.described, "dialects.irdl", irdl.as_bytes())
            .is_some_and(|module| load_irdl_dialects(&module));
        if loaded { Ok(mlir) } else { Err(mlir.refused()) }
    }

    /// The operations that natgrad writes, as a module of IRDL: StableHLO's, and those of its own IR. Dimension numbers and
    /// precisions of StableHLO's are strings in it, and operations of [`Program::verify`]'s own check are not in it.
    pub fn dialects() -> String {
        operations::irdl(&operations::all())
    }

    /// Builds the StableHLO of a module in memory.
    ///
    /// # Errors
    /// As [`crate::lower::to_stablehlo`], or MLIR does not read an attribute, which is a mistake in natgrad, or the functions
    /// of a linked model, which must be in MLIR's generic form.
    pub fn lower(
        &self,
        module: &Verified,
        donation: &Donation,
        lowering: Lowering,
    ) -> Result<Program<'_>, MlirError> {
        self.build(|sink| lower(module, donation, lowering, sink))
    }

    /// Builds a module by what a sink is told.
    ///
    /// # Errors
    /// Of what tells it; or MLIR does not read an attribute.
    pub fn build<'m>(
        &'m self,
        tell: impl FnOnce(&mut MlirSink<'m>) -> Result<(), LowerError>,
    ) -> Result<Program<'m>, MlirError> {
        let mut sink = MlirSink::new(&self.programs);
        tell(&mut sink)?;
        let module =
            sink.finish().map_err(|faults| MlirError::Refused([faults, self.take_said()].concat()))?;
        Ok(Program { mlir: self, module })
    }

    /// Builds what [`crate::compile::stablehlo`] writes.
    ///
    /// # Errors
    /// As [`Mlir::lower`].
    pub fn program(&self, program: &step::Program, lowering: Lowering) -> Result<Program<'_>, MlirError> {
        let (donation, lowering) = manner(program, lowering);
        self.lower(&program.module, &donation, lowering)
    }

    /// Builds a program in natgrad's own dialect, of which [`Program::ir`] makes the same again.
    ///
    /// # Errors
    /// MLIR does not read an attribute, which is a mistake in natgrad.
    pub fn dialect(&self, program: &step::Program) -> Result<Program<'_>, MlirError> {
        self.dialect_of(&program.module, &Donation { aliases: program.donation() })
    }

    /// Builds a module in natgrad's own dialect, whose entry donates these parameters.
    ///
    /// # Errors
    /// As [`Mlir::dialect`].
    pub fn dialect_of(&self, module: &Verified, donation: &Donation) -> Result<Program<'_>, MlirError> {
        self.build(|sink| {
            dialect::write::write(sink, module, donation);
            Ok(())
        })
    }

    /// Reads a module, as text in MLIR's generic form or as bytecode; `name` is the file's, for errors.
    ///
    /// # Errors
    /// MLIR does not read it.
    pub fn read(&self, name: &str, source: &[u8]) -> Result<Program<'_>, MlirError> {
        match parse(&self.programs, name, source) {
            Some(module) => Ok(Program { mlir: self, module }),
            None => Err(self.refused()),
        }
    }

    fn take_said(&self) -> Vec<String> {
        std::mem::take(&mut *self.said.borrow_mut())
    }

    /// What was said since.
    fn refused(&self) -> MlirError {
        let said = self.take_said();
        MlirError::Refused(if said.is_empty() { vec!["MLIR refuses the module".to_owned()] } else { said })
    }
}

/// Reads a module, in which only the operations that MLIR knows have properties.
fn parse<'c>(context: &'c Context, name: &str, source: &[u8]) -> Option<Module<'c>> {
    let module = natgrad_mlir::parse(context, name, source)?;
    match properties::as_attributes(&generic(&module)) {
        Some(text) => natgrad_mlir::parse(context, name, text.as_bytes()),
        None => Some(module),
    }
}

/// MLIR's generic form, with locations.
fn generic(module: &Module<'_>) -> String {
    let flags = OperationPrintingFlags::new().print_generic_operation_form().use_local_scope();
    let text = module.as_operation().to_string_with_flags(flags.enable_debug_info(true, false));
    // Strings that are not UTF-8, of which natgrad writes none.
    text.unwrap_or_else(|_| module.as_operation().to_string())
}

/// A context that keeps what it says.
fn context(said: &Said) -> Context {
    let context = Context::new_with_threading(false);
    DialectHandle::func().load_dialect(&context);
    context.set_allow_unregistered_dialects(true);
    let said = Rc::clone(said);
    context.attach_diagnostic_handler(move |diagnostic| {
        if matches!(diagnostic.severity(), DiagnosticSeverity::Error) {
            said.borrow_mut().push(told(&diagnostic));
        }
        true
    });
    context
}

/// A diagnostic in one line: where, what, and the operation.
fn told(diagnostic: &Diagnostic<'_>) -> String {
    let mut text = format!("{}: {diagnostic}", place(diagnostic.location()));
    for note in (0..diagnostic.note_count()).filter_map(|index| diagnostic.note(index).ok()) {
        // The operation begins on a line of its own, and its regions may be as long as the program.
        let note = note.to_string();
        let lines: Vec<&str> = note.lines().map(str::trim).filter(|line| !line.is_empty()).take(2).collect();
        let shown = if lines.first().is_some_and(|line| line.ends_with(':')) { 2 } else { 1 };
        text.push_str(&format!(" ({})", lines[..lines.len().min(shown)].join(" ")));
    }
    text
}

/// The operations of a block, in order.
fn operations_of<'c: 'a, 'a>(block: BlockRef<'c, 'a>) -> impl Iterator<Item = OperationRef<'c, 'a>> {
    std::iter::successors(block.first_operation(), |operation| operation.next_in_block())
}

/// Appends copies of all that is in a module to a block.
fn copy_all<'c>(module: &Module<'c>, into: BlockRef<'c, '_>) {
    for operation in operations_of(module.body()) {
        into.append_operation((*operation).clone());
    }
}

/// A location as natgrad writes it: the path of an operation of the IR, or file, line and column.
fn place(location: Location<'_>) -> String {
    if location.is_name()
        && let Ok(name) = location.name_value().as_string_ref().as_str()
    {
        return name.to_owned();
    }
    let text = location.to_string();
    let inside = text.strip_prefix("loc(").and_then(|text| text.strip_suffix(')'));
    inside.unwrap_or(&text).replace('"', "")
}

impl Program<'_> {
    /// Has MLIR verify the program, and the operations of StableHLO in it by natgrad's description; what no description in
    /// MLIR can say is checked beside it.
    ///
    /// # Errors
    /// Each names the operation by its location, which is the path in natgrad's IR.
    pub fn verify(&self, origin: Origin) -> Result<(), MlirError> {
        if !self.module.as_operation().verify() {
            return Err(self.mlir.refused());
        }
        let mut copy = Copy::new(&self.mlir.described, &self.mlir.operations, origin);
        let module = copy.module(&self.module);
        let (faults, is_whole) = copy.finish();
        // MLIR would miss what is not copied.
        let verified = !is_whole || module.as_operation().verify();
        let faults = [self.mlir.take_said(), faults].concat();
        if verified && faults.is_empty() { Ok(()) } else { Err(MlirError::Refused(faults)) }
    }

    /// In MLIR's generic form, with locations.
    pub fn text(&self) -> String {
        generic(&self.module)
    }

    /// As MLIR's bytecode.
    pub fn bytecode(&self) -> Vec<u8> {
        self.module.as_operation().write_bytecode()
    }
}
