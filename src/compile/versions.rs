//! Whether a plugin reads functions from elsewhere, which were written in some version of StableHLO.

use natgrad_ir::{Foreign, Op};

use super::DeviceError;
use crate::pjrt::{OptionValue, Plugin};
use crate::step::Program;

/// An error unless the plugin reads every function from elsewhere that the program calls. What neither the plugin nor the
/// function tells is left to XLA.
pub(super) fn check(plugin: &Plugin, program: &Program) -> Result<(), DeviceError> {
    let version = |wanted: &str| match plugin.attributes().iter().find(|(name, _)| name == wanted) {
        Some((_, OptionValue::Ints(numbers))) => <[i64; 3]>::try_from(numbers.as_slice()).ok(),
        _ => None,
    };
    let (least, most) = (version("stablehlo_minimum_version"), version("stablehlo_current_version"));
    foreign(program).try_for_each(|function| is_read(function, least, most))
}

/// The functions from elsewhere that a program calls.
pub(super) fn foreign(program: &Program) -> impl Iterator<Item = &Foreign> {
    let functions = program.module.module().functions.iter();
    functions.flat_map(|function| &function.insts).filter_map(|inst| match &inst.op {
        Op::Foreign(foreign) => Some(foreign.as_ref()),
        _ => None,
    })
}

fn is_read(function: &Foreign, least: Option<[i64; 3]>, most: Option<[i64; 3]>) -> Result<(), DeviceError> {
    let Some(written) = function.version.map(|numbers| numbers.map(i64::from)) else { return Ok(()) };
    let unread = |reads: String, remedy: &'static str| {
        let function = function.symbol.clone();
        Err(DeviceError::Version { function, written: dotted(written), reads, remedy })
    };
    match (least, most) {
        (_, Some(most)) if written > most => unread(
            format!("{} at most", dotted(most)),
            "export it with an older release of the framework, or take a newer plugin, by NATGRAD_PJRT_PLUGIN",
        ),
        (Some(least), _) if written < least => unread(
            format!("{} at least", dotted(least)),
            "export it again with a newer release of the framework",
        ),
        _ => Ok(()),
    }
}

fn dotted(version: [i64; 3]) -> String {
    version.map(|number| number.to_string()).join(".")
}

#[cfg(test)]
mod tests {
    use natgrad_ir::Signature;

    use super::*;

    #[test]
    fn versions_are_compared_number_by_number() {
        let read = |version: Option<[u32; 3]>| {
            let signature = Signature { params: Vec::new(), results: Vec::new() };
            let (symbol, locations, text) = ("f".to_string(), String::new(), String::new());
            let function = Foreign { symbol, locations, text, signature, version };
            is_read(&function, Some([0, 9, 0]), Some([1, 20, 0])).map_err(|error| error.to_string())
        };
        for fine in [None, Some([0, 9, 0]), Some([1, 3, 7]), Some([1, 20, 0])] {
            assert_eq!(read(fine), Ok(()));
        }
        for (version, wanted) in [
            ([1, 20, 1], "in StableHLO 1.20.1, and the plugin reads 1.20.0 at most"),
            ([2, 0, 0], "2.0.0"),
            ([0, 8, 12], "in StableHLO 0.8.12, and the plugin reads 0.9.0 at least"),
        ] {
            let error = read(Some(version)).unwrap_err();
            assert!(error.contains(wanted) && error.contains("release of the framework"), "{error}");
        }
    }
}
