//! What of a configuration may be another when a run goes on.

use serde_json::Value;

use crate::config::{Difference, differences};

/// Sections of a configuration that a resumed run may always change.
const FREE_SECTIONS: [&str; 3] = ["evaluation", "checkpoint", "device"];

/// Fields that it may always change, too: how often it is judged, and how long it waits.
const FREE_FIELDS: [&str; 2] = ["validation.every", "validation.patience"];

/// What [`Run::accept_changes`](super::Run::accept_changes) accepts, in words.
pub const MAY_CHANGE: &str =
    "rule.lr, length, evaluation, checkpoint, device, validation.every and validation.patience";

/// Whether a run that goes on may have another value of this field, if that is accepted.
pub fn may_change(path: &str) -> bool {
    path == "rule.lr" || is_in(path, &["length"]) || is_free(path)
}

fn is_in(path: &str, sections: &[&str]) -> bool {
    path.split('.').next().is_some_and(|section| sections.contains(&section))
}

fn is_free(path: &str) -> bool {
    let is_of =
        |field: &str| path == field || path.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'));
    is_in(path, &FREE_SECTIONS) || FREE_FIELDS.iter().any(|field| is_of(field))
}

/// Where two configurations differ first, beside what may always change, or with `accepted` what may then.
pub(super) fn difference(then: &Value, now: &Value, accepted: bool) -> Option<String> {
    let may = |field: &Difference| is_free(&field.path) || (accepted && may_change(&field.path));
    let Difference { path, then, now } = differences(then, now).into_iter().find(|field| !may(field))?;
    Some(format!("it is of a run with `{path}` {then}, but this run has {now}"))
}
