//! An HLO module: computations of instructions, and how the entry's inputs and outputs share memory.

use std::collections::BTreeMap;

use super::attributes::Attributes;
use super::devices::Sharding;
use super::opcode::Opcode;
use super::shape::Shape;

/// A computation, by its place in [`HloModule::computations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ComputationId(pub usize);

/// An instruction, by its place in its computation's [`Computation::instructions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstructionId(pub usize);

/// A compiled program as XLA keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct HloModule {
    /// Its name.
    pub name: String,
    /// Its computations, callees before callers.
    pub computations: Vec<Computation>,
    /// Where the program starts.
    pub entry: ComputationId,
    /// Whether the instructions' order is the order of execution.
    pub is_scheduled: bool,
    /// Outputs that live in a parameter's memory: what donation became.
    pub input_output_alias: Vec<Alias>,
    /// Parameters whose memory the program may reuse for anything.
    pub buffer_donors: Vec<BufferDonor>,
    /// Shapes of the entry's parameters and result with the layouts that callers see.
    pub entry_layout: Option<ProgramShape>,
    /// What only the configuration holds: present where the module came with one.
    pub config: Option<Config>,
    /// Attributes that the frontend or the compiler put on the module.
    pub frontend_attributes: BTreeMap<String, String>,
    /// Tables that the `stack_frame_id`s of metadata point into.
    pub stack_frames: StackFrames,
}

/// Shapes of a computation's parameters and result.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgramShape {
    /// Shapes of the parameters.
    pub parameters: Vec<Shape>,
    /// Shape of the result.
    pub result: Shape,
}

/// The part of a module's configuration that its text shows.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Config {
    /// Number of replicas.
    pub replica_count: i64,
    /// Number of partitions.
    pub num_partitions: i64,
    /// Whether sharding propagation may change each parameter's sharding.
    pub propagate_to_parameters: Vec<bool>,
    /// Whether sharding propagation may change each output's sharding.
    pub propagate_to_output: Vec<bool>,
}

/// An output that lives in the memory of a parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Shape index into the result.
    pub output: Vec<i64>,
    /// Number of the parameter.
    pub parameter: i64,
    /// Shape index into the parameter.
    pub parameter_index: Vec<i64>,
    /// Whether the runtime has to honour it.
    pub kind: AliasKind,
}

/// Whether an alias has to be honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AliasKind {
    /// The runtime copies if the caller did not donate.
    May,
    /// The caller has to donate.
    Must,
}

/// A parameter whose memory is given to the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferDonor {
    /// Number of the parameter.
    pub parameter: i64,
    /// Shape index into the parameter.
    pub parameter_index: Vec<i64>,
}

/// The module's tables of source locations; identifiers count from one.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StackFrames {
    /// Names of source files.
    pub files: Vec<String>,
    /// Names of functions.
    pub functions: Vec<String>,
    /// Places in files.
    pub locations: Vec<FileLocation>,
    /// Frames: a location and the parent frame's identifier, 0 for none.
    pub frames: Vec<(i32, i32)>,
}

/// A place in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileLocation {
    /// Identifier of the file.
    pub file: i32,
    /// Identifier of the function.
    pub function: i32,
    /// First line.
    pub line: i32,
    /// Last line.
    pub end_line: i32,
    /// First column.
    pub column: i32,
    /// Last column.
    pub end_column: i32,
}

/// A function of the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Computation {
    /// Its name, without `%`.
    pub name: String,
    /// Its instructions, operands before users, in the order of execution where the module is scheduled.
    pub instructions: Vec<Instruction>,
    /// The instruction whose value is the result.
    pub root: InstructionId,
    /// Whether it is the body of a fusion, whose inner values are not buffers.
    pub is_fusion: bool,
    /// The thread it runs on; empty for the main one.
    pub execution_thread: String,
}

/// An instruction.
#[derive(Clone, Debug, PartialEq)]
pub struct Instruction {
    /// Its name, without `%`.
    pub name: String,
    /// What it does.
    pub opcode: Opcode,
    /// Shape of its value.
    pub shape: Shape,
    /// Its operands, in the same computation.
    pub operands: Vec<InstructionId>,
    /// The computations that it calls.
    pub called: Vec<ComputationId>,
    /// Instructions that have to run before it though it does not use them.
    pub control_predecessors: Vec<InstructionId>,
    /// What its opcode says of it beyond operands.
    pub attributes: Attributes,
    /// Where it came from.
    pub metadata: Metadata,
    /// How its value is spread over devices, before partitioning.
    pub sharding: Option<Sharding>,
    /// Attributes that the frontend or the compiler put on it.
    pub frontend_attributes: BTreeMap<String, String>,
    /// The backend's own configuration; JSON or an attribute dictionary in most cases, empty for none.
    pub backend_config: String,
    /// Whether it is its computation's root.
    pub is_root: bool,
    /// Numbers of the fields of `HloInstructionProto` that it has and that this reader does not know.
    pub unread_fields: Vec<u32>,
}

/// Where an instruction came from.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Metadata {
    /// The frontend's operation.
    pub op_type: String,
    /// The path of scopes and the name that the frontend gave.
    pub op_name: String,
    /// Source file.
    pub source_file: String,
    /// First line in the source file, 0 for unknown.
    pub source_line: i32,
    /// Last line in the source file, 0 for unknown.
    pub source_end_line: i32,
    /// First column, 0 for unknown.
    pub source_column: i32,
    /// Last column, 0 for unknown.
    pub source_end_column: i32,
    /// The frame in [`HloModule::stack_frames`], 0 for none.
    pub stack_frame_id: i32,
    /// The instruction whose code it shares.
    pub deduplicated_name: String,
    /// The name that schedules know it by.
    pub scheduling_name: String,
}

impl HloModule {
    /// The computation where the program starts.
    pub fn entry_computation(&self) -> &Computation {
        self.computation(self.entry)
    }

    /// The computation of this identifier, which has to be of this module.
    pub fn computation(&self, id: ComputationId) -> &Computation {
        &self.computations[id.0]
    }

    /// The parameter (number and shape index) in whose memory this output lives.
    pub fn aliased_parameter(&self, output: &[i64]) -> Option<&Alias> {
        self.input_output_alias.iter().find(|alias| alias.output == output)
    }
}

impl Computation {
    /// The instruction of this identifier, which has to be of this computation.
    pub fn instruction(&self, id: InstructionId) -> &Instruction {
        &self.instructions[id.0]
    }

    /// The root instruction.
    pub fn root_instruction(&self) -> &Instruction {
        self.instruction(self.root)
    }

    /// The instructions with their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = (InstructionId, &Instruction)> {
        self.instructions.iter().enumerate().map(|(i, instruction)| (InstructionId(i), instruction))
    }

    /// The parameters, in the order of their numbers.
    pub fn parameters(&self) -> Vec<(InstructionId, &Instruction)> {
        let mut parameters: Vec<_> = self.iter().filter(|(_, i)| i.parameter_number().is_some()).collect();
        parameters.sort_by_key(|(_, i)| i.parameter_number());
        parameters
    }

    /// The users of each instruction, in order, with the operand's position.
    pub fn users(&self) -> Vec<Vec<(InstructionId, usize)>> {
        let mut users = vec![Vec::new(); self.instructions.len()];
        for (id, instruction) in self.iter() {
            for (position, operand) in instruction.operands.iter().enumerate() {
                users[operand.0].push((id, position));
            }
        }
        users
    }
}

impl Instruction {
    /// Its number, if it is a parameter.
    pub fn parameter_number(&self) -> Option<i64> {
        match self.attributes {
            Attributes::Parameter { number, .. } => Some(number),
            _ => None,
        }
    }
}
