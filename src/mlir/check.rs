//! What no description of an operation in MLIR can say: dimension numbers, whose inside only StableHLO's own dialect
//! reads, and the types of lists of values that differ.

use melior::ir::attribute::AttributeLike;
use melior::ir::operation::{OperationLike, OperationRef};
use melior::ir::{BlockLike, RegionLike, RegionRef, Value, ValueLike};

use super::attributes::attribute_of;

/// A tensor's dimensions and elements.
struct Tensor {
    dims: Vec<i64>,
    element: String,
}

/// Checks an operation. What has shapes that are not known before a run is not looked into.
pub(super) fn operation(name: &str, at: OperationRef<'_, '_>) -> Result<(), String> {
    match name {
        "stablehlo.constant" | "natgrad.constant" => constant(at),
        "stablehlo.dot_general" => dot(at),
        "stablehlo.convolution" => convolution(at),
        "stablehlo.gather" => gather(at),
        "stablehlo.scatter" => scatter(at),
        "stablehlo.reduce" => reduce(at),
        "stablehlo.concatenate" => concatenate(at),
        "stablehlo.while" => repeat(at),
        "stablehlo.optimization_barrier" => {
            same("its operands", &types(at.operands()), "its results", &result_types(at))
        }
        "mhlo.fusion" => {
            let region = at.region(0).map_err(|error| error.to_string())?;
            same("its operands", &types(at.operands()), "its region's arguments", &arguments(region))?;
            same("what its region returns", &returned(region), "its results", &result_types(at))
        }
        _ => Ok(()),
    }
}

fn constant(at: OperationRef<'_, '_>) -> Result<(), String> {
    let Some(value) = attribute_of(at, "value") else { return Ok(()) };
    same("its value", &[value.r#type().to_string()], "its result", &result_types(at))
}

/// The dimensions of the result of a product: those of the batch, then what is left of each operand.
fn dot(at: OperationRef<'_, '_>) -> Result<(), String> {
    let (Some([left, right]), Some([result])) = (operands(at), results(at)) else { return Ok(()) };
    let text = text(at, "dot_dimension_numbers");
    let lists = ["lhs_batching", "rhs_batching", "lhs_contracting", "rhs_contracting"];
    let [left_batch, right_batch, left_sum, right_sum] =
        lists.map(|name| list(&text, &format!("{name}_dimensions")));
    for (what, dims, tensor) in [
        ("left", [&left_batch[..], &left_sum].concat(), &left),
        ("right", [&right_batch[..], &right_sum].concat(), &right),
    ] {
        distinct_dims(&format!("the dimension numbers of its {what} operand"), &dims, tensor)?;
    }
    for (what, ours, theirs) in [("batch", &left_batch, &right_batch), ("sum", &left_sum, &right_sum)] {
        if sizes(ours, &left) != sizes(theirs, &right) {
            let (ours, theirs) = (sizes(ours, &left), sizes(theirs, &right));
            return Err(format!(
                "the dimensions of its {what} are {ours:?} on the left, {theirs:?} on the right"
            ));
        }
    }
    let rest = |tensor: &Tensor, used: [&[usize]; 2]| {
        let left = (0..tensor.dims.len()).filter(|dim| !used.concat().contains(dim));
        sizes(&left.collect::<Vec<_>>(), tensor)
    };
    let wanted = [
        sizes(&left_batch, &left),
        rest(&left, [&left_batch, &left_sum]),
        rest(&right, [&right_batch, &right_sum]),
    ];
    is_shape(&result, &wanted.concat())
}

/// The letters of a convolution's dimensions are as many as its operands have, and name features of the same number.
fn convolution(at: OperationRef<'_, '_>) -> Result<(), String> {
    let (Some([image, kernel]), Some([result])) = (operands(at), results(at)) else { return Ok(()) };
    let text = text(at, "dimension_numbers");
    let parts: Vec<Vec<&str>> = text
        .split('[')
        .skip(1)
        .filter_map(|part| part.split_once(']'))
        .map(|(inside, _)| inside.split(',').map(str::trim).collect())
        .collect();
    let [of_image, of_kernel, of_result] = parts.as_slice() else {
        return Err(format!("its dimension numbers are `{text}`"));
    };
    for (what, letters, tensor) in
        [("image", of_image, &image), ("kernel", of_kernel, &kernel), ("result", of_result, &result)]
    {
        if letters.len() != tensor.dims.len() {
            let (count, rank) = (letters.len(), tensor.dims.len());
            return Err(format!(
                "its {what} has {rank} dimensions, of which its dimension numbers name {count}"
            ));
        }
    }
    let size = |letters: &[&str], letter: &str, tensor: &Tensor| {
        letters.iter().position(|one| *one == letter).map(|dim| tensor.dims[dim])
    };
    let groups = attribute_of(at, "feature_group_count").map(|attribute| attribute.to_string());
    let groups = groups.and_then(|text| text.split(' ').next()?.parse::<i64>().ok()).unwrap_or(1);
    let (features, inputs) = (size(of_image, "f", &image), size(of_kernel, "i", &kernel));
    if features != inputs.map(|inputs| inputs * groups) {
        return Err(format!("its image has {features:?} features, its kernel {inputs:?} in {groups} groups"));
    }
    let (outputs, given) = (size(of_kernel, "o", &kernel), size(of_result, "f", &result));
    if outputs != given {
        return Err(format!("its kernel gives {outputs:?} features, its result has {given:?}"));
    }
    Ok(())
}

fn gather(at: OperationRef<'_, '_>) -> Result<(), String> {
    let (Some([table, indices]), Some([result])) = (operands(at), results(at)) else { return Ok(()) };
    let text = text(at, "dimension_numbers");
    distinct_dims("its `offset_dims`", &list(&text, "offset_dims"), &result)?;
    distinct_dims("its `collapsed_slice_dims`", &list(&text, "collapsed_slice_dims"), &table)?;
    distinct_dims("its `start_index_map`", &list(&text, "start_index_map"), &table)?;
    vector_dim(&text, &indices)
}

fn scatter(at: OperationRef<'_, '_>) -> Result<(), String> {
    let Some([table, indices, updates]) = operands(at) else { return Ok(()) };
    let text = text(at, "scatter_dimension_numbers");
    distinct_dims("its `update_window_dims`", &list(&text, "update_window_dims"), &updates)?;
    distinct_dims("its `inserted_window_dims`", &list(&text, "inserted_window_dims"), &table)?;
    distinct_dims(
        "its `scatter_dims_to_operand_dims`",
        &list(&text, "scatter_dims_to_operand_dims"),
        &table,
    )?;
    vector_dim(&text, &indices)?;
    reducer(at)
}

fn reduce(at: OperationRef<'_, '_>) -> Result<(), String> {
    reducer(at)?;
    let (Some([operand, _]), Some([result])) = (operands(at), results(at)) else { return Ok(()) };
    let dims = attribute_of(at, "dimensions").map(|attribute| attribute.to_string()).unwrap_or_default();
    let dims = numbers(dims.split_once(':').map_or("", |(_, numbers)| numbers));
    distinct_dims("its `dimensions`", &dims, &operand)?;
    let left: Vec<usize> = (0..operand.dims.len()).filter(|dim| !dims.contains(dim)).collect();
    is_shape(&result, &sizes(&left, &operand))
}

/// What is made of two elements is one of their type.
fn reducer(at: OperationRef<'_, '_>) -> Result<(), String> {
    let Ok(region) = at.region(0) else { return Ok(()) };
    let arguments = arguments(region);
    same(
        "what its region returns",
        &returned(region),
        "half of its arguments",
        &arguments[arguments.len() / 2..],
    )
}

fn concatenate(at: OperationRef<'_, '_>) -> Result<(), String> {
    let given = at.operands().map(|operand| tensor(&operand.r#type().to_string()));
    let (Some(given), Some([result])) = (given.collect::<Option<Vec<_>>>(), results(at)) else {
        return Ok(());
    };
    let dim = attribute_of(at, "dimension").map(|attribute| attribute.to_string()).unwrap_or_default();
    let dim: usize = dim.split(' ').next().and_then(|dim| dim.parse().ok()).unwrap_or(usize::MAX);
    distinct_dims("its `dimension`", &[dim], &result)?;
    let mut wanted = result.dims.clone();
    wanted[dim] = 0;
    for one in &given {
        if one.element != result.element || one.dims.len() != wanted.len() {
            return Err(format!("an operand is {}, its result {}", one.written(), result.written()));
        }
        wanted[dim] += one.dims[dim];
    }
    is_shape(&result, &wanted)
}

fn repeat(at: OperationRef<'_, '_>) -> Result<(), String> {
    let carried = types(at.operands());
    same("its operands", &carried, "its results", &result_types(at))?;
    let (Ok(condition), Ok(body)) = (at.region(0), at.region(1)) else {
        return Err("it must have a condition and a body".to_owned());
    };
    same("its operands", &carried, "its condition's arguments", &arguments(condition))?;
    same("its operands", &carried, "its body's arguments", &arguments(body))?;
    same("what its body returns", &returned(body), "its operands", &carried)?;
    same("what its condition returns", &returned(condition), "a truth value", &["tensor<i1>".to_owned()])
}

impl Tensor {
    fn written(&self) -> String {
        let dims: String = self.dims.iter().map(|dim| format!("{dim}x")).collect();
        format!("tensor<{dims}{}>", self.element)
    }
}

/// A type's tensor, if all its dimensions are known.
fn tensor(ty: &str) -> Option<Tensor> {
    let inside = ty.strip_prefix("tensor<")?.strip_suffix('>')?;
    // What is behind a comma is for dimensions that are not known.
    let inside = inside.split(',').next()?;
    let mut parts: Vec<&str> = inside.split('x').collect();
    let element = parts.pop()?.to_owned();
    let dims = parts.into_iter().map(|dim| dim.parse().ok()).collect::<Option<Vec<i64>>>()?;
    Some(Tensor { dims, element })
}

fn operands<const N: usize>(at: OperationRef<'_, '_>) -> Option<[Tensor; N]> {
    let tensors = types(at.operands()).iter().map(|ty| tensor(ty)).collect::<Option<Vec<Tensor>>>()?;
    tensors.try_into().ok()
}

fn results<const N: usize>(at: OperationRef<'_, '_>) -> Option<[Tensor; N]> {
    let tensors = result_types(at).iter().map(|ty| tensor(ty)).collect::<Option<Vec<Tensor>>>()?;
    tensors.try_into().ok()
}

fn types<'c: 'a, 'a>(values: impl Iterator<Item = Value<'c, 'a>>) -> Vec<String> {
    values.map(|value| value.r#type().to_string()).collect()
}

fn result_types(at: OperationRef<'_, '_>) -> Vec<String> {
    types(at.results().map(Value::from))
}

fn arguments(region: RegionRef<'_, '_>) -> Vec<String> {
    let Some(block) = region.first_block() else { return Vec::new() };
    let each = (0..block.argument_count()).filter_map(|index| block.argument(index).ok());
    types(each.map(Value::from))
}

/// The types of what the last operation of a region's block takes.
fn returned(region: RegionRef<'_, '_>) -> Vec<String> {
    let Some(block) = region.first_block() else { return Vec::new() };
    let (mut last, mut next) = (None, block.first_operation());
    while let Some(operation) = next {
        last = Some(operation);
        next = operation.next_in_block();
    }
    last.map(|operation| types(operation.operands())).unwrap_or_default()
}

fn same(what: &str, ours: &[String], which: &str, theirs: &[String]) -> Result<(), String> {
    if ours == theirs {
        return Ok(());
    }
    Err(format!("{what} must be of the types of {which}: ({}) and ({})", ours.join(", "), theirs.join(", ")))
}

/// An attribute as MLIR prints it; nothing where it is missing, which MLIR tells.
fn text(at: OperationRef<'_, '_>, name: &str) -> String {
    attribute_of(at, name).map(|attribute| attribute.to_string()).unwrap_or_default()
}

/// The numbers in brackets behind a name; none where it is not there.
fn list(text: &str, name: &str) -> Vec<usize> {
    let found = text.split_once(&format!("{name} = [")).and_then(|(_, behind)| behind.split_once(']'));
    numbers(found.map_or("", |(inside, _)| inside))
}

fn numbers(text: &str) -> Vec<usize> {
    text.split(',').filter_map(|number| number.trim().trim_end_matches('>').parse().ok()).collect()
}

fn sizes(dims: &[usize], tensor: &Tensor) -> Vec<i64> {
    dims.iter().map(|&dim| tensor.dims[dim]).collect()
}

fn distinct_dims(what: &str, dims: &[usize], tensor: &Tensor) -> Result<(), String> {
    let twice = |at: usize| dims[..at].contains(&dims[at]);
    match (0..dims.len()).find(|&at| dims[at] >= tensor.dims.len() || twice(at)) {
        None => Ok(()),
        Some(_) => Err(format!("{what} must be different dimensions of {}: {dims:?}", tensor.written())),
    }
}

/// The dimension of the indices along which each is one index, which may be left out at the end.
fn vector_dim(text: &str, indices: &Tensor) -> Result<(), String> {
    let found = text.split_once("index_vector_dim = ").map_or("", |(_, behind)| behind);
    let digits: String = found.chars().take_while(char::is_ascii_digit).collect();
    match digits.parse::<usize>() {
        Ok(dim) if dim > indices.dims.len() => {
            Err(format!("its `index_vector_dim` {dim} is beyond its indices, {}", indices.written()))
        }
        _ => Ok(()),
    }
}

fn is_shape(tensor: &Tensor, wanted: &[i64]) -> Result<(), String> {
    if tensor.dims == wanted {
        return Ok(());
    }
    let wanted = Tensor { dims: wanted.to_vec(), element: tensor.element.clone() };
    Err(format!("its result is {}, but must be {}", tensor.written(), wanted.written()))
}
