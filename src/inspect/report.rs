//! All that is found out about an optimized program, as data that can be kept and compared.

use std::collections::BTreeMap;

use natgrad_hlo::HloModule;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::difference::Difference;
use super::edges::{Edge, edges};
use super::kernel::{Kernel, StageCost, kernels, opcodes, stage_costs};
use super::memory::{Assigned, Memory};
use super::roofline::{DeviceFigures, Roofline};
use super::verdict::{Counterpart, Subject, Verdict, verdicts};
use crate::compile::{Listing, Outputs};
use crate::config::RunConfig;
use crate::step::Program;

/// What a compiled program is and does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What was inspected.
    pub about: About,
    /// What it keeps of what it promises.
    pub verdicts: Vec<Verdict>,
    /// What its phases take, in the order of a step.
    pub stages: Vec<StageCost>,
    /// What flows through memory between its phases, its inputs and its outputs.
    pub edges: Vec<Edge>,
    /// How many instructions do each operation, those in fusions too.
    pub opcodes: BTreeMap<String, u64>,
    /// Its kernels, in the order of execution.
    pub kernels: Vec<Kernel>,
    /// Its memory.
    pub memory: Memory,
    /// Its least times, where the device's figures are known.
    pub roofline: Option<Roofline>,
    /// AdamW's step of the same configuration, where there is one to compare with.
    pub adamw: Option<OtherStep>,
    /// What differs in another program, where it is compared with one.
    pub against: Option<Difference>,
}

/// What was inspected.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    /// The version of natgrad that inspected it.
    pub natgrad: String,
    /// The program.
    pub program: String,
    /// The optimizer.
    pub rule: String,
    /// The device that it is compiled for.
    pub device: String,
    /// Elements of the trained parameters.
    pub parameters: u64,
    /// The configuration of the run.
    pub config: Value,
}

/// What another step takes, to compare with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherStep {
    /// How many kernels it has.
    pub kernels: u64,
    /// What its phases take.
    pub stages: Vec<StageCost>,
    /// Its memory.
    pub memory: Memory,
    /// Its least times.
    pub roofline: Option<Roofline>,
}

/// A program and what was made of it.
#[derive(Clone, Debug)]
pub struct Optimized {
    /// The program.
    pub program: Program,
    /// What XLA made of it.
    pub module: HloModule,
    /// What XLA's buffer assignment says of its memory.
    pub assigned: Option<Assigned>,
}

impl Optimized {
    /// Reads what came of a program.
    ///
    /// # Errors
    /// XLA's message cannot be read.
    pub fn of(listing: Listing) -> Result<Optimized, natgrad_hlo::Error> {
        let module = HloModule::decode(&listing.hlo)?;
        Ok(Optimized { program: listing.program, module, assigned: Some(listing.memory.into()) })
    }
}

impl About {
    /// What is inspected where a program of a configuration is, on a device of this name.
    pub fn of(optimized: &Optimized, config: &RunConfig, device: String) -> About {
        About {
            natgrad: env!("CARGO_PKG_VERSION").to_owned(),
            program: optimized.program.module.module().name.clone(),
            rule: config.rule.name().to_owned(),
            device,
            parameters: optimized.program.interface.trained_elements() as u64,
            config: config.to_json(),
        }
    }
}

impl Report {
    /// Inspects a program. `outputs` is what the target makes of computations that have several.
    pub fn of(
        about: About,
        optimized: &Optimized,
        adamw: Option<&Optimized>,
        figures: Option<&DeviceFigures>,
        outputs: Outputs,
    ) -> Report {
        let own = kernels(&optimized.module);
        let others = adamw.map(|adamw| kernels(&adamw.module));
        let counterpart = adamw.zip(others.as_ref()).map(|(adamw, kernels)| Counterpart {
            program: &adamw.program,
            kernels,
            outputs,
        });
        let subject = Subject {
            program: &optimized.program,
            module: &optimized.module,
            kernels: &own,
            adamw: counterpart,
        };
        let verdicts = verdicts(&subject);
        let stages = stage_costs(&own);
        let adamw = adamw.zip(others.as_ref()).map(|(adamw, kernels)| {
            let stages = stage_costs(kernels);
            OtherStep {
                kernels: kernels.len() as u64,
                memory: Memory::of(&adamw.module, adamw.assigned),
                roofline: figures.map(|figures| Roofline::of(kernels, &stages, figures)),
                stages,
            }
        });
        Report {
            about,
            verdicts,
            memory: Memory::of(&optimized.module, optimized.assigned),
            roofline: figures.map(|figures| Roofline::of(&own, &stages, figures)),
            stages,
            edges: edges(&optimized.program, &optimized.module),
            opcodes: opcodes(&optimized.module),
            kernels: own,
            adamw,
            against: None,
        }
    }

    /// Bytes that the optimizer's phases move for each trained parameter.
    pub fn optimizer_bytes_per_parameter(&self) -> f64 {
        optimizer_bytes(&self.stages) as f64 / self.about.parameters.max(1) as f64
    }
}

/// Bytes that the optimizer's phases move.
pub(super) fn optimizer_bytes(stages: &[StageCost]) -> u64 {
    stages.iter().filter(|cost| cost.name.is_optimizer()).map(|cost| cost.bytes).fold(0, u64::saturating_add)
}
