//! The summary as tables.

use std::collections::BTreeSet;
use std::fmt;

use natgrad_hlo::shape_index;

use super::{CopySource, InstructionSummary, Summary};
use crate::inspect::noise::{BufferRole, noise_buffers};
use crate::inspect::stage::Stage;
use crate::inspect::titled::{Align, Titled, grouped};

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "module {}", self.module)?;
        let tables = [
            self.parameter_table(),
            self.output_table(),
            self.opcode_table(),
            self.stage_table(),
            self.instruction_table(),
            self.copy_table(),
            self.noise_table(),
            self.noise_buffer_table(),
        ];
        tables.into_iter().try_for_each(|table| write!(f, "{table}"))
    }
}

impl Summary {
    /// The table of stages alone.
    pub fn stages(&self) -> String {
        self.stage_table().to_string()
    }

    fn parameter_table(&self) -> Titled {
        let columns = [
            ("number", Align::Right),
            ("name", Align::Left),
            ("shape", Align::Left),
            ("bytes", Align::Right),
            ("becomes output", Align::Left),
        ];
        let bytes = self.parameters.iter().map(|p| p.bytes).sum();
        let mut table = Titled::new(format!("parameters ({} bytes)", grouped(bytes)), &columns);
        for parameter in &self.parameters {
            let mut becomes: Vec<String> =
                parameter.aliased_outputs.iter().map(|index| shape_index(index)).collect();
            if parameter.is_donor {
                becomes.push("any".to_owned());
            }
            table.row(vec![
                parameter.number.to_string(),
                parameter.name.clone(),
                parameter.shape.to_string(),
                grouped(parameter.bytes),
                becomes.join(" "),
            ]);
        }
        table
    }

    fn output_table(&self) -> Titled {
        let columns = [
            ("output", Align::Right),
            ("shape", Align::Left),
            ("bytes", Align::Right),
            ("in memory of parameter", Align::Right),
            ("computed by", Align::Left),
        ];
        let bytes = self.outputs.iter().map(|o| o.bytes).sum();
        let mut table = Titled::new(format!("outputs ({} bytes)", grouped(bytes)), &columns);
        for output in &self.outputs {
            table.row(vec![
                shape_index(&output.index),
                output.shape.to_string(),
                grouped(output.bytes),
                output.aliased_parameter.map_or_else(|| "-".to_owned(), |number| number.to_string()),
                output.producer.clone(),
            ]);
        }
        table
    }

    fn opcode_table(&self) -> Titled {
        let fusions: Vec<String> =
            self.fusions.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let fusions = match fusions.as_slice() {
            [] => String::new(),
            fusions => format!("; fusions that run anywhere: {}", fusions.join(", ")),
        };
        let columns = [("opcode", Align::Left), ("instructions", Align::Right)];
        let mut table = Titled::new(format!("entry instructions{fusions}"), &columns);
        for (opcode, count) in &self.opcodes {
            table.row(vec![opcode.to_string(), count.to_string()]);
        }
        table
    }

    fn stage_table(&self) -> Titled {
        let columns = [
            ("stage", Align::Left),
            ("instructions", Align::Right),
            ("fusions", Align::Right),
            ("bytes read", Align::Right),
            ("bytes written", Align::Right),
        ];
        let mut table = Titled::new("stages", &columns);
        for total in &self.stages {
            table.row(vec![
                stage_name(total.stage),
                total.instructions.to_string(),
                total.fusions.to_string(),
                grouped(total.traffic.read),
                grouped(total.traffic.written),
            ]);
        }
        table
    }

    fn instruction_table(&self) -> Titled {
        let columns = [
            ("instruction", Align::Left),
            ("does", Align::Left),
            ("stage", Align::Left),
            ("stages inside", Align::Left),
            ("bytes read", Align::Right),
            ("bytes written", Align::Right),
        ];
        let mut table = Titled::new("entry instructions that touch memory", &columns);
        for instruction in &self.instructions {
            table.row(vec![
                instruction.name.clone(),
                what(instruction),
                stage_name(instruction.stage),
                stage_names(&instruction.stages),
                grouped(instruction.traffic.read),
                grouped(instruction.traffic.written),
            ]);
        }
        table
    }

    fn copy_table(&self) -> Titled {
        let columns =
            [("copy", Align::Left), ("of", Align::Left), ("shape", Align::Left), ("bytes", Align::Right)];
        let bytes = self.copies.iter().map(|copy| copy.bytes).sum();
        let mut table = Titled::new(format!("copies ({} bytes)", grouped(bytes)), &columns);
        for copy in &self.copies {
            let source = match &copy.source {
                CopySource::Parameter(number) => format!("parameter {number}"),
                CopySource::Value(name) => name.clone(),
            };
            table.row(vec![copy.name.clone(), source, copy.shape.to_string(), grouped(copy.bytes)]);
        }
        table
    }

    fn noise_table(&self) -> Titled {
        let columns = [
            ("constant", Align::Left),
            ("round", Align::Left),
            ("multiplication", Align::Left),
            ("in", Align::Left),
            ("stage", Align::Left),
            ("elements", Align::Right),
            ("evaluations", Align::Right),
            ("loop trips", Align::Right),
        ];
        let mut table = Titled::new("noise: multiplications by a hash's constants", &columns);
        for site in &self.noise {
            table.row(vec![
                format!("{:#010x}", site.constant),
                if site.first_round { "first" } else { "later" }.to_owned(),
                site.instruction.clone(),
                format!("{}/{}", site.producer.computation, site.producer.instruction),
                stage_name(site.stage),
                grouped(site.elements),
                grouped(site.evaluations),
                site.trips.map_or_else(|| "?".to_owned(), |trips| trips.to_string()),
            ]);
        }
        table
    }

    fn noise_buffer_table(&self) -> Titled {
        let columns = [
            ("computation", Align::Left),
            ("instruction", Align::Left),
            ("part", Align::Right),
            ("shape", Align::Left),
            ("becomes", Align::Left),
        ];
        let mut table = Titled::new("buffers written by instructions with noise in them", &columns);
        for (emitter, output) in noise_buffers(&self.noise) {
            let role = match &output.role {
                BufferRole::State { output, parameter } => {
                    format!("state: output {} in parameter {parameter}", shape_index(output))
                }
                BufferRole::Output { output } => format!("output {}", shape_index(output)),
                BufferRole::Stack { outputs } => format!("state: sliced into {} outputs", outputs.len()),
                BufferRole::Temporary => "temporary".to_owned(),
            };
            table.row(vec![
                emitter.computation.clone(),
                emitter.instruction.clone(),
                shape_index(&output.index),
                output.shape.to_string(),
                role,
            ]);
        }
        table
    }
}

fn what(instruction: &InstructionSummary) -> String {
    match instruction.fusion {
        Some(kind) => format!("{} {kind}", instruction.opcode),
        None => instruction.opcode.to_string(),
    }
}

fn stage_name(stage: Option<Stage>) -> String {
    stage.map_or("-", Stage::name).to_owned()
}

fn stage_names(stages: &BTreeSet<Stage>) -> String {
    let names: Vec<&str> = stages.iter().map(|stage| stage.name()).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(" ") }
}
