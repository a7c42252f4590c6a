//! What instructions say beyond their operands, by kind of operation.

use std::fmt;

use super::devices::ReplicaGroups;
use super::literal::Literal;
use super::shape::Shape;

/// The attributes of an instruction.
#[derive(Clone, Debug, PartialEq)]
pub enum Attributes {
    /// It has none.
    None,
    /// A parameter.
    Parameter {
        /// Its number.
        number: i64,
        /// For each leaf, whether all replicas get the same; empty where nothing is said.
        replicated: Vec<bool>,
    },
    /// A constant.
    Constant(Literal),
    /// A part of a tuple.
    TupleElement(i64),
    /// Dimension numbers: of a broadcast, transpose, concatenation, reduction, reversal, map or reshape.
    Dimensions(Vec<i64>),
    /// The dimension along which an iota counts.
    Iota(i64),
    /// A static slice.
    Slice(Vec<SliceDimension>),
    /// Sizes of a slice whose start is computed.
    DynamicSlice(Vec<i64>),
    /// Padding of each dimension.
    Pad(Vec<PadDimension>),
    /// A comparison.
    Compare {
        /// Which.
        direction: Direction,
        /// Whether it orders floating-point numbers totally, NaN and both zeros included.
        total_order: bool,
    },
    /// A matrix product.
    Dot {
        /// Which dimensions are summed and which are batches.
        dimensions: DotDimensions,
        /// Precision of the operands.
        precision: Precision,
    },
    /// A convolution.
    Convolution(Box<Convolution>),
    /// The window of a reduce-window or select-and-scatter.
    Window(Vec<WindowDimension>),
    /// A gather.
    Gather(GatherDimensions),
    /// A scatter.
    Scatter(ScatterDimensions),
    /// A sort.
    Sort {
        /// The dimension along which it sorts.
        dimensions: Vec<i64>,
        /// Whether equal elements keep their order.
        is_stable: bool,
    },
    /// A fusion.
    Fusion {
        /// How it is compiled.
        kind: FusionKind,
        /// Outputs that live in an operand's memory.
        aliasing: Vec<OperandAlias>,
    },
    /// A call of a computation.
    Call {
        /// Whether the callee is a decomposition of one composite operation.
        is_composite: bool,
    },
    /// A call of code that is not HLO.
    CustomCall(Box<CustomCall>),
    /// A Fourier transform.
    Fft {
        /// `FFT`, `IFFT`, `RFFT` or `IRFFT`.
        kind: &'static str,
        /// Lengths of the transformed dimensions.
        length: Vec<i64>,
    },
    /// Random numbers of this distribution.
    Rng(&'static str),
    /// Random bits by this algorithm.
    RngBitGenerator(&'static str),
    /// How far a generator's state is moved.
    RngDelta(i64),
    /// The solution of a triangular system.
    TriangularSolve {
        /// Whether the matrix stands on the left.
        left_side: bool,
        /// Whether the matrix is lower triangular.
        lower: bool,
        /// Whether its diagonal is taken to be one.
        unit_diagonal: bool,
        /// `NO_TRANSPOSE`, `TRANSPOSE` or `ADJOINT`.
        transpose: &'static str,
    },
    /// A Cholesky decomposition: whether the result is lower triangular.
    Cholesky(bool),
    /// A batch normalization.
    BatchNorm {
        /// What is added to the variance.
        epsilon: f32,
        /// The dimension of the features.
        feature_index: i64,
    },
    /// Rounding to fewer bits.
    ReducePrecision {
        /// Bits of the exponent.
        exponent_bits: i32,
        /// Bits of the mantissa.
        mantissa_bits: i32,
    },
    /// An operation over devices.
    Collective(Box<Collective>),
    /// The channel of a send or receive.
    Channel {
        /// Its number.
        id: i64,
        /// Whether the other side is the host.
        is_host_transfer: bool,
    },
    /// The start of a copy: the number of the prefetch across programs that it is, if it is one.
    CopyStart(Option<i32>),
    /// Data from the host.
    Infeed(String),
    /// Data to the host.
    Outfeed {
        /// Shape of the data.
        shape: Option<Shape>,
        /// The backend's configuration.
        config: String,
    },
    /// The largest or smallest elements.
    TopK {
        /// How many.
        k: i64,
        /// Whether the largest.
        largest: bool,
    },
    /// An operation that runs beside others, on this thread; empty for the main one.
    Async(String),
}

/// The part of one dimension that a slice takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceDimension {
    /// First index.
    pub start: i64,
    /// One past the last index.
    pub limit: i64,
    /// Distance between indices.
    pub stride: i64,
}

/// Padding of one dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PadDimension {
    /// Elements before the first.
    pub low: i64,
    /// Elements after the last.
    pub high: i64,
    /// Elements between each two.
    pub interior: i64,
}

/// A comparison of two elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Greater than or equal.
    Ge,
    /// Greater than.
    Gt,
    /// Less than or equal.
    Le,
    /// Less than.
    Lt,
}

impl Direction {
    /// The direction of this name in HLO text.
    pub fn from_name(name: &str) -> Option<Direction> {
        Some(match name {
            "EQ" => Direction::Eq,
            "NE" => Direction::Ne,
            "GE" => Direction::Ge,
            "GT" => Direction::Gt,
            "LE" => Direction::Le,
            "LT" => Direction::Lt,
            _ => return None,
        })
    }

    /// The name in HLO text.
    pub fn name(self) -> &'static str {
        match self {
            Direction::Eq => "EQ",
            Direction::Ne => "NE",
            Direction::Ge => "GE",
            Direction::Gt => "GT",
            Direction::Le => "LE",
            Direction::Lt => "LT",
        }
    }
}

/// Dimension numbers of a matrix product.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DotDimensions {
    /// Summed dimensions of the left operand.
    pub lhs_contracting: Vec<i64>,
    /// Summed dimensions of the right operand.
    pub rhs_contracting: Vec<i64>,
    /// Batch dimensions of the left operand.
    pub lhs_batch: Vec<i64>,
    /// Batch dimensions of the right operand.
    pub rhs_batch: Vec<i64>,
}

/// How exactly a product is computed.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Precision {
    /// `default`, `high` or `highest` for each operand; empty where nothing is said.
    pub operands: Vec<&'static str>,
    /// The algorithm's number in `PrecisionConfig.Algorithm`, 0 for none.
    pub algorithm: i32,
}

/// A convolution's attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convolution {
    /// The window, dimension by dimension.
    pub window: Vec<WindowDimension>,
    /// Which dimension is what.
    pub dimensions: ConvolutionDimensions,
    /// Groups of features.
    pub feature_groups: i64,
    /// Groups of batches.
    pub batch_groups: i64,
    /// Precision of the operands.
    pub precision: Precision,
}

/// Which dimensions of a convolution's operands and result are what.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ConvolutionDimensions {
    /// Batch, feature and spatial dimensions of the input.
    pub input: (i64, i64, Vec<i64>),
    /// Input feature, output feature and spatial dimensions of the kernel.
    pub kernel: (i64, i64, Vec<i64>),
    /// Batch, feature and spatial dimensions of the output.
    pub output: (i64, i64, Vec<i64>),
}

/// One dimension of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowDimension {
    /// Elements in the window.
    pub size: i64,
    /// Distance between windows.
    pub stride: i64,
    /// Padding before the first element.
    pub padding_low: i64,
    /// Padding after the last element.
    pub padding_high: i64,
    /// Distance between the window's elements.
    pub window_dilation: i64,
    /// Distance between the base's elements.
    pub base_dilation: i64,
    /// Whether the window runs backwards.
    pub reversal: bool,
}

/// Dimension numbers of a gather.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct GatherDimensions {
    /// Dimensions of the result that run over a slice.
    pub offset_dims: Vec<i64>,
    /// Dimensions of the operand that a slice drops.
    pub collapsed_slice_dims: Vec<i64>,
    /// Which dimension of the operand each part of an index addresses.
    pub start_index_map: Vec<i64>,
    /// Batch dimensions of the operand.
    pub operand_batching_dims: Vec<i64>,
    /// Batch dimensions of the indices.
    pub start_indices_batching_dims: Vec<i64>,
    /// The dimension of the indices along which one index lies.
    pub index_vector_dim: i64,
    /// Sizes of a slice.
    pub slice_sizes: Vec<i64>,
    /// Whether the indices are sorted.
    pub indices_are_sorted: bool,
}

/// Dimension numbers of a scatter.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ScatterDimensions {
    /// Dimensions of the updates that run over a slice.
    pub update_window_dims: Vec<i64>,
    /// Dimensions of the operand that a slice lacks.
    pub inserted_window_dims: Vec<i64>,
    /// Which dimension of the operand each part of an index addresses.
    pub scatter_dims_to_operand_dims: Vec<i64>,
    /// Batch dimensions of the operand.
    pub input_batching_dims: Vec<i64>,
    /// Batch dimensions of the indices.
    pub scatter_indices_batching_dims: Vec<i64>,
    /// The dimension of the indices along which one index lies.
    pub index_vector_dim: i64,
    /// Whether the indices are sorted.
    pub indices_are_sorted: bool,
    /// Whether no index appears twice.
    pub unique_indices: bool,
}

/// How a fusion is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FusionKind {
    /// One loop over the output.
    Loop,
    /// A reduction or transpose with what it reads.
    Input,
    /// A matrix product or convolution with what follows it.
    Output,
    /// In the backend's own way.
    Custom,
}

impl FusionKind {
    /// The kind of this name in HLO text.
    pub fn from_name(name: &str) -> Option<FusionKind> {
        Some(match name {
            "kLoop" => FusionKind::Loop,
            "kInput" => FusionKind::Input,
            "kOutput" => FusionKind::Output,
            "kCustom" => FusionKind::Custom,
            _ => return None,
        })
    }

    /// The name in HLO text.
    pub fn name(self) -> &'static str {
        match self {
            FusionKind::Loop => "kLoop",
            FusionKind::Input => "kInput",
            FusionKind::Output => "kOutput",
            FusionKind::Custom => "kCustom",
        }
    }
}

impl fmt::Display for FusionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// An output that lives in an operand's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperandAlias {
    /// Shape index into the output.
    pub output: Vec<i64>,
    /// Number of the operand.
    pub operand: i64,
    /// Shape index into the operand.
    pub operand_index: Vec<i64>,
}

/// A call of code that is not HLO.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomCall {
    /// The name of the code.
    pub target: String,
    /// A window, for calls that stand for convolutions.
    pub window: Option<Vec<WindowDimension>>,
    /// Dimension numbers, for calls that stand for convolutions.
    pub dimensions: Option<ConvolutionDimensions>,
    /// Groups of features, for calls that stand for convolutions.
    pub feature_groups: i64,
    /// Groups of batches, for calls that stand for convolutions.
    pub batch_groups: i64,
    /// Precision of the operands.
    pub precision: Precision,
    /// Number in `PaddingType` of a dynamic convolution's padding, 0 for none.
    pub padding_type: i32,
    /// Shapes with the layouts that the operands have to have, where it asks for any.
    pub operand_layouts: Option<Vec<Shape>>,
    /// Whether it does more than compute its result.
    pub has_side_effect: bool,
    /// A constant that it carries.
    pub literal: Option<Literal>,
    /// Outputs that live in an operand's memory.
    pub aliasing: Vec<OperandAlias>,
    /// Number in `CustomCallSchedule`: 0 none, 1 as late as can be, 2 as early.
    pub schedule: i32,
    /// Number in `CustomCallApiVersion`.
    pub api_version: i32,
}

/// An operation over devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Collective {
    /// The channel, where it has one.
    pub channel: Option<i64>,
    /// Which devices take part together.
    pub groups: Option<ReplicaGroups>,
    /// From which device to which.
    pub source_target_pairs: Vec<(i64, i64)>,
    /// Whether the layouts may not change.
    pub constrain_layout: bool,
    /// The dimension that is split or joined.
    pub dimensions: Vec<i64>,
    /// Whether the groups list devices rather than replicas.
    pub use_global_device_ids: bool,
}
