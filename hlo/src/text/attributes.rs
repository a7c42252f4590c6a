//! The attributes of instructions.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::{TextOptions, dictionary_or_quoted, quoted, shape_index};
use crate::attributes::{
    Attributes, Collective, ConvolutionDimensions, CustomCall, GatherDimensions, OperandAlias, PadDimension,
    Precision, ScatterDimensions, SliceDimension, WindowDimension,
};
use crate::devices::list;
use crate::literal::general;
use crate::opcode::Opcode;

/// Names of `PrecisionConfig.Algorithm`.
const ALGORITHMS: [&str; 14] = [
    "unset",
    "dot_any_f8_any_f8_f32",
    "dot_any_f8_any_f8_f32_fast_accum",
    "dot_f16_f16_f16",
    "dot_f16_f16_f32",
    "dot_bf16_bf16_bf16",
    "dot_bf16_bf16_f32",
    "dot_bf16_bf16_f32_x3",
    "dot_bf16_bf16_f32_x6",
    "dot_tf32_tf32_f32",
    "dot_tf32_tf32_f32_x3",
    "dot_f32_f32_f32",
    "dot_f64_f64_f64",
    "dot_bf16_bf16_f32_x9",
];

/// Names of `CustomCallApiVersion`; the original is the default.
const API_VERSIONS: [&str; 5] = [
    "API_VERSION_UNSPECIFIED",
    "API_VERSION_ORIGINAL",
    "API_VERSION_STATUS_RETURNING",
    "API_VERSION_STATUS_RETURNING_UNIFIED",
    "API_VERSION_TYPED_FFI",
];

/// A map as a dictionary attribute.
pub(super) fn dictionary(name: &str, map: &BTreeMap<String, String>) -> String {
    let entries: Vec<String> =
        map.iter().map(|(key, value)| format!("{key}={}", dictionary_or_quoted(value))).collect();
    format!("{name}={{{}}}", entries.join(","))
}

fn numbers(name: &str, numbers: &[i64]) -> String {
    format!("{name}={{{}}}", list(numbers))
}

/// The attributes that the opcode gives, in XLA's order.
pub(super) fn of(attributes: &Attributes, opcode: &Opcode, options: TextOptions) -> Vec<String> {
    match attributes {
        Attributes::None | Attributes::Constant(_) | Attributes::Call { .. } => Vec::new(),
        Attributes::Parameter { replicated, .. } if replicated.is_empty() => Vec::new(),
        Attributes::Parameter { replicated, .. } => {
            let flags: Vec<String> = replicated.iter().map(bool::to_string).collect();
            vec![format!("parameter_replication={{{}}}", flags.join(","))]
        }
        Attributes::TupleElement(index) => vec![format!("index={index}")],
        Attributes::Dimensions(dimensions) => vec![numbers("dimensions", dimensions)],
        Attributes::Iota(dimension) => vec![format!("iota_dimension={dimension}")],
        Attributes::Slice(dimensions) => vec![slice(dimensions)],
        Attributes::DynamicSlice(sizes) => vec![numbers("dynamic_slice_sizes", sizes)],
        Attributes::Pad(dimensions) => vec![pad(dimensions)],
        Attributes::Compare { direction, total_order } => {
            let mut out = vec![format!("direction={}", direction.name())];
            out.extend(total_order.then(|| "type=TOTALORDER".to_owned()));
            out
        }
        Attributes::Dot { dimensions, precision } => {
            let fields = [
                ("lhs_batch_dims", &dimensions.lhs_batch),
                ("lhs_contracting_dims", &dimensions.lhs_contracting),
                ("rhs_batch_dims", &dimensions.rhs_batch),
                ("rhs_contracting_dims", &dimensions.rhs_contracting),
            ];
            let mut out: Vec<String> =
                fields.into_iter().filter(|(_, d)| !d.is_empty()).map(|(name, d)| numbers(name, d)).collect();
            out.extend(self::precision(precision));
            out
        }
        Attributes::Convolution(convolution) => {
            let mut out = window(&convolution.window);
            out.push(dim_labels(&convolution.dimensions));
            out.extend(groups(convolution.feature_groups, convolution.batch_groups));
            out.extend(precision(&convolution.precision));
            out
        }
        Attributes::Window(dimensions) => window(dimensions),
        Attributes::Gather(dimensions) => gather(dimensions),
        Attributes::Scatter(dimensions) => scatter(dimensions),
        Attributes::Sort { dimensions, is_stable } => {
            let mut out = vec![numbers("dimensions", dimensions)];
            out.extend(flag("is_stable", *is_stable));
            out
        }
        Attributes::Fusion { kind, aliasing } => {
            let mut out = vec![format!("kind={kind}")];
            out.extend(self::aliasing(aliasing));
            out
        }
        Attributes::CustomCall(call) => custom_call(call, options),
        Attributes::Fft { kind, length } => vec![format!("fft_type={kind}"), numbers("fft_length", length)],
        Attributes::Rng(distribution) => vec![format!("distribution={distribution}")],
        Attributes::RngBitGenerator(algorithm) => vec![format!("algorithm={algorithm}")],
        Attributes::RngDelta(delta) => vec![format!("delta={delta}")],
        Attributes::TriangularSolve { left_side, lower, unit_diagonal, transpose } => {
            let mut out = Vec::new();
            out.extend(flag("left_side", *left_side));
            out.extend(flag("lower", *lower));
            out.extend(flag("unit_diagonal", *unit_diagonal));
            out.push(format!("transpose_a={transpose}"));
            out
        }
        Attributes::Cholesky(lower) => flag("lower", *lower).into_iter().collect(),
        Attributes::BatchNorm { epsilon, feature_index } => {
            vec![
                format!("epsilon={}", general(f64::from(*epsilon), 6)),
                format!("feature_index={feature_index}"),
            ]
        }
        Attributes::ReducePrecision { exponent_bits, mantissa_bits } => {
            vec![format!("exponent_bits={exponent_bits}"), format!("mantissa_bits={mantissa_bits}")]
        }
        Attributes::Collective(collective) => self::collective(collective, opcode),
        Attributes::Channel { id, is_host_transfer } => {
            let mut out = Vec::new();
            if *id > 0 {
                out.push(format!("channel_id={id}"));
            }
            out.extend(flag("is_host_transfer", *is_host_transfer));
            out
        }
        Attributes::CopyStart(prefetch) => {
            prefetch.iter().map(|index| format!("cross_program_prefetch_index={index}")).collect()
        }
        Attributes::Infeed(config) => feed_config("infeed_config", config).into_iter().collect(),
        Attributes::Outfeed { shape, config } => {
            let mut out: Vec<String> = shape.iter().map(|shape| format!("outfeed_shape={shape}")).collect();
            out.extend(feed_config("outfeed_config", config));
            out
        }
        Attributes::TopK { k, largest } => vec![format!("k={k}"), format!("largest={largest}")],
        Attributes::Async(thread) if thread.is_empty() => Vec::new(),
        Attributes::Async(thread) => vec![format!("async_execution_thread={}", quoted(thread))],
    }
}

fn flag(name: &str, value: bool) -> Option<String> {
    value.then(|| format!("{name}=true"))
}

fn feed_config(name: &str, config: &str) -> Option<String> {
    (!config.is_empty()).then(|| format!("{name}={}", quoted(config)))
}

fn slice(dimensions: &[SliceDimension]) -> String {
    let strided = dimensions.iter().any(|d| d.stride != 1);
    let parts: Vec<String> = dimensions
        .iter()
        .map(|d| match strided {
            true => format!("[{}:{}:{}]", d.start, d.limit, d.stride),
            false => format!("[{}:{}]", d.start, d.limit),
        })
        .collect();
    format!("slice={{{}}}", parts.join(", "))
}

fn pad(dimensions: &[PadDimension]) -> String {
    let interior = dimensions.iter().any(|d| d.interior != 0);
    let parts: Vec<String> = dimensions
        .iter()
        .map(|d| match interior {
            true => format!("{}_{}_{}", d.low, d.high, d.interior),
            false => format!("{}_{}", d.low, d.high),
        })
        .collect();
    format!("padding={}", parts.join("x"))
}

fn precision(precision: &Precision) -> Vec<String> {
    let mut out = Vec::new();
    if precision.operands.iter().any(|&p| p != "default") {
        out.push(format!("operand_precision={{{}}}", precision.operands.join(",")));
    }
    if precision.algorithm != 0 {
        let name = usize::try_from(precision.algorithm).ok().and_then(|i| ALGORITHMS.get(i));
        out.push(match name {
            Some(name) => format!("algorithm={name}"),
            None => format!("algorithm={}", precision.algorithm),
        });
    }
    out
}

/// The parts of a window that differ from the usual, with `x` between dimensions.
fn window(dimensions: &[WindowDimension]) -> Vec<String> {
    if dimensions.is_empty() {
        return Vec::new();
    }
    let mut parts = Vec::new();
    let mut part = |name: &str, wanted: bool, show: &dyn Fn(&WindowDimension) -> String| {
        if wanted {
            parts.push(format!("{name}={}", dimensions.iter().map(show).collect::<Vec<_>>().join("x")));
        }
    };
    let any = |differs: &dyn Fn(&WindowDimension) -> bool| dimensions.iter().any(differs);
    part("size", true, &|d| d.size.to_string());
    part("stride", any(&|d| d.stride != 1), &|d| d.stride.to_string());
    part("pad", any(&|d| (d.padding_low, d.padding_high) != (0, 0)), &|d| {
        format!("{}_{}", d.padding_low, d.padding_high)
    });
    part("lhs_dilate", any(&|d| d.base_dilation != 1), &|d| d.base_dilation.to_string());
    part("rhs_dilate", any(&|d| d.window_dilation != 1), &|d| d.window_dilation.to_string());
    part("rhs_reversal", any(&|d| d.reversal), &|d| u8::from(d.reversal).to_string());
    vec![format!("window={{{}}}", parts.join(" "))]
}

/// The roles of the dimensions in order: `b01f_01io->b01f`.
fn dim_labels(dimensions: &ConvolutionDimensions) -> String {
    let labels = |letters: [char; 2], (first, second, spatial): &(i64, i64, Vec<i64>)| -> String {
        let mut at = BTreeMap::from([(*first, letters[0].to_string()), (*second, letters[1].to_string())]);
        at.extend(spatial.iter().enumerate().map(|(i, &dimension)| (dimension, i.to_string())));
        at.into_values().collect()
    };
    format!(
        "dim_labels={}_{}->{}",
        labels(['b', 'f'], &dimensions.input),
        labels(['i', 'o'], &dimensions.kernel),
        labels(['b', 'f'], &dimensions.output)
    )
}

fn groups(feature: i64, batch: i64) -> Vec<String> {
    [("feature_group_count", feature), ("batch_group_count", batch)]
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(name, count)| format!("{name}={count}"))
        .collect()
}

fn gather(d: &GatherDimensions) -> Vec<String> {
    let mut out = vec![
        numbers("offset_dims", &d.offset_dims),
        numbers("collapsed_slice_dims", &d.collapsed_slice_dims),
        numbers("start_index_map", &d.start_index_map),
    ];
    if !d.operand_batching_dims.is_empty() {
        out.push(numbers("operand_batching_dims", &d.operand_batching_dims));
    }
    if !d.start_indices_batching_dims.is_empty() {
        out.push(numbers("start_indices_batching_dims", &d.start_indices_batching_dims));
    }
    out.push(format!("index_vector_dim={}", d.index_vector_dim));
    out.push(numbers("slice_sizes", &d.slice_sizes));
    out.extend(flag("indices_are_sorted", d.indices_are_sorted));
    out
}

fn scatter(d: &ScatterDimensions) -> Vec<String> {
    let mut out = vec![
        numbers("update_window_dims", &d.update_window_dims),
        numbers("inserted_window_dims", &d.inserted_window_dims),
        numbers("scatter_dims_to_operand_dims", &d.scatter_dims_to_operand_dims),
    ];
    if !d.input_batching_dims.is_empty() {
        out.push(numbers("input_batching_dims", &d.input_batching_dims));
    }
    if !d.scatter_indices_batching_dims.is_empty() {
        out.push(numbers("scatter_indices_batching_dims", &d.scatter_indices_batching_dims));
    }
    out.push(format!("index_vector_dim={}", d.index_vector_dim));
    out.extend(flag("indices_are_sorted", d.indices_are_sorted));
    out.extend(flag("unique_indices", d.unique_indices));
    out
}

fn aliasing(aliasing: &[OperandAlias]) -> Option<String> {
    let entries: Vec<String> = aliasing
        .iter()
        .map(|a| format!("{}: ({}, {})", shape_index(&a.output), a.operand, shape_index(&a.operand_index)))
        .collect();
    (!entries.is_empty()).then(|| format!("output_to_operand_aliasing={{{}}}", entries.join(", ")))
}

fn custom_call(call: &CustomCall, options: TextOptions) -> Vec<String> {
    let mut out = call.window.as_deref().map(window).unwrap_or_default();
    out.extend(call.dimensions.as_ref().map(dim_labels));
    out.extend(groups(call.feature_groups, call.batch_groups));
    out.extend(precision(&call.precision));
    match call.padding_type {
        1 => out.push("padding_type=PADDING_VALID".to_owned()),
        2 => out.push("padding_type=PADDING_SAME".to_owned()),
        _ => {}
    }
    out.push(format!("custom_call_target={}", quoted(&call.target)));
    if let Some(shapes) = &call.operand_layouts {
        let shapes: Vec<String> = shapes.iter().map(ToString::to_string).collect();
        out.push(format!("operand_layout_constraints={{{}}}", shapes.join(", ")));
    }
    out.extend(flag("custom_call_has_side_effect", call.has_side_effect));
    if let Some(literal) = &call.literal {
        let mut text = String::new();
        let _ = write!(text, "literal=({} {})", literal.shape, literal.to_text(options.large_constants));
        out.push(text);
    }
    out.extend(aliasing(&call.aliasing));
    match call.schedule {
        1 => out.push("schedule=SCHEDULE_LATEST".to_owned()),
        2 => out.push("schedule=SCHEDULE_EARLIEST".to_owned()),
        _ => {}
    }
    match usize::try_from(call.api_version).ok().and_then(|v| API_VERSIONS.get(v)) {
        Some(name) if call.api_version > 1 => out.push(format!("api_version={name}")),
        _ => {}
    }
    out
}

fn collective(collective: &Collective, opcode: &Opcode) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(collective.channel.map(|channel| format!("channel_id={channel}")));
    out.extend(collective.groups.as_ref().map(|groups| format!("replica_groups={groups}")));
    if !collective.source_target_pairs.is_empty() {
        let pairs: Vec<String> =
            collective.source_target_pairs.iter().map(|(from, to)| format!("{{{from},{to}}}")).collect();
        out.push(format!("source_target_pairs={{{}}}", pairs.join(",")));
    }
    out.extend(flag("constrain_layout", collective.constrain_layout));
    let dimensions =
        (!collective.dimensions.is_empty()).then(|| numbers("dimensions", &collective.dimensions));
    let global = flag("use_global_device_ids", collective.use_global_device_ids);
    if *opcode == Opcode::ReduceScatter {
        out.extend(global.into_iter().chain(dimensions));
    } else {
        out.extend(dimensions.into_iter().chain(global));
    }
    out
}
