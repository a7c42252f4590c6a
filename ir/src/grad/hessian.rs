//! Products of the Hessian of a loss with a direction, reverse over reverse.

use super::emit::Emitter;
use super::{GradError, differentiate};
use crate::graph::{Function, Value};

/// The function that returns the results of `function`, the first of which is the loss, then the gradient of the
/// loss with respect to the parameters with the indices `wrt`, and then the product of the loss's Hessian with a
/// direction, one part for each of `wrt`.
///
/// The parts of the direction are new parameters behind those of `function`, one for each of `wrt`, of the same type
/// and named `direction/` and the parameter's name. The Hessian is that of all of `wrt` together: each product sums
/// over every part of the direction. Its parts are named `hessian_vector/` and the parameter's name, unless the value
/// has a name already or the name is taken. The function is named after `function` with `_hessian_vector` appended.
///
/// The product is the gradient of the sum of gradient times direction, elementwise, so it costs about as much as two
/// gradients (Pearlmutter, "Fast exact multiplication by the Hessian", 1994, takes the other order). The values `stop`
/// count as constants in both passes, as in [`value_and_grad_with`](super::value_and_grad_with). Where a second derivative does not exist, the
/// conventions of [`value_and_grad`](super::value_and_grad) hold.
///
/// # Errors
/// As [`value_and_grad_with`](super::value_and_grad_with), and if the name of a direction is taken.
pub fn hessian_vector(function: &Function, wrt: &[usize], stop: &[Value]) -> Result<Function, GradError> {
    let mut along = differentiate(function, wrt, stop, "grad")?;
    let (primal, results) = (function.results.len(), along.results.clone());
    let mut directions = Vec::with_capacity(wrt.len());
    for &index in wrt {
        let direction = add_direction(&mut along, index).map_err(|name| {
            let function = function.name.clone();
            GradError::DirectionName { function, name }
        })?;
        directions.push(direction);
    }
    along.results = vec![inner_product(&mut along, &results[primal..], &directions)?];
    along.results.extend(&results);
    let mut product = differentiate(&along, wrt, stop, "hessian_vector")?;
    // The inner product itself is not asked for; passes remove it.
    product.results.remove(0);
    product.name = format!("{}_hessian_vector", function.name);
    Ok(product)
}

/// Adds the direction of a parameter as a parameter.
///
/// # Errors
/// Its name, if that is taken.
fn add_direction(function: &mut Function, index: usize) -> Result<Value, String> {
    let param = function.value(function.params[index]);
    let name = format!("direction/{}", param.name.as_deref().unwrap_or_default());
    let ty = param.ty.clone();
    if function.values.iter().any(|data| data.name.as_ref() == Some(&name)) {
        return Err(name);
    }
    Ok(function.add_param(ty, Some(name)))
}

/// Appends the sum of products of gradients and directions, in the type of the loss.
fn inner_product(
    function: &mut Function,
    gradients: &[Value],
    directions: &[Value],
) -> Result<Value, GradError> {
    let loss = function.ty(function.results[0]).clone();
    let mut e = Emitter::new(std::mem::take(function));
    e.follow_none();
    let mut total = None;
    for (&gradient, &direction) in gradients.iter().zip(directions) {
        let product = e.mul(gradient, direction);
        let sum = e.sum_all(product);
        let sum = e.convert(sum, loss.dtype);
        total = Some(match total {
            Some(total) => e.add(total, sum),
            None => sum,
        });
    }
    let total = total.unwrap_or_else(|| e.full(loss, 0.0));
    e.function.results = vec![total];
    *function = e.finish()?;
    Ok(function.results[0])
}
