//! Models in a few lines.

use natgrad_ir::Expr;
use natgrad_layers::{Input, Model, Network, Task};

/// A model by its inputs, task and network.
pub struct Described<F> {
    pub inputs: Vec<Input>,
    pub task: Task,
    pub network: F,
}

impl<F> std::fmt::Debug for Described<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Described")
    }
}

impl<F> Model for Described<F>
where
    F: for<'b> Fn(&Network<'b>, &[Expr<'b>]) -> Expr<'b> + Send + Sync,
{
    fn name(&self) -> &str {
        "described"
    }

    fn inputs(&self) -> Vec<Input> {
        self.inputs.clone()
    }

    fn task(&self) -> Task {
        self.task
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        (self.network)(net, inputs)
    }
}

/// A classifier of 4 numbers.
pub fn classifier<F>(network: F) -> Described<F>
where
    F: for<'b> Fn(&Network<'b>, &[Expr<'b>]) -> Expr<'b> + Send + Sync,
{
    Described { inputs: vec![Input::numbers("x", [4])], task: Task::Classes, network }
}
