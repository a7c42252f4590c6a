//! The rules of `examples/own_rule`, which pass the tests that natgrad's own do.

use std::sync::LazyLock;

use natgrad::rule::{NamedRule, register};

#[path = "../../examples/own_rule/lion.rs"]
mod lion;
#[path = "../../examples/own_rule/noisy_adam.rs"]
mod noisy_adam;

/// The names of both, registered.
pub static OWN: LazyLock<[&str; 2]> = LazyLock::new(|| {
    register::<lion::Lion>("lion").unwrap();
    register::<noisy_adam::NoisyAdam>("noisy-adam").unwrap();
    ["lion", "noisy-adam"]
});

/// Every rule with its defaults: natgrad's, and these two.
#[allow(dead_code, reason = "not every test crate asks for all rules")]
pub fn every_rule() -> Vec<NamedRule> {
    let own = OWN.iter().map(|name| NamedRule::by_name(name).unwrap());
    NamedRule::all().into_iter().chain(own).collect()
}
