//! `--target`: the device that programs are compiled for.

use std::str::FromStr;

use crate::compile::{UnknownTarget, Wanted, list_targets};

/// The value of `--target`.
#[derive(Clone, Copy, Debug)]
pub(super) enum TargetArg {
    /// The list of what there is.
    List,
    /// One of it.
    One(Wanted),
}

impl FromStr for TargetArg {
    type Err = UnknownTarget;

    fn from_str(text: &str) -> Result<TargetArg, UnknownTarget> {
        match text {
            "list" => Ok(TargetArg::List),
            name => name.parse().map(TargetArg::One),
        }
    }
}

impl TargetArg {
    /// The device that is asked for; none for the default, or the list.
    pub(super) fn wanted(target: Option<TargetArg>) -> Option<Wanted> {
        match target {
            Some(TargetArg::One(wanted)) => Some(wanted),
            Some(TargetArg::List) | None => None,
        }
    }
}

/// The targets that there are, as `--target list` prints them.
pub(super) fn listed() -> String {
    format!("{}\n", list_targets())
}
