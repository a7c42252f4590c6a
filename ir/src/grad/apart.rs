//! Regions that are computed apart: in a call in the forward pass too.

use super::again::unused;
use super::region::{Cut, Region, RegionKind, common_scope, leave_scope};
use crate::graph::{Function, InstData, Module};
use crate::op::{CallKind, Op};

/// Replaces the instructions of the regions that are computed apart by calls, whose functions are added to the module. What such a
/// region holds while it computes is then gone before the next one begins.
pub(super) fn with_calls(module: &mut Module, function: Function, regions: &[Region]) -> Function {
    let mut apart: Vec<&Region> =
        regions.iter().filter(|it| it.kind == RegionKind::Apart && !it.insts.is_empty()).collect();
    if apart.is_empty() {
        return function;
    }
    apart.sort_by_key(|region| (region.insts.start, std::cmp::Reverse(region.insts.end)));
    let (mut new, mut map) = function.begin_copy();
    let mut at = 0;
    while at < function.insts.len() {
        if let Some(region) = apart.iter().find(|region| region.insts.start == at)
            && let Some((op, cut, scope)) = called(module, &function, region)
        {
            let operands = cut.inputs.iter().map(|input| map[input]).collect();
            let origin = function.insts[at].origin;
            let inst = InstData { op, operands, results: Vec::new(), scope, origin };
            let results = cut.outputs.iter().map(|&output| {
                let data = function.value(output);
                (data.ty.clone(), data.name.clone())
            });
            let made = new.append(inst, results);
            map.extend(cut.outputs.iter().copied().zip(made));
            at = region.insts.end;
            continue;
        }
        new.append_copy(&function, &function.insts[at], &mut map);
        at += 1;
    }
    new.results = function.results.iter().map(|result| map[result]).collect();
    new
}

/// The call of a region, and what it reads and gives; none if nothing of it is used.
fn called(module: &mut Module, function: &Function, region: &Region) -> Option<(Op, Cut, String)> {
    let mut cut = Cut::of(function, region.insts.clone(), unused(module));
    if cut.outputs.is_empty() {
        return None;
    }
    let scope = common_scope(&cut.function);
    leave_scope(&mut cut.function, &scope);
    let callee = module.push(cut.function.clone());
    Some((Op::Call { callee, kind: CallKind::Materialize }, cut, scope))
}
