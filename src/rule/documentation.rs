//! What each rule keeps and asks for, as a table for the documentation, made from the rules themselves.

use super::{NamedRule, Needs, RuleFault};

/// The table in Markdown, of every rule with its defaults.
///
/// # Errors
/// A rule has a mistake.
pub fn table() -> Result<String, RuleFault> {
    let mut text = "| rule | keeps | gradient at | each evaluation gives | leaves |\n|---|---|---|---|---|\n"
        .to_string();
    for rule in NamedRule::all() {
        let needs = Needs::of(rule.rule())?;
        let keeps = needs.state.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
        let at = if needs.samples { "samples" } else { "the mean" };
        let gives =
            match (needs.contributes.is_some(), needs.squared_gradients, needs.hessian_product, needs.offset)
            {
                (false, ..) => "its gradient",
                (true, true, ..) => "its gradient, and the rows' squared gradients",
                (true, _, true, _) => "its gradient, and a Hessian-vector product",
                (true, _, _, true) => "its gradient, and its product with the offset",
                (true, ..) => "its gradient, and its square",
            };
        let leaves = if needs.has_posterior { "a posterior" } else { "a point" };
        text += &format!("| {} | {keeps} | {at} | {gives} | {leaves} |\n", rule.name());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn the_documentation_has_this_table() {
        let (text, table) = (include_str!("../../docs/rules.md"), table().unwrap());
        assert!(text.contains(&table), "docs/rules.md must have\n\n{table}");
    }
}
