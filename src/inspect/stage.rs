//! Which stage of a program an instruction belongs to.

pub use crate::step::StageKind as Stage;

/// The stage in an operation's name: the outermost component of its path that is a stage's name.
///
/// XLA may put components before it, and joins the names of operations that it merged with `;`.
///
/// ```
/// use natgrad::inspect::{Stage, stage_of};
///
/// assert_eq!(stage_of("jit(main)/update/layers.0.weight/mul"), Some(Stage::Update));
/// assert_eq!(stage_of("jit(main)/convert"), None);
/// ```
pub fn stage_of(op_name: &str) -> Option<Stage> {
    op_name
        .split(['/', ';'])
        .find_map(|component| Stage::ALL.into_iter().find(|stage| stage.name() == component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outermost_component_decides() {
        assert_eq!(stage_of("main/update/layers.0.weight/mul"), Some(Stage::Update));
        assert_eq!(stage_of("jit(f)/main/loss_and_gradient/draw/dot"), Some(Stage::LossAndGradient));
        assert_eq!(stage_of("jit(f)/add;jit(f)/resample/w/add"), Some(Stage::Resample));
    }

    #[test]
    fn parts_of_components_do_not_count() {
        assert_eq!(stage_of("jit(update)/updates/update.1/mul"), None);
        assert_eq!(stage_of(""), None);
    }
}
