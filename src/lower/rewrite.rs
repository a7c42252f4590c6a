//! The helper that passes are made of which take parts of functions out into functions of their own.

use natgrad_ir::{FuncId, Function, Module, Verified};

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
