//! The attributes of an instruction, by its opcode.

use super::{Place, value};
use crate::attributes::{
    Attributes, Collective, Convolution, ConvolutionDimensions, CustomCall, Direction, DotDimensions,
    FusionKind, GatherDimensions, OperandAlias, PadDimension, Precision, ScatterDimensions, SliceDimension,
    WindowDimension,
};
use crate::opcode::Opcode;
use crate::shape::Shape;
use crate::{Error, proto};

pub(super) fn read(opcode: &Opcode, i: &proto::Instruction, place: Place<'_>) -> Result<Attributes, Error> {
    Ok(match opcode {
        Opcode::Parameter => Attributes::Parameter {
            number: i.parameter_number,
            replicated: i.parameter_replication.clone().unwrap_or_default().replicated_at_leaf_buffers,
        },
        Opcode::Constant => match &i.literal {
            Some(literal) => Attributes::Constant(value::literal(literal, place)?),
            None => return Err(place.error("literal", "", "a value, as it is a constant")),
        },
        Opcode::GetTupleElement => Attributes::TupleElement(i.tuple_index),
        Opcode::Iota => match i.dimensions.as_slice() {
            [dimension] => Attributes::Iota(*dimension),
            dimensions => {
                return Err(place.error("dimensions", format!("{dimensions:?}"), "one dimension number"));
            }
        },
        Opcode::Slice => Attributes::Slice(
            i.slice_dimensions
                .iter()
                .map(|d| SliceDimension { start: d.start, limit: d.limit, stride: d.stride })
                .collect(),
        ),
        Opcode::DynamicSlice => Attributes::DynamicSlice(i.dynamic_slice_sizes.clone()),
        Opcode::Pad => Attributes::Pad(
            i.padding_config
                .iter()
                .flat_map(|config| &config.dimensions)
                .map(|d| PadDimension {
                    low: d.edge_padding_low,
                    high: d.edge_padding_high,
                    interior: d.interior_padding,
                })
                .collect(),
        ),
        Opcode::Compare => Attributes::Compare {
            direction: Direction::from_name(&i.comparison_direction).ok_or_else(|| {
                place.error("comparison_direction", &i.comparison_direction, "EQ, NE, GE, GT, LE or LT")
            })?,
            // Older modules say it in the type, newer ones beside it; integers always have a total order.
            total_order: i.comparison_type == "TOTALORDER"
                || (i.comparison_type == "FLOAT" && i.comparison_order == "TOTAL"),
        },
        Opcode::Dot => {
            let d = i.dot_dimension_numbers.clone().unwrap_or_default();
            Attributes::Dot {
                dimensions: DotDimensions {
                    lhs_contracting: d.lhs_contracting_dimensions,
                    rhs_contracting: d.rhs_contracting_dimensions,
                    lhs_batch: d.lhs_batch_dimensions,
                    rhs_batch: d.rhs_batch_dimensions,
                },
                precision: precision(i),
            }
        }
        Opcode::Convolution => Attributes::Convolution(Box::new(Convolution {
            window: window(i).unwrap_or_default(),
            dimensions: convolution_dimensions(i).unwrap_or_default(),
            feature_groups: i.feature_group_count,
            batch_groups: i.batch_group_count,
            precision: precision(i),
        })),
        Opcode::ReduceWindow | Opcode::SelectAndScatter => Attributes::Window(window(i).unwrap_or_default()),
        Opcode::Gather => {
            let d = i.gather_dimension_numbers.clone().unwrap_or_default();
            Attributes::Gather(GatherDimensions {
                offset_dims: d.offset_dims,
                collapsed_slice_dims: d.collapsed_slice_dims,
                start_index_map: d.start_index_map,
                operand_batching_dims: d.operand_batching_dims,
                start_indices_batching_dims: d.start_indices_batching_dims,
                index_vector_dim: d.index_vector_dim,
                slice_sizes: i.gather_slice_sizes.clone(),
                indices_are_sorted: i.indices_are_sorted,
            })
        }
        Opcode::Scatter => {
            let d = i.scatter_dimension_numbers.clone().unwrap_or_default();
            Attributes::Scatter(ScatterDimensions {
                update_window_dims: d.update_window_dims,
                inserted_window_dims: d.inserted_window_dims,
                scatter_dims_to_operand_dims: d.scatter_dims_to_operand_dims,
                input_batching_dims: d.input_batching_dims,
                scatter_indices_batching_dims: d.scatter_indices_batching_dims,
                index_vector_dim: d.index_vector_dim,
                indices_are_sorted: i.indices_are_sorted,
                unique_indices: i.unique_indices,
            })
        }
        Opcode::Sort => Attributes::Sort { dimensions: i.dimensions.clone(), is_stable: i.is_stable },
        Opcode::Fusion => Attributes::Fusion {
            kind: FusionKind::from_name(&i.fusion_kind).ok_or_else(|| {
                place.error("fusion_kind", &i.fusion_kind, "kLoop, kInput, kOutput or kCustom")
            })?,
            aliasing: aliasing(i),
        },
        Opcode::Call => Attributes::Call { is_composite: i.is_composite },
        Opcode::CustomCall => Attributes::CustomCall(Box::new(custom_call(i, place)?)),
        Opcode::Fft => Attributes::Fft {
            kind: named(&["FFT", "IFFT", "RFFT", "IRFFT"], i.fft_type, "fft_type", place)?,
            length: i.fft_length.clone(),
        },
        Opcode::Rng => Attributes::Rng(named(
            &["rng_invalid", "rng_uniform", "rng_normal"],
            i.distribution,
            "distribution",
            place,
        )?),
        Opcode::RngBitGenerator => Attributes::RngBitGenerator(named(
            &["rng_default", "rng_three_fry", "rng_philox"],
            i.rng_algorithm,
            "rng_algorithm",
            place,
        )?),
        Opcode::RngGetAndUpdateState => Attributes::RngDelta(i.delta),
        Opcode::TriangularSolve => {
            let options = i.triangular_solve_options.clone().unwrap_or_default();
            let names = ["TRANSPOSE_INVALID", "NO_TRANSPOSE", "TRANSPOSE", "ADJOINT"];
            Attributes::TriangularSolve {
                left_side: options.left_side,
                lower: options.lower,
                unit_diagonal: options.unit_diagonal,
                transpose: named(&names, options.transpose_a, "triangular_solve_options.transpose_a", place)?,
            }
        }
        Opcode::Cholesky => Attributes::Cholesky(i.cholesky_options.clone().unwrap_or_default().lower),
        Opcode::BatchNormGrad | Opcode::BatchNormInference | Opcode::BatchNormTraining => {
            Attributes::BatchNorm { epsilon: i.epsilon, feature_index: i.feature_index }
        }
        Opcode::ReducePrecision => {
            Attributes::ReducePrecision { exponent_bits: i.exponent_bits, mantissa_bits: i.mantissa_bits }
        }
        Opcode::AllGather
        | Opcode::AllGatherStart
        | Opcode::AllReduce
        | Opcode::AllReduceStart
        | Opcode::AllToAll
        | Opcode::CollectiveBroadcast
        | Opcode::RaggedAllToAll
        | Opcode::ReduceScatter => Attributes::Collective(Box::new(collective(i, value::replica_groups(i)))),
        Opcode::CollectivePermute | Opcode::CollectivePermuteStart => {
            Attributes::Collective(Box::new(collective(i, None)))
        }
        Opcode::Send | Opcode::SendDone | Opcode::Recv | Opcode::RecvDone => {
            Attributes::Channel { id: i.channel_id, is_host_transfer: i.is_host_transfer }
        }
        Opcode::CopyStart => Attributes::CopyStart(i.cross_program_prefetch_index),
        Opcode::Infeed => Attributes::Infeed(String::from_utf8_lossy(&i.infeed_config).into_owned()),
        Opcode::Outfeed => Attributes::Outfeed {
            shape: i.outfeed_shape.as_ref().map(|s| value::shape(s, place)).transpose()?,
            config: String::from_utf8_lossy(&i.outfeed_config).into_owned(),
        },
        Opcode::TopK => Attributes::TopK { k: i.k, largest: i.largest },
        Opcode::AsyncStart | Opcode::AsyncUpdate | Opcode::AsyncDone => {
            Attributes::Async(match i.async_execution_thread.as_str() {
                "main" => String::new(),
                thread => thread.to_owned(),
            })
        }
        Opcode::Broadcast
        | Opcode::Concatenate
        | Opcode::GetDimensionSize
        | Opcode::Map
        | Opcode::Reduce
        | Opcode::Reverse
        | Opcode::SetDimensionSize
        | Opcode::Transpose => Attributes::Dimensions(i.dimensions.clone()),
        _ if !i.dimensions.is_empty() => Attributes::Dimensions(i.dimensions.clone()),
        _ => Attributes::None,
    })
}

fn named(
    names: &[&'static str],
    number: i32,
    field: &'static str,
    place: Place<'_>,
) -> Result<&'static str, Error> {
    let name = usize::try_from(number).ok().and_then(|number| names.get(number));
    name.copied().ok_or_else(|| place.error(field, number, "a number of the field's enumeration"))
}

fn window(i: &proto::Instruction) -> Option<Vec<WindowDimension>> {
    let window = i.window.as_ref()?;
    Some(
        window
            .dimensions
            .iter()
            .map(|d| WindowDimension {
                size: d.size,
                stride: d.stride,
                padding_low: d.padding_low,
                padding_high: d.padding_high,
                window_dilation: d.window_dilation,
                base_dilation: d.base_dilation,
                reversal: d.window_reversal,
            })
            .collect(),
    )
}

fn convolution_dimensions(i: &proto::Instruction) -> Option<ConvolutionDimensions> {
    let d = i.convolution_dimension_numbers.clone()?;
    Some(ConvolutionDimensions {
        input: (d.input_batch_dimension, d.input_feature_dimension, d.input_spatial_dimensions),
        kernel: (
            d.kernel_input_feature_dimension,
            d.kernel_output_feature_dimension,
            d.kernel_spatial_dimensions,
        ),
        output: (d.output_batch_dimension, d.output_feature_dimension, d.output_spatial_dimensions),
    })
}

fn precision(i: &proto::Instruction) -> Precision {
    let config = i.precision_config.clone().unwrap_or_default();
    let name = |&p: &i32| match p {
        1 => "high",
        2 => "highest",
        _ => "default",
    };
    Precision { operands: config.operand_precision.iter().map(name).collect(), algorithm: config.algorithm }
}

fn aliasing(i: &proto::Instruction) -> Vec<OperandAlias> {
    i.output_operand_aliasing
        .iter()
        .map(|a| OperandAlias {
            output: a.output_shape_index.clone(),
            operand: a.operand_index,
            operand_index: a.operand_shape_index.clone(),
        })
        .collect()
}

fn custom_call(i: &proto::Instruction, place: Place<'_>) -> Result<CustomCall, Error> {
    let operand_layouts = || -> Result<Vec<Shape>, Error> {
        i.operand_shapes_with_layout.iter().map(|s| value::shape(s, place)).collect()
    };
    Ok(CustomCall {
        target: i.custom_call_target.clone(),
        window: window(i),
        dimensions: convolution_dimensions(i),
        feature_groups: i.feature_group_count,
        batch_groups: i.batch_group_count,
        precision: precision(i),
        padding_type: i.padding_type,
        operand_layouts: i.constrain_layout.then(operand_layouts).transpose()?,
        has_side_effect: i.custom_call_has_side_effect,
        literal: i.literal.as_ref().map(|l| value::literal(l, place)).transpose()?,
        aliasing: aliasing(i),
        schedule: i.custom_call_schedule,
        api_version: i.custom_call_api_version,
    })
}

fn collective(i: &proto::Instruction, groups: Option<crate::devices::ReplicaGroups>) -> Collective {
    Collective {
        channel: (i.channel_id > 0).then_some(i.channel_id),
        groups,
        source_target_pairs: i.source_target_pairs.iter().map(|p| (p.source, p.target)).collect(),
        constrain_layout: i.constrain_layout,
        dimensions: i.dimensions.clone(),
        use_global_device_ids: i.use_global_device_ids,
    }
}
