//! The kernels of a program: what runs over memory one after another, each with its origin, traffic and work.

use std::collections::{BTreeMap, BTreeSet};

use natgrad_hlo::flow::{Flow, Frame, Site, trip_count};
use natgrad_hlo::traffic::{self, Traffic};
use natgrad_hlo::work::{self, Work};
use natgrad_hlo::{Attributes, FusionKind, HloModule, Opcode};
use serde::{Deserialize, Serialize};

use super::stage::{Origin, Phase};

/// An instruction that runs over memory by itself: a fusion with all in it, a matrix product, a convolution, a copy, a
/// call of code that is not HLO. Calls, loops and branches are not; what they run is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kernel {
    /// Its name.
    pub name: String,
    /// The computation that it is in: the entry, or the body of a loop or call.
    pub computation: String,
    /// What it does: its opcode, with the kind of a fusion or the code that is called.
    pub does: String,
    /// Where it comes from: its own name, else most of what is in it, else what uses it.
    pub origin: Origin,
    /// Every phase of the program that has an operation in it.
    #[serde(rename = "parts")]
    pub phases: BTreeSet<Phase>,
    /// Its result, without layouts.
    pub shape: String,
    /// How often it runs: the rounds of the loops around it, where XLA knows them; others count as one round.
    pub runs: u64,
    /// Whether all of those are known.
    pub runs_known: bool,
    /// Memory traffic of all runs.
    pub traffic: Traffic,
    /// Arithmetic of all runs.
    pub work: Work,
    /// The operations in a fusion, in order. Not kept in files.
    #[serde(skip)]
    pub inside: Vec<FusedOperation>,
}

/// An operation in a fusion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FusedOperation {
    /// Its name.
    pub name: String,
    /// What it does.
    pub opcode: Opcode,
    /// Its result, without layouts.
    pub shape: String,
    /// Whether that is an array of more than one element.
    pub is_array: bool,
    /// Where it comes from, where its name tells.
    pub origin: Option<Origin>,
    /// Whether an operation of the model in the same fusion is computed from it.
    pub feeds_model: bool,
}

/// What the kernels of a phase of the program take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageCost {
    /// The phase.
    pub name: Phase,
    /// Kernels that are counted under it.
    pub kernels: u64,
    /// Kernels of other phases that have operations of it in them.
    pub shared: u64,
    /// Bytes moved: read and written.
    pub bytes: u64,
    /// Floating-point operations of all kinds.
    pub flops: u64,
    /// Memory traffic.
    pub traffic: Traffic,
    /// Arithmetic.
    pub work: Work,
}

/// Every kernel of a module, in the order of execution; what a loop runs stands once.
pub fn kernels(module: &HloModule) -> Vec<Kernel> {
    let flow = Flow::of(module);
    let mut kernels = Vec::new();
    walk(&flow, Frame::ENTRY, Runs { count: 1, known: true }, &mut kernels);
    kernels
}

/// How many instructions of a module do each operation, those in fusions too; not those that only name values. What
/// several calls share is counted for each of them.
pub(super) fn opcodes(module: &HloModule) -> BTreeMap<String, u64> {
    let flow = Flow::of(module);
    let mut counts = BTreeMap::new();
    for (_, instruction) in flow.frames().flat_map(|frame| flow.computation(frame).iter()) {
        if !traffic::is_free(&instruction.opcode) {
            *counts.entry(instruction.opcode.to_string()).or_insert(0) += 1;
        }
    }
    counts
}

/// The costs of every phase of the program that is in a kernel, in the order of a step.
pub fn stage_costs(kernels: &[Kernel]) -> Vec<StageCost> {
    let mut phases: BTreeSet<Phase> = kernels.iter().map(|kernel| kernel.origin.phase).collect();
    phases.extend(kernels.iter().flat_map(|kernel| &kernel.phases));
    phases
        .into_iter()
        .map(|phase| {
            let own = || kernels.iter().filter(move |kernel| kernel.origin.phase == phase);
            let shared = kernels.iter().filter(|it| it.origin.phase != phase && it.phases.contains(&phase));
            let traffic = own().fold(Traffic::default(), |sum, kernel| sum.plus(kernel.traffic));
            let work = own().fold(Work::default(), |sum, kernel| sum.plus(&kernel.work));
            StageCost {
                name: phase,
                kernels: own().count() as u64,
                shared: shared.count() as u64,
                bytes: traffic.total(),
                flops: work.flops(),
                traffic,
                work,
            }
        })
        .collect()
}

/// Whether an instruction is no kernel itself but runs computations that have kernels.
pub(super) fn is_control(opcode: &Opcode) -> bool {
    matches!(opcode, Opcode::Call | Opcode::While | Opcode::Conditional | Opcode::AsyncStart)
}

/// Whether an instruction is a kernel, in a computation that is no fusion's.
pub(super) fn is_kernel(opcode: &Opcode) -> bool {
    !is_control(opcode) && !traffic::is_free(opcode)
}

#[derive(Clone, Copy)]
struct Runs {
    count: u64,
    known: bool,
}

fn walk(flow: &Flow<'_>, frame: Frame, runs: Runs, kernels: &mut Vec<Kernel>) {
    for (id, instruction) in flow.computation(frame).iter() {
        let site = Site { frame, instruction: id };
        if is_control(&instruction.opcode) {
            let mut inner = runs;
            if instruction.opcode == Opcode::While {
                let trips = trip_count(instruction);
                inner.known &= trips.is_some();
                inner.count = inner.count.saturating_mul(trips.unwrap_or(1));
            }
            for &callee in flow.callees(site) {
                walk(flow, callee, inner, kernels);
            }
        } else if is_kernel(&instruction.opcode) {
            kernels.push(kernel(flow, site, runs));
        }
    }
}

fn kernel(flow: &Flow<'_>, site: Site, runs: Runs) -> Kernel {
    let instruction = flow.instruction(site);
    let inside = operations(flow, site);
    let phases = inside.iter().filter_map(|operation| operation.origin.as_ref()).map(|it| it.phase);
    Kernel {
        name: instruction.name.clone(),
        computation: flow.computation(site.frame).name.clone(),
        does: what(flow, site),
        origin: origin(flow, site),
        phases: phases.chain(own_origin(flow, site).map(|origin| origin.phase)).collect(),
        shape: instruction.shape.without_layout().to_string(),
        runs: runs.count,
        runs_known: runs.known,
        traffic: traffic::of(flow, site).times(runs.count),
        work: work::of(flow, site).times(runs.count),
        inside,
    }
}

fn what(flow: &Flow<'_>, site: Site) -> String {
    let instruction = flow.instruction(site);
    match &instruction.attributes {
        Attributes::Fusion { kind, .. } => format!("{} {}", instruction.opcode, kind),
        Attributes::CustomCall(call) => format!("{} {}", instruction.opcode, call.target),
        _ => instruction.opcode.to_string(),
    }
}

/// The operations in a fusion.
fn operations(flow: &Flow<'_>, site: Site) -> Vec<FusedOperation> {
    let mut sites = Vec::new();
    collect(flow, site, &mut sites);
    let sources = sources_of_model(flow, &sites);
    sites
        .into_iter()
        .map(|site| {
            let instruction = flow.instruction(site);
            FusedOperation {
                name: instruction.name.clone(),
                opcode: instruction.opcode.clone(),
                shape: instruction.shape.without_layout().to_string(),
                is_array: instruction.shape.as_array().is_some_and(|array| array.elements() > 1),
                origin: Origin::of(&instruction.metadata.op_name),
                feeds_model: sources.contains(&site),
            }
        })
        .collect()
}

/// The operations in a fusion and in the fusions in it, but for parameters and what only names values.
fn collect(flow: &Flow<'_>, site: Site, sites: &mut Vec<Site>) {
    for &frame in flow.callees(site) {
        for (id, instruction) in flow.computation(frame).iter() {
            let inner = Site { frame, instruction: id };
            if !flow.callees(inner).is_empty() {
                collect(flow, inner, sites);
            } else if !traffic::is_free(&instruction.opcode) {
                sites.push(inner);
            }
        }
    }
}

/// What operations of the model among the sites are computed from, within the frames of the sites.
fn sources_of_model(flow: &Flow<'_>, sites: &[Site]) -> BTreeSet<Site> {
    let frames: BTreeSet<Frame> = sites.iter().map(|site| site.frame).collect();
    let is_model = |site: &Site| {
        let origin = Origin::of(&flow.instruction(*site).metadata.op_name);
        origin.is_some_and(|origin| origin.phase.is_model())
    };
    let before = |site: Site| {
        let operands = flow.operands(site).into_iter().map(|operand| flow.origin(operand, Vec::new()).0);
        operands.filter(|operand| frames.contains(&operand.frame))
    };
    let mut sources = BTreeSet::new();
    let mut pending: Vec<Site> = sites.iter().copied().filter(is_model).flat_map(before).collect();
    while let Some(site) = pending.pop() {
        if sources.insert(site) {
            let roots = flow.callees(site).iter();
            pending.extend(roots.map(|&frame| Site { frame, instruction: flow.computation(frame).root }));
            pending.extend(before(site));
        }
    }
    sources
}

/// Where a kernel comes from: its own name, else most of what is in it, else what uses it, else what it uses.
pub(super) fn origin(flow: &Flow<'_>, site: Site) -> Origin {
    let unknown = || Origin { phase: Phase::Other, layer: String::new() };
    own_origin(flow, site)
        .or_else(|| {
            nearest(flow, site, |site| {
                let users = flow.users(site).iter();
                users.map(|&(instruction, _)| Site { frame: site.frame, instruction }).collect()
            })
        })
        .or_else(|| nearest(flow, site, |site| flow.operands(site)))
        .unwrap_or_else(unknown)
}

fn own_origin(flow: &Flow<'_>, site: Site) -> Option<Origin> {
    Origin::of(&flow.instruction(site).metadata.op_name).or_else(|| {
        let mut sites = Vec::new();
        collect(flow, site, &mut sites);
        let origins =
            sites.into_iter().filter_map(|site| Origin::of(&flow.instruction(site).metadata.op_name));
        let mut counts: BTreeMap<Origin, usize> = BTreeMap::new();
        for origin in origins {
            *counts.entry(origin).or_default() += 1;
        }
        // Of equally frequent ones, the earlier in the step.
        counts.into_iter().rev().max_by_key(|(_, count)| *count).map(|(origin, _)| origin)
    })
}

/// The origin of the nearest instruction that has one of its own, along users or operands.
fn nearest(flow: &Flow<'_>, site: Site, next: impl Fn(Site) -> Vec<Site>) -> Option<Origin> {
    let mut seen = BTreeSet::from([site]);
    let mut pending = std::collections::VecDeque::from(next(site));
    while let Some(site) = pending.pop_front() {
        if !seen.insert(site) {
            continue;
        }
        // A parameter's name is that of an input, not of an operation.
        let is_operation = !matches!(flow.instruction(site).opcode, Opcode::Parameter | Opcode::Constant);
        if let Some(origin) = own_origin(flow, site).filter(|_| is_operation) {
            return Some(origin);
        }
        pending.extend(next(site));
    }
    None
}

impl Kernel {
    /// The kind, if it is a fusion.
    pub fn fusion(&self) -> Option<FusionKind> {
        FusionKind::from_name(self.does.strip_prefix("fusion ")?)
    }

    /// Whether it only moves what it reads.
    pub fn is_copy(&self) -> bool {
        let is_copy = |opcode: &Opcode| matches!(opcode, Opcode::Copy);
        match self.inside.as_slice() {
            [] => matches!(self.does.as_str(), "copy" | "copy-start"),
            inside => inside.iter().all(|operation| is_copy(&operation.opcode)),
        }
    }
}
