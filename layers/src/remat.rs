//! What the backward pass computes again, rather than having it stored.

use natgrad_ir::Value;
use natgrad_ir::grad::{Region, RegionKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::network::Network;

/// How much the backward pass computes again, so that less is stored between it and the forward pass.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Remat {
    /// Nothing: all that the backward pass reads is stored.
    None,
    /// What costs little and stores much: over texts of more than 256 tokens, the weights of attention, and normalizations and
    /// nonlinearities of GPT-2; of logits over a large vocabulary, some rows at a time are computed, with their gradients.
    #[default]
    Cheap,
    /// Whole blocks of a network, of which only what they read is stored: the forward pass once more. And the logits as above.
    Blocks,
}

impl<'b> Network<'b> {
    /// Describes a part of the network. The backward pass computes the part again where `step.remat` is `from` or more; with
    /// `none` it never does. In a block that is computed again whole, its parts are not computed another time.
    pub fn again<T>(&self, from: Remat, describe: impl FnOnce() -> T) -> T {
        if self.remat() < from.max(Remat::Cheap) || self.in_block().get() {
            return describe();
        }
        self.in_block().set(from == Remat::Blocks);
        let made = self.region(RegionKind::Again, describe);
        self.in_block().set(false);
        made
    }

    /// As [`Network::again`] from [`Remat::Cheap`] on, also within a block, and computed in a call: parts that stand side by side
    /// are then computed one after the other, and what one of them holds meanwhile is held once.
    pub(crate) fn apart<T>(&self, describe: impl FnOnce() -> T) -> T {
        if self.remat() == Remat::None { describe() } else { self.region(RegionKind::Apart, describe) }
    }

    /// Describes a region.
    pub(crate) fn region<T>(&self, kind: RegionKind, describe: impl FnOnce() -> T) -> T {
        let place = || self.build(|b| b.function().insts.len());
        let start = place();
        let saved_before = self.saved().len();
        let made = describe();
        let saved: Vec<Value> = self.saved().split_off(saved_before);
        self.regions().push(Region { insts: start..place(), kind, saved });
        made
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::cell::RefCell;

    use natgrad_ir::grad::value_and_grad_of_regions;
    use natgrad_ir::interp::{Tensor, evaluate};
    use natgrad_ir::{Builder, CallKind, DType, Expr, Module, Op, TensorType, verify};

    use super::*;

    /// The results of parameters of these shapes, with uneven numbers, and the gradients of the first; and how many calls of
    /// what is computed again there are.
    pub(crate) fn gradients(
        shapes: &[Vec<usize>],
        remat: Remat,
        results: impl for<'b> FnOnce(&Network<'b>, &[Expr<'b>]) -> Vec<Expr<'b>>,
    ) -> (Vec<f64>, usize) {
        let types: Vec<TensorType> =
            shapes.iter().map(|shape| TensorType::new(DType::F64, shape.as_slice())).collect();
        let cell = RefCell::new(Builder::new("loss"));
        let given: Vec<Value> = (types.iter().enumerate())
            .map(|(index, ty)| cell.borrow_mut().param(format!("p{index}"), ty.clone()))
            .collect();
        let (results, held, regions) = {
            let net = Network::of(&cell, [], None).with_remat(remat);
            let given: Vec<Expr> = given.into_iter().map(|value| net.expr(value)).collect();
            let results: Vec<Value> = results(&net, &given).into_iter().map(Expr::value).collect();
            (results, net.held(), net.regions().clone())
        };
        let function = cell.into_inner().finish(&results).unwrap();
        let all: Vec<usize> = (0..types.len()).collect();
        let mut module = Module::new("loss");
        let gradient = value_and_grad_of_regions(&mut module, &function, &all, &held, &regions).unwrap();
        let calls = gradient.insts.iter();
        let calls = calls.filter(|it| matches!(it.op, Op::Call { kind: CallKind::Again, .. })).count();
        module.push(gradient);
        let numbers = |(index, ty): (usize, &TensorType)| {
            let uneven = |element: usize| (1.3 * element as f64 + 0.7 * index as f64).sin();
            Tensor::from_f64s(ty.clone(), &(0..ty.shape.elements()).map(uneven).collect::<Vec<f64>>())
                .unwrap()
        };
        let at: Vec<Tensor> = types.iter().enumerate().map(numbers).collect();
        let found = evaluate(&verify(module).unwrap(), &at).unwrap();
        (found.iter().flat_map(Tensor::to_f64s).collect(), calls)
    }
}

#[cfg(test)]
mod tests {
    use super::testing::gradients;
    use super::*;

    #[test]
    fn a_step_that_stores_all_computes_nothing_again() {
        for (remat, count) in [(Remat::None, 0), (Remat::Cheap, 1), (Remat::Blocks, 1)] {
            let (_, calls) = gradients(&[vec![3]], remat, |net, given| {
                vec![net.again(Remat::None, || given[0].exp()).square().total()]
            });
            assert_eq!(calls, count, "{remat:?}");
        }
    }
}
