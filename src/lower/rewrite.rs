//! Helpers of passes that write functions anew.

use natgrad_ir::{FuncId, Function, InstData, Module, Verified};

/// The module with every function as `rewrite` makes it, which may add functions before it. Calls in what it is given are of
/// the new module's functions.
pub(super) fn rewrite(
    module: &Verified,
    mut rewrite: impl FnMut(Function, &mut Module) -> Function,
) -> Module {
    let module = module.module();
    let mut new = Module::new(module.name.clone());
    let mut ids: Vec<FuncId> = Vec::with_capacity(module.functions.len());
    for function in &module.functions {
        let mut function = function.clone();
        for callee in function.insts.iter_mut().filter_map(|inst| inst.op.callee_mut()) {
            *callee = ids[callee.index()];
        }
        let made = rewrite(function, &mut new);
        ids.push(new.push(made));
    }
    new
}

/// How many instructions that pass the test read each value.
pub(super) fn readers(function: &Function, test: impl Fn(&InstData) -> bool) -> Vec<usize> {
    let mut readers = vec![0; function.values.len()];
    for inst in function.insts.iter().filter(|inst| test(inst)) {
        for (place, operand) in inst.operands.iter().enumerate() {
            readers[operand.index()] += usize::from(!inst.operands[..place].contains(operand));
        }
    }
    readers
}

/// How often each value is read: by how many instructions, and once for each result of the function that it is.
pub(super) fn all_readers(function: &Function) -> Vec<usize> {
    let mut readers = readers(function, |_| true);
    function.results.iter().for_each(|result| readers[result.index()] += 1);
    readers
}
