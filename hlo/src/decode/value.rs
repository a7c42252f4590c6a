//! Shapes, literals and shardings.

use half::{bf16, f16};

use super::Place;
use crate::devices::{DeviceOrder, ReplicaGroups, Sharding};
use crate::literal::{Literal, Values};
use crate::shape::{ArrayShape, ElementType, Layout, Shape};
use crate::{Error, proto};

/// Numbers in `PrimitiveType` of what is not an array.
const TUPLE: i32 = 13;
const OPAQUE: i32 = 14;
const TOKEN: i32 = 17;
const BUFFER: i32 = 34;

pub(super) fn required_shape(shape: Option<&proto::Shape>, place: Place<'_>) -> Result<Shape, Error> {
    self::shape(shape.ok_or_else(|| place.error("shape", "", "a shape"))?, place)
}

pub(super) fn shape(shape: &proto::Shape, place: Place<'_>) -> Result<Shape, Error> {
    match shape.element_type {
        TUPLE => Ok(Shape::Tuple(
            shape.tuple_shapes.iter().map(|s| self::shape(s, place)).collect::<Result<_, _>>()?,
        )),
        TOKEN => Ok(Shape::Token),
        OPAQUE => Ok(Shape::Opaque),
        BUFFER => match shape.tuple_shapes.as_slice() {
            [content] => Ok(Shape::Buffer(array(content, place)?)),
            parts => Err(place.error("shape.tuple_shapes", parts.len(), "one shape, as it is a buffer's")),
        },
        _ => Ok(Shape::Array(array(shape, place)?)),
    }
}

fn array(shape: &proto::Shape, place: Place<'_>) -> Result<ArrayShape, Error> {
    let element_type = ElementType::from_number(shape.element_type)
        .ok_or_else(|| place.error("shape.element_type", shape.element_type, "a number of PrimitiveType"))?;
    let dimensions = shape
        .dimensions
        .iter()
        .map(|&d| {
            u64::try_from(d).map_err(|_| place.error("shape.dimensions", d, "a size that is not negative"))
        })
        .collect::<Result<_, _>>()?;
    let dynamic =
        if shape.is_dynamic_dimension.contains(&true) { shape.is_dynamic_dimension.clone() } else { vec![] };
    Ok(ArrayShape { element_type, dimensions, dynamic, layout: shape.layout.as_ref().map(layout) })
}

fn layout(layout: &proto::LayoutProto) -> Layout {
    Layout {
        minor_to_major: layout.minor_to_major.clone(),
        tiles: layout.tiles.iter().map(|tile| tile.dimensions.clone()).collect(),
        tail_padding_elements: layout.tail_padding_alignment_in_elements,
        element_bits: layout.element_size_in_bits,
        memory_space: layout.memory_space,
    }
}

pub(super) fn literal(literal: &proto::Literal, place: Place<'_>) -> Result<Literal, Error> {
    let shape = required_shape(literal.shape.as_ref(), place)?;
    let values = match &shape {
        Shape::Tuple(_) => Values::Tuple(
            literal.tuple_literals.iter().map(|l| self::literal(l, place)).collect::<Result<_, _>>()?,
        ),
        Shape::Array(array) => elements(literal, array, place)?,
        Shape::Buffer(_) | Shape::Token | Shape::Opaque => Values::Unread,
    };
    Ok(Literal { shape, values })
}

fn elements(literal: &proto::Literal, array: &ArrayShape, place: Place<'_>) -> Result<Values, Error> {
    use ElementType as T;
    let order = MemoryOrder::of(array);
    Ok(match array.element_type {
        T::Pred => Values::Pred(order.to_row_major(literal.preds.clone(), place)?),
        T::S8 => Values::Signed(order.to_row_major(map(&literal.s8s, |&v| i64::from(v as i8)), place)?),
        T::S16 => {
            Values::Signed(order.to_row_major(pairs(&literal.s16s, |b| i16::from_le_bytes(b).into()), place)?)
        }
        T::S32 => Values::Signed(order.to_row_major(map(&literal.s32s, |&v| v.into()), place)?),
        T::S64 => Values::Signed(order.to_row_major(literal.s64s.clone(), place)?),
        T::U8 => Values::Unsigned(order.to_row_major(map(&literal.u8s, |&v| v.into()), place)?),
        T::U16 => Values::Unsigned(
            order.to_row_major(pairs(&literal.u16s, |b| u16::from_le_bytes(b).into()), place)?,
        ),
        T::U32 => Values::Unsigned(order.to_row_major(map(&literal.u32s, |&v| v.into()), place)?),
        T::U64 => Values::Unsigned(order.to_row_major(literal.u64s.clone(), place)?),
        T::F16 => Values::Float(
            order.to_row_major(pairs(&literal.f16s, |b| f16::from_le_bytes(b).to_f64()), place)?,
        ),
        T::Bf16 => Values::Float(
            order.to_row_major(pairs(&literal.bf16s, |b| bf16::from_le_bytes(b).to_f64()), place)?,
        ),
        T::F32 => Values::Float(order.to_row_major(map(&literal.f32s, |&v| v.into()), place)?),
        T::F64 => Values::Float(order.to_row_major(literal.f64s.clone(), place)?),
        T::C64 => {
            let parts = literal.c64s.chunks_exact(2).map(|c| (c[0].into(), c[1].into())).collect();
            Values::Complex(order.to_row_major(parts, place)?)
        }
        T::C128 => {
            let parts = literal.c128s.chunks_exact(2).map(|c| (c[0], c[1])).collect();
            Values::Complex(order.to_row_major(parts, place)?)
        }
        T::S1 | T::S2 | T::S4 | T::U1 | T::U2 | T::U4 => Values::Unread,
        T::F8e5m2
        | T::F8e4m3
        | T::F8e4m3fn
        | T::F8e4m3b11fnuz
        | T::F8e3m4
        | T::F8e5m2fnuz
        | T::F8e4m3fnuz => Values::Unread,
        T::F8e8m0fnu | T::F4e2m1fn | T::F6e3m2fn | T::F6e2m3fn => Values::Unread,
    })
}

fn map<A, B>(values: &[A], f: impl Fn(&A) -> B) -> Vec<B> {
    values.iter().map(f).collect()
}

fn pairs<B>(bytes: &[u8], f: impl Fn([u8; 2]) -> B) -> Vec<B> {
    bytes.chunks_exact(2).map(|c| f([c[0], c[1]])).collect()
}

/// Sizes, and each dimension's distance between elements as the literal stores them.
struct MemoryOrder<'a> {
    sizes: &'a [u64],
    strides: Option<Vec<usize>>,
}

impl<'a> MemoryOrder<'a> {
    fn of(array: &'a ArrayShape) -> MemoryOrder<'a> {
        let sizes = array.dimensions.as_slice();
        let rank = sizes.len();
        let minor_to_major = array.layout.as_ref().map_or(&[][..], |layout| layout.minor_to_major.as_slice());
        let row_major = minor_to_major.iter().rev().enumerate().all(|(i, &d)| d == i as i64);
        let mut strides = vec![0; rank];
        let mut stride = 1usize;
        for &dimension in minor_to_major {
            if let Some(slot) = usize::try_from(dimension).ok().and_then(|d| strides.get_mut(d)) {
                *slot = stride;
                stride = stride.saturating_mul(sizes[dimension as usize] as usize);
            }
        }
        MemoryOrder { sizes, strides: (!row_major && minor_to_major.len() == rank).then_some(strides) }
    }

    fn to_row_major<T: Copy>(&self, values: Vec<T>, place: Place<'_>) -> Result<Vec<T>, Error> {
        let count = self.sizes.iter().fold(1u64, |n, &d| n.saturating_mul(d));
        if values.len() as u64 != count {
            return Err(place.error(
                "literal",
                format!("{} elements", values.len()),
                "as many as its shape says",
            ));
        }
        let Some(strides) = &self.strides else { return Ok(values) };
        let mut index = vec![0u64; self.sizes.len()];
        let mut ordered = Vec::with_capacity(values.len());
        for _ in 0..values.len() {
            let offset = index
                .iter()
                .zip(strides)
                .fold(0, |sum: usize, (&i, &stride)| sum.saturating_add(stride.saturating_mul(i as usize)));
            // A layout that repeats a dimension could point outside.
            let value = values.get(offset).or(values.first());
            ordered.extend(value.copied());
            for d in (0..index.len()).rev() {
                index[d] += 1;
                if index[d] < self.sizes[d] {
                    break;
                }
                index[d] = 0;
            }
        }
        Ok(ordered)
    }
}

pub(super) fn sharding(sharding: &proto::OpSharding) -> Sharding {
    if sharding.named_sharding.is_some() {
        return Sharding::Named;
    }
    match sharding.r#type {
        // Numbers of OpSharding.Type.
        1 => Sharding::Maximal(sharding.tile_assignment_devices.first().copied().unwrap_or(0)),
        2 => Sharding::Tuple(sharding.tuple_shardings.iter().map(self::sharding).collect()),
        3 => Sharding::Tiled {
            dimensions: sharding.tile_assignment_dimensions.clone(),
            devices: device_order(
                &sharding.tile_assignment_devices,
                &sharding.iota_reshape_dims,
                &sharding.iota_transpose_perm,
            ),
            replicate_last: sharding.replicate_on_last_tile_dim,
            subgroups: sharding.last_tile_dims.iter().map(|&kind| plain_sharding(kind)).collect(),
        },
        kind => plain_sharding(kind),
    }
}

fn plain_sharding(kind: i32) -> Sharding {
    match kind {
        0 => Sharding::Replicated,
        1 => Sharding::Maximal(0),
        4 => Sharding::Manual,
        6 => Sharding::Unreduced,
        _ => Sharding::Unknown,
    }
}

fn device_order(devices: &[i64], reshape: &[i64], transpose: &[i32]) -> DeviceOrder {
    if reshape.is_empty() {
        DeviceOrder::List(devices.to_vec())
    } else {
        DeviceOrder::Iota {
            reshape: reshape.to_vec(),
            transpose: transpose.iter().map(|&d| d.into()).collect(),
        }
    }
}

/// The groups of a collective, in whichever of the four fields they are.
pub(super) fn replica_groups(instruction: &proto::Instruction) -> Option<ReplicaGroups> {
    if let Some(list) = &instruction.mesh_axes_replica_group_list {
        return Some(mesh_groups(list));
    }
    let devices = instruction.collective_device_list.as_ref();
    let iota = instruction.iota_collective_device_list.as_ref();
    if let Some(iota) = iota.or(devices.and_then(|d| d.iota_replica_group_list.as_ref())) {
        return Some(ReplicaGroups::Iota {
            groups: iota.num_replica_groups,
            devices: iota.num_devices_per_group,
            order: device_order(&[], &iota.iota_reshape_dims, &iota.iota_transpose_perm),
        });
    }
    let groups = devices.map_or(instruction.replica_groups.as_slice(), |d| d.replica_groups.as_slice());
    Some(ReplicaGroups::List(groups.iter().map(|group| group.replica_ids.clone()).collect()))
}

fn mesh_groups(list: &proto::MeshAxesReplicaGroupList) -> ReplicaGroups {
    let mesh = list.mesh.clone().unwrap_or_default();
    let order = match mesh.iota_transform {
        Some(iota) => Some(DeviceOrder::Iota { reshape: iota.reshape_dims, transpose: iota.transpose_perm }),
        None if mesh.device_ids.is_empty() => None,
        None => Some(DeviceOrder::List(mesh.device_ids)),
    };
    ReplicaGroups::Mesh {
        axes: mesh.axes.into_iter().map(|axis| (axis.name, axis.size)).collect(),
        order,
        group: list
            .axes
            .iter()
            .map(|axis| {
                let part = axis.sub_axis_info.as_ref().map(|part| (part.pre_size, part.size));
                (usize::try_from(axis.mesh_axis_index).unwrap_or(usize::MAX), part)
            })
            .collect(),
    }
}
