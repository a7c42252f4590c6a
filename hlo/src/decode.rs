//! From the serialized protobuf to [`HloModule`].

use std::collections::HashMap;

use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, skip_field};

use super::module::{
    Alias, AliasKind, BufferDonor, Computation, ComputationId, Config, FileLocation, HloModule, Instruction,
    InstructionId, Metadata, ProgramShape, StackFrames,
};
use super::opcode::Opcode;
use super::{Error, proto};

mod attributes;
mod value;

impl HloModule {
    /// Reads a serialized module: a `HloModuleProtoWithConfig` (PJRT's format `hlo_with_config`), a `HloProto`, or a
    /// bare `HloModuleProto` (PJRT's format `hlo`).
    pub fn decode(bytes: &[u8]) -> Result<HloModule, Error> {
        // A bare module's first field is its name, which does not read as a module with computations.
        match proto::ModuleWithConfig::decode(bytes) {
            Ok(proto::ModuleWithConfig { hlo_module: Some(module), config })
                if !module.computations.is_empty() =>
            {
                read_module(module, config)
            }
            _ => read_module(proto::Module::decode(bytes)?, None),
        }
    }
}

/// Where an instruction stands, for errors.
#[derive(Clone, Copy)]
struct Place<'a> {
    computation: &'a str,
    instruction: &'a str,
}

impl Place<'_> {
    fn error(self, field: &'static str, value: impl ToString, expected: &'static str) -> Error {
        Error::Field {
            computation: self.computation.to_owned(),
            instruction: self.instruction.to_owned(),
            field,
            value: value.to_string(),
            expected,
        }
    }
}

fn read_module(module: proto::Module, config: Option<proto::ModuleConfig>) -> Result<HloModule, Error> {
    if module.computations.is_empty() {
        return Err(Error::Empty);
    }
    let ids: HashMap<i64, ComputationId> =
        module.computations.iter().enumerate().map(|(i, c)| (c.id, ComputationId(i))).collect();
    let sequences = module.schedule.as_ref().map(|schedule| &schedule.sequences);
    let mut computations = Vec::with_capacity(module.computations.len());
    for computation in &module.computations {
        let sequence = sequences.and_then(|s| s.get(&computation.id)).map(|s| s.instruction_ids.as_slice());
        computations.push(read_computation(computation, sequence, &ids, &module.payloads)?);
    }
    let entry = match ids.get(&module.entry_computation_id) {
        Some(&entry) => entry,
        // Old modules name their entry only.
        None => computations
            .iter()
            .position(|c| c.name == module.entry_computation_name)
            .map(ComputationId)
            .ok_or_else(|| Error::NoEntry { name: module.entry_computation_name.clone() })?,
    };
    let layout = config
        .as_ref()
        .and_then(|c| c.entry_computation_layout.as_ref())
        .or(module.host_program_shape.as_ref());
    Ok(HloModule {
        entry_layout: layout.map(read_program_shape).transpose()?,
        name: module.name,
        computations,
        entry,
        is_scheduled: module.schedule.is_some(),
        input_output_alias: module
            .input_output_alias
            .unwrap_or_default()
            .entries
            .into_iter()
            .map(read_alias)
            .collect(),
        buffer_donors: module
            .buffer_donor
            .unwrap_or_default()
            .entries
            .into_iter()
            .map(|e| BufferDonor { parameter: e.parameter_number, parameter_index: e.parameter_shape_index })
            .collect(),
        config: config.map(|c| Config {
            replica_count: c.replica_count,
            num_partitions: c.num_partitions,
            propagate_to_parameters: c.allow_spmd_sharding_propagation_to_parameters,
            propagate_to_output: c.allow_spmd_sharding_propagation_to_output,
        }),
        frontend_attributes: module.frontend_attributes.unwrap_or_default().map,
        stack_frames: read_stack_frames(module.stack_frame_index.unwrap_or_default()),
    })
}

fn read_alias(entry: proto::AliasEntry) -> Alias {
    const MUST_ALIAS: i32 = 2;
    Alias {
        output: entry.output_shape_index,
        parameter: entry.parameter_number,
        parameter_index: entry.parameter_shape_index,
        kind: if entry.kind == MUST_ALIAS { AliasKind::Must } else { AliasKind::May },
    }
}

fn read_stack_frames(index: proto::StackFrameIndex) -> StackFrames {
    StackFrames {
        files: index.file_names,
        functions: index.function_names,
        locations: index
            .file_locations
            .into_iter()
            .map(|l| FileLocation {
                file: l.file_name_id,
                function: l.function_name_id,
                line: l.line,
                end_line: l.end_line,
                column: l.column,
                end_column: l.end_column,
            })
            .collect(),
        frames: index.stack_frames.into_iter().map(|f| (f.file_location_id, f.parent_frame_id)).collect(),
    }
}

fn read_program_shape(shape: &proto::ProgramShape) -> Result<ProgramShape, Error> {
    let place = Place { computation: "the entry", instruction: "its layout" };
    Ok(ProgramShape {
        parameters: shape.parameters.iter().map(|s| value::shape(s, place)).collect::<Result<_, _>>()?,
        result: value::required_shape(shape.result.as_ref(), place)?,
    })
}

fn read_computation(
    computation: &proto::Computation,
    sequence: Option<&[i64]>,
    computations: &HashMap<i64, ComputationId>,
    payloads: &[Vec<u8>],
) -> Result<Computation, Error> {
    let mut protos = Vec::with_capacity(computation.instructions.len());
    for bytes in &computation.instructions {
        protos.push((proto::Instruction::decode(bytes.as_slice())?, unread_fields(bytes)?));
    }
    if let Some(sequence) = sequence {
        let order: HashMap<i64, usize> = sequence.iter().enumerate().map(|(i, &id)| (id, i)).collect();
        protos.sort_by_key(|(instruction, _)| order.get(&instruction.id).copied().unwrap_or(usize::MAX));
    }
    let ids: HashMap<i64, InstructionId> =
        protos.iter().enumerate().map(|(i, (instruction, _))| (instruction.id, InstructionId(i))).collect();
    let place = Place { computation: &computation.name, instruction: "ROOT" };
    let root = *ids.get(&computation.root_id).ok_or_else(|| {
        place.error("root_id", computation.root_id, "the id of an instruction of the computation")
    })?;
    let mut instructions = Vec::with_capacity(protos.len());
    for (i, (instruction, unread_fields)) in protos.into_iter().enumerate() {
        let is_root = InstructionId(i) == root;
        let reader = InstructionReader { computation: &computation.name, ids: &ids, computations, payloads };
        instructions.push(reader.read(instruction, unread_fields, is_root)?);
    }
    check_order(computation, &instructions)?;
    Ok(Computation {
        name: computation.name.clone(),
        instructions,
        root,
        is_fusion: computation.is_fusion_computation,
        // The main thread is the usual one, which goes without saying.
        execution_thread: match computation.execution_thread.as_str() {
            "main" => String::new(),
            thread => thread.to_owned(),
        },
    })
}

/// Operands come before their users, so that readers may walk a computation in one pass.
fn check_order(computation: &proto::Computation, instructions: &[Instruction]) -> Result<(), Error> {
    for (i, instruction) in instructions.iter().enumerate() {
        let place = Place { computation: &computation.name, instruction: &instruction.name };
        if let Some(operand) = instruction.operands.iter().find(|operand| operand.0 >= i) {
            let name = &instructions[operand.0].name;
            return Err(place.error("operand_ids", name, "an instruction that comes before"));
        }
    }
    Ok(())
}

/// The numbers of the fields in a serialized instruction that say something and that the reader does not declare.
fn unread_fields(mut bytes: &[u8]) -> Result<Vec<u32>, Error> {
    let mut unread = Vec::new();
    while !bytes.is_empty() {
        let (field, wire_type) = decode_key(&mut bytes)?;
        let is_empty = wire_type == WireType::LengthDelimited && bytes.first() == Some(&0);
        skip_field(wire_type, field, &mut bytes, DecodeContext::default())?;
        if !is_empty && proto::INSTRUCTION_FIELDS.binary_search(&field).is_err() && !unread.contains(&field) {
            unread.push(field);
        }
    }
    unread.sort_unstable();
    Ok(unread)
}

struct InstructionReader<'a> {
    computation: &'a str,
    ids: &'a HashMap<i64, InstructionId>,
    computations: &'a HashMap<i64, ComputationId>,
    payloads: &'a [Vec<u8>],
}

impl InstructionReader<'_> {
    fn read(
        &self,
        i: proto::Instruction,
        unread_fields: Vec<u32>,
        is_root: bool,
    ) -> Result<Instruction, Error> {
        let name = i.name.clone();
        let place = Place { computation: self.computation, instruction: &name };
        let opcode = Opcode::from_name(&i.opcode);
        let called = i
            .called_computation_ids
            .iter()
            .map(|id| {
                let expected = "the id of a computation of the module";
                self.computations
                    .get(id)
                    .copied()
                    .ok_or_else(|| place.error("called_computation_ids", id, expected))
            })
            .collect::<Result<_, _>>()?;
        Ok(Instruction {
            shape: value::required_shape(i.shape.as_ref(), place)?,
            operands: self.resolve(&i.operand_ids, "operand_ids", place)?,
            called,
            control_predecessors: self.resolve(
                &i.control_predecessor_ids,
                "control_predecessor_ids",
                place,
            )?,
            attributes: attributes::read(&opcode, &i, place)?,
            metadata: read_metadata(i.metadata.unwrap_or_default()),
            sharding: i.sharding.as_ref().map(value::sharding),
            frontend_attributes: i.frontend_attributes.unwrap_or_default().map,
            backend_config: self.backend_config(i.backend_config, i.backend_config_payload),
            is_root,
            unread_fields,
            opcode,
            name: i.name,
        })
    }

    fn resolve(
        &self,
        ids: &[i64],
        field: &'static str,
        place: Place<'_>,
    ) -> Result<Vec<InstructionId>, Error> {
        ids.iter()
            .map(|id| {
                let expected = "the id of an instruction of the same computation";
                self.ids.get(id).copied().ok_or_else(|| place.error(field, id, expected))
            })
            .collect()
    }

    /// Newer modules keep equal configurations once, in the module's list of payloads.
    fn backend_config(&self, config: Vec<u8>, payload: Option<proto::Payload>) -> String {
        let bytes = match payload {
            Some(payload) if config.is_empty() && payload.value.is_empty() => usize::try_from(payload.id)
                .ok()
                .and_then(|id| self.payloads.get(id))
                .cloned()
                .unwrap_or_default(),
            Some(payload) if config.is_empty() => payload.value,
            _ => config,
        };
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn read_metadata(metadata: proto::OpMetadata) -> Metadata {
    Metadata {
        op_type: metadata.op_type,
        op_name: metadata.op_name,
        source_file: metadata.source_file,
        source_line: metadata.source_line,
        source_end_line: metadata.source_end_line,
        source_column: metadata.source_column,
        source_end_column: metadata.source_end_column,
        stack_frame_id: metadata.stack_frame_id,
        deduplicated_name: metadata.deduplicated_name,
        scheduling_name: metadata.scheduling_name,
    }
}
