//! Why an executable was not taken from the cache.

use std::fmt;

use super::Cache;
use crate::compile::Damage;
use crate::compile::note::{Difference, Note};

/// Why an executable had to be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MissReason {
    /// There is no entry of the program yet.
    Absent,
    /// The program was compiled by another plugin only.
    OtherPlugin,
    /// The program was compiled with other options or another value of XLA_FLAGS only.
    OtherOptions,
    /// The program was compiled for another device, runtime or processor only.
    OtherMachine,
    /// XLA was asked for dumps, which it only writes when it compiles.
    DumpsWanted,
    /// The key could not be made, as the plugin's file cannot be read.
    NoKey(String),
    /// The entry cannot be read.
    Unreadable(String),
    /// The entry's content is no good.
    Damaged(Damage),
    /// The plugin refused the entry.
    NotLoadable(String),
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MissReason::Absent => f.write_str("there is no entry"),
            MissReason::OtherPlugin => f.write_str("there is an entry by another plugin only"),
            MissReason::OtherOptions => f.write_str("there is an entry with other options only"),
            MissReason::OtherMachine => {
                f.write_str("there is an entry for another device, runtime or processor only")
            }
            MissReason::DumpsWanted => f.write_str("XLA was asked for dumps, which only compiling writes"),
            MissReason::NoKey(reason) => write!(f, "the plugin cannot be hashed: {reason}"),
            MissReason::Unreadable(reason) => write!(f, "the entry cannot be read: {reason}"),
            MissReason::Damaged(damage) => write!(f, "the entry is damaged: {damage}"),
            MissReason::NotLoadable(reason) => write!(f, "the entry cannot be loaded: {reason}"),
        }
    }
}

/// Why there is no entry of this program: what the nearest one was made with, if there is one of the same program.
pub(super) fn absent(cache: &Cache, note: &Note) -> MissReason {
    let entries = cache.entries().unwrap_or_default();
    let differences =
        entries.iter().filter_map(|entry| entry.about.as_ref().ok().and_then(|about| note.difference(about)));
    let nearest = differences.max_by_key(|difference| match difference {
        Difference::Plugin => 0,
        Difference::Options => 1,
        Difference::Machine => 2,
    });
    match nearest {
        None => MissReason::Absent,
        Some(Difference::Plugin) => MissReason::OtherPlugin,
        Some(Difference::Options) => MissReason::OtherOptions,
        Some(Difference::Machine) => MissReason::OtherMachine,
    }
}
