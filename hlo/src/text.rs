//! HLO text in XLA's own style, which XLA's tools read.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::attributes::Attributes;
use super::module::{
    AliasKind, Computation, ComputationId, HloModule, Instruction, Metadata, ProgramShape, StackFrames,
};
use super::opcode::Opcode;
use super::shape::{index_comment, separator};

mod attributes;
mod quote;

use quote::{dictionary_or_quoted, quoted};

/// What the text shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextOptions {
    /// Arrays of more than ten elements in full rather than as `{...}`.
    pub large_constants: bool,
    /// Where instructions came from.
    pub metadata: bool,
    /// The backend's configuration of instructions.
    pub backend_config: bool,
}

impl Default for TextOptions {
    /// What XLA shows by default.
    fn default() -> TextOptions {
        TextOptions { large_constants: false, metadata: true, backend_config: true }
    }
}

impl HloModule {
    /// The module as HLO text, as XLA writes it by default.
    pub fn to_text(&self) -> String {
        self.to_text_with(TextOptions::default())
    }

    /// The module as HLO text.
    pub fn to_text_with(&self, options: TextOptions) -> String {
        let mut text = format!("HloModule {}", self.name);
        for attribute in self.header_attributes() {
            text.push_str(", ");
            text.push_str(&attribute);
        }
        text.push_str("\n\n");
        if options.metadata {
            write_stack_frames(&self.stack_frames, &mut text);
        }
        for id in self.text_order() {
            if id == self.entry {
                text.push_str("ENTRY ");
            }
            self.write_computation(self.computation(id), options, &mut text);
            text.push('\n');
        }
        text
    }

    /// Each computation right after those that it is the first to call, as XLA writes them.
    fn text_order(&self) -> Vec<ComputationId> {
        let callees: Vec<BTreeSet<ComputationId>> = self
            .computations
            .iter()
            .map(|computation| {
                computation.instructions.iter().flat_map(|i| i.called.iter().copied()).collect()
            })
            .collect();
        let called: BTreeSet<ComputationId> = callees.iter().flatten().copied().collect();
        let mut order = Vec::with_capacity(self.computations.len());
        let mut seen = vec![false; self.computations.len()];
        // The second turn only finds computations that call each other in a circle.
        for only_roots in [true, false] {
            for root in (0..self.computations.len()).map(ComputationId) {
                if !(only_roots && called.contains(&root)) {
                    visit(root, &callees, &mut seen, &mut order);
                }
            }
        }
        order
    }

    fn header_attributes(&self) -> Vec<String> {
        let mut attributes = Vec::new();
        if self.is_scheduled {
            attributes.push("is_scheduled=true".to_owned());
        }
        if !self.input_output_alias.is_empty() {
            let entries: Vec<String> = self
                .input_output_alias
                .iter()
                .map(|alias| {
                    let kind = match alias.kind {
                        AliasKind::May => "may-alias",
                        AliasKind::Must => "must-alias",
                    };
                    let index = shape_index(&alias.parameter_index);
                    format!("{}: ({}, {index}, {kind})", shape_index(&alias.output), alias.parameter)
                })
                .collect();
            attributes.push(format!("input_output_alias={{ {} }}", entries.join(", ")));
        }
        if !self.buffer_donors.is_empty() {
            let entries: Vec<String> = self
                .buffer_donors
                .iter()
                .map(|donor| format!("({}, {})", donor.parameter, shape_index(&donor.parameter_index)))
                .collect();
            attributes.push(format!("buffer_donor={{ {} }}", entries.join(", ")));
        }
        if let Some(layout) = &self.entry_layout {
            attributes.push(format!("entry_computation_layout={{{}}}", program_shape(layout)));
        }
        if let Some(config) = &self.config {
            let flags = [
                ("allow_spmd_sharding_propagation_to_parameters", &config.propagate_to_parameters),
                ("allow_spmd_sharding_propagation_to_output", &config.propagate_to_output),
            ];
            for (name, values) in flags {
                // One `false` for all is the default.
                if values.contains(&true) || values.len() > 1 {
                    let values: Vec<String> = values.iter().map(bool::to_string).collect();
                    attributes.push(format!("{name}={{{}}}", values.join(",")));
                }
            }
            for (name, count) in
                [("replica_count", config.replica_count), ("num_partitions", config.num_partitions)]
            {
                if count > 1 {
                    attributes.push(format!("{name}={count}"));
                }
            }
        }
        if !self.frontend_attributes.is_empty() {
            attributes.push(attributes::dictionary("frontend_attributes", &self.frontend_attributes));
        }
        attributes
    }

    fn write_computation(&self, computation: &Computation, options: TextOptions, text: &mut String) {
        text.push_str(&format!("%{} (", computation.name));
        for (i, (_, parameter)) in computation.parameters().into_iter().enumerate() {
            let _ = write!(text, "{}{}: {}", separator(i), parameter.name, parameter.shape.without_layout());
        }
        let _ = writeln!(text, ") -> {} {{", computation.root_instruction().shape.without_layout());
        for instruction in &computation.instructions {
            text.push_str(if instruction.is_root { "  ROOT " } else { "  " });
            self.write_instruction(computation, instruction, options, text);
            text.push('\n');
        }
        text.push('}');
        if !computation.execution_thread.is_empty() {
            let _ = write!(text, ", execution_thread={}", quoted(&computation.execution_thread));
        }
        text.push('\n');
    }

    fn write_instruction(
        &self,
        computation: &Computation,
        instruction: &Instruction,
        options: TextOptions,
        text: &mut String,
    ) {
        let _ = write!(text, "%{} = {} {}(", instruction.name, instruction.shape, instruction.opcode);
        match (&instruction.attributes, &instruction.opcode) {
            (Attributes::Parameter { number, .. }, _) => {
                let _ = write!(text, "{number}");
            }
            (Attributes::Constant(literal), _) => text.push_str(&literal.to_text(options.large_constants)),
            _ => {
                for (i, operand) in instruction.operands.iter().enumerate() {
                    let comment = index_comment(i).unwrap_or_default();
                    let _ =
                        write!(text, "{}{comment}%{}", separator(i), computation.instruction(*operand).name);
                }
            }
        }
        text.push(')');
        for attribute in self.instruction_attributes(computation, instruction, options) {
            text.push_str(", ");
            text.push_str(&attribute);
        }
        if !instruction.unread_fields.is_empty() {
            let fields: Vec<String> = instruction.unread_fields.iter().map(u32::to_string).collect();
            let _ = write!(text, " /*unread fields of HloInstructionProto: {}*/", fields.join(", "));
        }
    }

    fn instruction_attributes(
        &self,
        computation: &Computation,
        instruction: &Instruction,
        options: TextOptions,
    ) -> Vec<String> {
        let mut attributes = attributes::of(&instruction.attributes, &instruction.opcode, options);
        attributes.extend(self.called_computations(computation, instruction));
        if let Attributes::Call { is_composite: true } = instruction.attributes {
            attributes.push("is_composite=true".to_owned());
        }
        if let Some(sharding) = &instruction.sharding {
            attributes.push(format!("sharding={sharding}"));
        }
        if !instruction.frontend_attributes.is_empty() {
            attributes.push(attributes::dictionary("frontend_attributes", &instruction.frontend_attributes));
        }
        if !instruction.control_predecessors.is_empty() {
            let names: Vec<String> = instruction
                .control_predecessors
                .iter()
                .map(|&id| format!("%{}", computation.instruction(id).name))
                .collect();
            attributes.push(format!("control-predecessors={{{}}}", names.join(", ")));
        }
        if options.metadata && instruction.metadata != Metadata::default() {
            attributes.push(format!("metadata={{{}}}", metadata(&instruction.metadata)));
        }
        if options.backend_config && !instruction.backend_config.is_empty() {
            attributes.push(format!("backend_config={}", dictionary_or_quoted(&instruction.backend_config)));
        }
        attributes
    }

    /// How an instruction names the computations that it calls depends on what it does with them.
    fn called_computations(&self, computation: &Computation, instruction: &Instruction) -> Vec<String> {
        let names: Vec<String> =
            instruction.called.iter().map(|&id| format!("%{}", self.computation(id).name)).collect();
        let roles: &[&str] = match (&instruction.opcode, names.as_slice()) {
            (_, []) => return Vec::new(),
            // The protobuf has the body first.
            (Opcode::While, [body, condition]) => {
                return vec![format!("condition={condition}"), format!("body={body}")];
            }
            (Opcode::SelectAndScatter, [_, _]) => &["select", "scatter"],
            (Opcode::Conditional, [yes, no]) if self.is_predicated(computation, instruction) => {
                return vec![format!("true_computation={yes}"), format!("false_computation={no}")];
            }
            (Opcode::Conditional, _) => return vec![format!("branch_computations={{{}}}", names.join(", "))],
            (Opcode::CustomCall, _) => return vec![format!("called_computations={{{}}}", names.join(", "))],
            (
                Opcode::AllReduce
                | Opcode::AllReduceStart
                | Opcode::Call
                | Opcode::Map
                | Opcode::Reduce
                | Opcode::ReduceScatter
                | Opcode::ReduceWindow
                | Opcode::Scan
                | Opcode::Scatter
                | Opcode::Sort,
                [_],
            ) => &["to_apply"],
            (_, [_]) => &["calls"],
            _ => return vec![format!("calls={{{}}}", names.join(", "))],
        };
        roles.iter().zip(&names).map(|(role, name)| format!("{role}={name}")).collect()
    }

    fn is_predicated(&self, computation: &Computation, instruction: &Instruction) -> bool {
        let selector =
            instruction.operands.first().and_then(|&id| computation.instruction(id).shape.as_array());
        selector.is_some_and(|array| array.element_type == super::shape::ElementType::Pred)
    }
}

/// Adds a computation after its callees, with a stack of its own, as calls may be nested deeply.
fn visit(
    root: ComputationId,
    callees: &[BTreeSet<ComputationId>],
    seen: &mut [bool],
    order: &mut Vec<ComputationId>,
) {
    let mut stack = vec![(root, false)];
    while let Some((id, is_done)) = stack.pop() {
        if is_done {
            order.push(id);
        } else if !std::mem::replace(&mut seen[id.0], true) {
            stack.push((id, true));
            stack.extend(
                callees[id.0].iter().rev().filter(|callee| !seen[callee.0]).map(|&callee| (callee, false)),
            );
        }
    }
}

fn program_shape(shape: &ProgramShape) -> String {
    let mut text = String::from("(");
    for (i, parameter) in shape.parameters.iter().enumerate() {
        let _ = write!(text, "{}{}{parameter}", separator(i), index_comment(i).unwrap_or_default());
    }
    let _ = write!(text, ")->{}", shape.result);
    text
}

fn metadata(metadata: &Metadata) -> String {
    let texts = [
        ("op_type", &metadata.op_type),
        ("op_name", &metadata.op_name),
        ("source_file", &metadata.source_file),
    ];
    let numbers = [
        ("source_line", metadata.source_line),
        ("source_end_line", metadata.source_end_line),
        ("source_column", metadata.source_column),
        ("source_end_column", metadata.source_end_column),
    ];
    let later_texts =
        [("deduplicated_name", &metadata.deduplicated_name), ("scheduling_name", &metadata.scheduling_name)];
    let text =
        |(name, value): (&str, &String)| (!value.is_empty()).then(|| format!("{name}={}", quoted(value)));
    let number = |(name, value): (&str, i32)| (value != 0).then(|| format!("{name}={value}"));
    let mut parts: Vec<String> = texts.into_iter().filter_map(text).collect();
    parts.extend(numbers.into_iter().filter_map(number));
    parts.extend(later_texts.into_iter().filter_map(text));
    parts.extend(number(("stack_frame_id", metadata.stack_frame_id)));
    parts.join(" ")
}

fn write_stack_frames(frames: &StackFrames, text: &mut String) {
    if frames.frames.is_empty() {
        return;
    }
    text.push_str("FileNames\n");
    for (i, name) in frames.files.iter().enumerate() {
        let _ = writeln!(text, "{} {}", i + 1, quoted(name));
    }
    text.push_str("\nFunctionNames\n");
    for (i, name) in frames.functions.iter().enumerate() {
        let _ = writeln!(text, "{} {}", i + 1, quoted(name));
    }
    text.push_str("\nFileLocations\n");
    for (i, l) in frames.locations.iter().enumerate() {
        let _ = writeln!(
            text,
            "{} {{file_name_id={} function_name_id={} line={} end_line={} column={} end_column={}}}",
            i + 1,
            l.file,
            l.function,
            l.line,
            l.end_line,
            l.column,
            l.end_column
        );
    }
    text.push_str("\nStackFrames\n");
    for (i, (location, parent)) in frames.frames.iter().enumerate() {
        // XLA's text counts parents from one more than its protobuf does.
        let _ = writeln!(text, "{} {{file_location_id={location} parent_frame_id={}}}", i + 1, parent + 1);
    }
    text.push_str("\n\n");
}

/// A shape index: `{}`, `{1}`, `{1,0}`.
pub fn shape_index(index: &[i64]) -> String {
    format!("{{{}}}", super::devices::list(index))
}
