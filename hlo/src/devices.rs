//! How values and operations are spread over devices, and how HLO text writes it.

use std::fmt;

/// How a value is spread over devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sharding {
    /// The whole value on every device.
    Replicated,
    /// The whole value on one device.
    Maximal(i64),
    /// Left to code that was partitioned by hand.
    Manual,
    /// Not known yet.
    Unknown,
    /// A partial sum on every device.
    Unreduced,
    /// A sharding for each leaf of a tuple.
    Tuple(Vec<Sharding>),
    /// Cut into tiles.
    Tiled {
        /// Number of tiles in each dimension, then sizes of the subgroups.
        dimensions: Vec<i64>,
        /// The devices of the tiles, in order.
        devices: DeviceOrder,
        /// Whether the last of `dimensions` counts copies.
        replicate_last: bool,
        /// What each subgroup of devices holds.
        subgroups: Vec<Sharding>,
    },
    /// Cut along the axes of a named mesh; the axes are not read.
    Named,
}

/// An order of devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceOrder {
    /// One by one.
    List(Vec<i64>),
    /// Counted in an array of these sizes, transposed.
    Iota {
        /// Sizes of the array.
        reshape: Vec<i64>,
        /// The permutation of its dimensions.
        transpose: Vec<i64>,
    },
}

/// Groups of devices that work together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicaGroups {
    /// Group by group.
    List(Vec<Vec<i64>>),
    /// Groups counted in an array.
    Iota {
        /// Number of groups.
        groups: i64,
        /// Devices in each.
        devices: i64,
        /// The order of the devices.
        order: DeviceOrder,
    },
    /// Along axes of a mesh.
    Mesh {
        /// Names and sizes of the mesh's axes.
        axes: Vec<(String, i64)>,
        /// The devices of the mesh, where they are not in order.
        order: Option<DeviceOrder>,
        /// The axes of a group; part of an axis as (product of the sizes before it, its size).
        group: Vec<(usize, Option<(i64, i64)>)>,
    },
}

/// Numbers with commas between.
pub(super) fn list(numbers: &[i64]) -> String {
    numbers.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

impl fmt::Display for DeviceOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceOrder::List(devices) => f.write_str(&list(devices)),
            DeviceOrder::Iota { reshape, transpose } => {
                write!(f, "<=[{}]", list(reshape))?;
                if transpose.len() > 1 { write!(f, "T({})", list(transpose)) } else { Ok(()) }
            }
        }
    }
}

impl fmt::Display for ReplicaGroups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReplicaGroups::List(groups) => {
                let groups: Vec<String> = groups.iter().map(|group| format!("{{{}}}", list(group))).collect();
                write!(f, "{{{}}}", groups.join(","))
            }
            ReplicaGroups::Iota { groups, devices, order } => write!(f, "[{groups},{devices}]{order}"),
            ReplicaGroups::Mesh { axes, order, group } => {
                let sizes: Vec<String> = axes.iter().map(|(name, size)| format!("'{name}'={size}")).collect();
                write!(f, "mesh[{}]", sizes.join(","))?;
                match order {
                    Some(DeviceOrder::List(devices)) => write!(f, ", device_ids=({})", list(devices))?,
                    Some(iota @ DeviceOrder::Iota { .. }) => write!(f, ", device_ids=({iota})")?,
                    None => {}
                }
                let group: Vec<String> = group
                    .iter()
                    .map(|(axis, part)| {
                        let name = axes.get(*axis).map_or("?", |(name, _)| name);
                        match part {
                            Some((before, size)) => format!("'{name}':({before}){size}"),
                            None => format!("'{name}'"),
                        }
                    })
                    .collect();
                write!(f, " {{{}}}", group.join(","))
            }
        }
    }
}

impl Sharding {
    /// The name of a sharding as what a subgroup holds.
    fn subgroup_name(&self) -> &'static str {
        match self {
            Sharding::Replicated => "replicated",
            Sharding::Manual => "manual",
            Sharding::Unreduced => "unreduced",
            Sharding::Maximal(_) => "maximal",
            Sharding::Unknown | Sharding::Tuple(_) | Sharding::Tiled { .. } | Sharding::Named => "unknown",
        }
    }
}

impl fmt::Display for Sharding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sharding::Replicated => f.write_str("{replicated}"),
            Sharding::Maximal(device) => write!(f, "{{maximal device={device}}}"),
            Sharding::Manual => f.write_str("{manual}"),
            Sharding::Unknown => f.write_str("{unknown}"),
            Sharding::Unreduced => f.write_str("{unreduced}"),
            Sharding::Named => f.write_str("{unknown}/*a sharding by mesh axes*/"),
            Sharding::Tuple(parts) => {
                f.write_str("{")?;
                for (i, part) in parts.iter().enumerate() {
                    f.write_str(super::shape::separator(i))?;
                    if let Some(comment) = super::shape::index_comment(i) {
                        f.write_str(&comment)?;
                    }
                    write!(f, "{part}")?;
                }
                f.write_str("}")
            }
            Sharding::Tiled { dimensions, devices, replicate_last, subgroups } => {
                write!(f, "{{devices=[{}]{devices}", list(dimensions))?;
                if *replicate_last {
                    f.write_str(" last_tile_dim_replicate")?;
                }
                if !subgroups.is_empty() {
                    let names: Vec<&str> = subgroups.iter().map(Sharding::subgroup_name).collect();
                    write!(f, " last_tile_dims={{{}}}", names.join(", "))?;
                }
                f.write_str("}")
            }
        }
    }
}
