//! Writes calls in the place of convolutions, with what is added to their outputs.

use std::collections::HashMap;
use std::sync::Arc;

use natgrad_ir::{BinaryOp, DType, Function, InstData, Module, Op, ReduceOp, TensorType, Value, Verified};
use natgrad_onednn::{Convolution, Element, Pass};

use super::call::called;
use super::told::Told;
use crate::lower::rewrite::rewrite;

/// The module with a call for each convolution that is fast so.
pub(in crate::lower::linear) fn with_calls(
    module: &Verified,
    is_fast: &dyn Fn(&Convolution) -> bool,
) -> Module {
    rewrite(module, |function, _| {
        let mut planned = Planned::of(&function, is_fast);
        let (mut made, mut map) = function.begin_copy();
        for (index, inst) in function.insts.iter().enumerate() {
            match planned.remove(&index) {
                Some(call) => call.write(&function, inst, &mut made, &mut map),
                // What a call has given already.
                None if inst.results.iter().all(|result| map.contains_key(result)) => {}
                None => made.append_copy(&function, inst, &mut map),
            }
        }
        made.results = function.results.iter().map(|result| map[result]).collect();
        made
    })
}

/// A call to be written.
struct Planned {
    convolution: Convolution,
    operands: Vec<Value>,
    /// What it gives: the convolution's result, or the sum with what is added; then the gradient of that.
    results: Vec<Value>,
}

impl Planned {
    /// The calls of a function, by the instructions in whose place they are.
    fn of(function: &Function, is_fast: &dyn Fn(&Convolution) -> bool) -> HashMap<usize, Planned> {
        let uses = Uses::of(function);
        let mut planned = HashMap::new();
        for (index, inst) in function.insts.iter().enumerate() {
            let Some(told) = Told::of(function, index) else { continue };
            let result = inst.results[0];
            let with_bias = match told.convolution.pass {
                Pass::Forward => uses.added(function, &told, result),
                Pass::Kernel => uses.summed(function, &told, index, result),
                Pass::Images => None,
            };
            let plain = Planned {
                convolution: told.convolution,
                operands: told.operands.to_vec(),
                results: vec![result],
            };
            // A sum that two gradients could give is the first one's.
            let is_free =
                |(at, way): &(usize, Planned)| !planned.contains_key(at) && way.is_free_of(&planned);
            let ways: Vec<_> = with_bias.filter(is_free).into_iter().chain([(index, plain)]).collect();
            let is_fast =
                |element| move |(_, way): &(usize, Planned)| is_fast(&way.convolution.of_type(element));
            let own = told.convolution.element;
            // Halves as single precision, where the processor has no products of halves.
            let element = [own, Element::F32].into_iter().find(|&element| ways.iter().any(is_fast(element)));
            if let Some(element) = element {
                let way = ways.into_iter().find(is_fast(element));
                planned.extend(way.map(|(at, way)| (at, way.of_type(element))));
            }
        }
        planned
    }

    /// The same, of such operands and results.
    fn of_type(self, element: Element) -> Planned {
        Planned { convolution: self.convolution.of_type(element), ..self }
    }

    /// Whether no other call gives what this gives.
    fn is_free_of(&self, planned: &HashMap<usize, Planned>) -> bool {
        planned.values().all(|other| other.results.iter().all(|result| !self.results.contains(result)))
    }

    /// Writes the call in the place of an instruction.
    fn write(
        self,
        function: &Function,
        inst: &InstData,
        made: &mut Function,
        map: &mut HashMap<Value, Value>,
    ) {
        let own = function.ty(self.operands[0]).dtype;
        let dtype = match self.convolution.element {
            Element::F32 => DType::F32,
            Element::Bf16 => DType::BF16,
        };
        // Where both types are the same, the value itself.
        let converted = |made: &mut Function, value: Value, dtype: DType| {
            let ty = TensorType { dtype, ..made.ty(value).clone() };
            if *made.ty(value) == ty {
                return value;
            }
            let convert = InstData { op: Op::Convert { dtype }, operands: vec![value], ..inst.clone() };
            made.append(convert, [(ty, None)])[0]
        };
        let operands: Vec<Value> =
            self.operands.iter().map(|operand| converted(made, map[operand], dtype)).collect();
        let types: Vec<TensorType> = operands.iter().map(|&operand| made.ty(operand).clone()).collect();
        let foreign = called(&self.convolution, &types);
        let is_kernel = self.convolution.pass == Pass::Kernel;
        let given = foreign.signature.results.clone().into_iter().enumerate();
        let given: Vec<_> = given
            .map(|(at, ty)| {
                let name = function.value(self.results[at]).name.clone();
                (ty, name.filter(|_| own == dtype && (!is_kernel || at > 0)))
            })
            .collect();
        let call = InstData { op: Op::Foreign(Arc::new(foreign)), operands, ..inst.clone() };
        let given = made.append(call, given);
        let mut results: Vec<Value> = given.into_iter().map(|result| converted(made, result, own)).collect();
        if is_kernel {
            // As the operation that it was has it: inputs before the window.
            let op = Op::Transpose { perm: vec![2, 0, 1, 3] };
            let transpose = InstData { op, operands: vec![results[0]], ..inst.clone() };
            let result = function.value(self.results[0]);
            results[0] = made.append(transpose, [(result.ty.clone(), result.name.clone())])[0];
        }
        map.extend(self.results.into_iter().zip(results));
    }
}

/// Where values of a function come from, and what uses them.
struct Uses {
    defined: HashMap<Value, usize>,
    used: HashMap<Value, Vec<usize>>,
}

impl Uses {
    fn of(function: &Function) -> Uses {
        let (mut defined, mut used) = (HashMap::new(), HashMap::<Value, Vec<usize>>::new());
        for (index, inst) in function.insts.iter().enumerate() {
            defined.extend(inst.results.iter().map(|&result| (result, index)));
            for &operand in &inst.operands {
                used.entry(operand).or_default().push(index);
            }
        }
        // A function's results are used by whoever calls it.
        for &result in &function.results {
            used.entry(result).or_default().push(usize::MAX);
        }
        Uses { defined, used }
    }

    /// Outputs to which the same numbers are added at every place, and nothing else is done with: the call in the place of the
    /// addition.
    fn added(&self, function: &Function, told: &Told, outputs: Value) -> Option<(usize, Planned)> {
        let &[at] = self.used.get(&outputs)?.as_slice() else { return None };
        let sum = function.insts.get(at)?;
        let (Op::Binary(BinaryOp::Add), &[left, right]) = (&sum.op, sum.operands.as_slice()) else {
            return None;
        };
        let other = if left == outputs { right } else { left };
        let broadcast = function.def_inst(other)?;
        if !matches!(&broadcast.op, Op::Broadcast { dims, .. } if *dims == [3]) {
            return None;
        }
        let &[bias] = broadcast.operands.as_slice() else { return None };
        (function.ty(bias).shape.dims() == [told.convolution.outputs]).then(|| {
            let convolution = Convolution { bias: true, ..told.convolution };
            let operands = vec![told.operands[0], told.operands[1], bias];
            (at, Planned { convolution, operands, results: vec![sum.results[0]] })
        })
    }

    /// The kernel's gradient with the sum of the cotangent over all places, if that is wanted too: the call in the place of
    /// whichever comes first.
    fn summed(
        &self,
        function: &Function,
        told: &Told,
        index: usize,
        gradient: Value,
    ) -> Option<(usize, Planned)> {
        let [_, cotangent] = told.operands;
        let is_sum = |&&user: &&usize| {
            let op = function.insts.get(user).map(|inst| &inst.op);
            matches!(op, Some(Op::Reduce { op: ReduceOp::Sum, dims }) if *dims == [0, 1, 2])
        };
        let &user = self.used.get(&cotangent)?.iter().find(is_sum)?;
        let at = index.min(user);
        let is_there = |operand: &Value| self.defined.get(operand).is_none_or(|&defined| defined < at);
        told.operands.iter().all(is_there).then(|| {
            let convolution = Convolution { bias: true, ..told.convolution };
            let results = vec![gradient, function.insts[user].results[0]];
            (at, Planned { convolution, operands: told.operands.to_vec(), results })
        })
    }
}

#[cfg(test)]
mod tests {
    use natgrad_ir::grad::value_and_grad;
    use natgrad_ir::pass::run;
    use natgrad_ir::{Builder, ConvDims, verify};

    use crate::lower::Linear;

    use super::*;

    /// The sum of the squares of a convolution, with its gradients.
    fn network(dtype: DType, image: [usize; 4], window: [usize; 4], dims: ConvDims) -> Verified {
        let mut b = Builder::new("loss");
        let x = b.param("x", TensorType::new(dtype, image));
        let k = b.param("k", TensorType::new(dtype, window));
        let y = b.conv(x, k, dims);
        let square = b.mul(y, y);
        let loss = b.reduce(ReduceOp::Sum, square, &[0, 1, 2, 3]);
        let loss = b.finish(&[loss]).unwrap();
        let mut module = Module::new("m");
        module.push(value_and_grad(&loss, &[0, 1]).unwrap());
        run(verify(module).unwrap()).unwrap()
    }

    /// The calls of a program where everything is fast, and the convolutions that are left.
    fn calls(module: &Verified) -> (Vec<String>, usize) {
        let made = run(verify(with_calls(module, &|_| true)).unwrap()).unwrap();
        let insts = made.module().functions.iter().flat_map(|function| &function.insts);
        let (mut calls, mut left) = (Vec::new(), 0);
        for inst in insts {
            match &inst.op {
                Op::Foreign(foreign) => calls.push(foreign.symbol.clone()),
                Op::Conv(_) => left += 1,
                _ => {}
            }
        }
        calls.sort();
        (calls, left)
    }

    #[test]
    fn a_layer_becomes_three_calls() {
        let made =
            |dims: ConvDims, side: usize| calls(&network(DType::F32, [4, 8, 6, 3], [side, side, 3, 5], dims));
        let (found, left) = made(ConvDims::padded(2, 1, 1), 3);
        assert_eq!(left, 0);
        let of = |pass: &str, rest: &str| format!("onednn.{pass}.f32.4x8x6x3.{rest}");
        let all = |rest: &str| ["forward", "images", "kernel"].map(|pass| of(pass, rest));
        assert_eq!(found, all("3x3.8x6x5.1x1.1x1.1x1"));
        // Half of the rows and columns, of which the last are left over.
        assert_eq!(made(ConvDims::padded(2, 2, 1), 3), (all("3x3.4x3x5.2x2.1x1.1x1").to_vec(), 0));
        assert_eq!(made(ConvDims::padded(2, 2, 0), 1), (all("1x1.4x3x5.2x2.0x0.1x1").to_vec(), 0));
        assert_eq!(made(ConvDims::padded(2, 1, 0), 1), (all("1x1.8x6x5.1x1.0x0.1x1").to_vec(), 0));
        let dilated = ConvDims { rhs_dilation: vec![2, 1], ..ConvDims::padded(2, 1, 1) };
        assert_eq!(made(dilated, 3), (all("3x3.6x6x5.1x1.1x1.2x1").to_vec(), 0));
        let uneven = ConvDims { high: vec![0, 2], low: vec![2, 0], ..ConvDims::padded(2, 1, 0) };
        assert_eq!(made(uneven, 3), (all("3x3.8x6x5.1x1.2x0.1x1").to_vec(), 0));
    }

    /// Two layers with numbers added whose outputs are added: their cotangents are one value, and so are the sums of it.
    #[test]
    fn what_is_added_goes_with_the_outputs_and_its_gradient_with_the_kernels() {
        let mut b = Builder::new("loss");
        let add = |b: &mut Builder, images: &str, kernel: &str, bias: &str| {
            let x = b.param(images, TensorType::new(DType::F32, [4, 8, 6, 3]));
            let k = b.param(kernel, TensorType::new(DType::F32, [3, 3, 3, 5]));
            let bias = b.param(bias, TensorType::new(DType::F32, [5]));
            let y = b.conv(x, k, ConvDims::padded(2, 1, 1));
            let bias = b.broadcast(bias, [4, 8, 6, 5], &[3]);
            b.add(bias, y)
        };
        let (one, other) = (add(&mut b, "x", "k", "b"), add(&mut b, "x2", "k2", "b2"));
        let y = b.add(one, other);
        let square = b.mul(y, y);
        let loss = b.reduce(ReduceOp::Sum, square, &[0, 1, 2, 3]);
        let loss = b.finish(&[loss]).unwrap();
        let mut module = Module::new("m");
        module.push(value_and_grad(&loss, &[1, 2, 4, 5]).unwrap());
        let module = run(verify(module).unwrap()).unwrap();
        let (calls, left) = calls(&module);
        let of = |pass: &str, bias: &str| format!("onednn.{pass}.f32.4x8x6x3.3x3.8x6x5.1x1.1x1.1x1{bias}");
        // The sum that both kernels' gradients could give is given by one of them.
        let kernels = [of("kernel", ""), of("kernel", ".bias")];
        let wanted = [of("forward", ".bias"), of("forward", ".bias")].into_iter().chain(kernels).collect();
        assert_eq!((calls, left), (wanted, 0));
    }

    #[test]
    fn what_onednn_has_not_stays() {
        let left =
            |dtype, dims: ConvDims, window: [usize; 4]| calls(&network(dtype, [4, 8, 6, 4], window, dims));
        assert_eq!(left(DType::F64, ConvDims::padded(2, 1, 1), [3, 3, 4, 4]), (Vec::new(), 3));
        assert_eq!(left(DType::F16, ConvDims::padded(2, 1, 1), [3, 3, 4, 4]), (Vec::new(), 3));
        assert_eq!(left(DType::BF16, ConvDims::padded(2, 1, 1), [3, 3, 4, 4]).0.len(), 3);
        let groups = ConvDims { groups: 2, ..ConvDims::padded(2, 1, 1) };
        assert_eq!(left(DType::F32, groups, [3, 3, 2, 4]), (Vec::new(), 3));
        // Rows that are cut off: but the images' gradient is one with zeros, as any other.
        let cut = ConvDims { low: vec![-1, 0], high: vec![0, 0], ..ConvDims::padded(2, 1, 0) };
        let gradient = "onednn.forward.f32.4x5x4x4.3x3.8x6x4.1x1.3x2.1x1".to_owned();
        assert_eq!(left(DType::F32, cut, [3, 3, 4, 4]), (vec![gradient], 2));
        let spread = ConvDims { lhs_dilation: vec![2, 2], ..ConvDims::padded(2, 1, 1) };
        let gradient = "onednn.forward.f32.4x15x11x4.3x3.8x6x4.2x2.1x1.1x1".to_owned();
        assert_eq!(left(DType::F32, spread, [3, 3, 4, 4]), (vec![gradient], 2));
    }

    #[test]
    fn halves_are_computed_in_single_precision_where_there_are_no_products_of_halves() {
        let module = network(DType::BF16, [4, 8, 6, 3], [3, 3, 3, 5], ConvDims::padded(2, 1, 1));
        let is_fast = |of: &Convolution| of.element == Element::F32 && of.pass != Pass::Images;
        let made = run(verify(with_calls(&module, &is_fast)).unwrap()).unwrap();
        let entry = made.module().entry().unwrap();
        assert_eq!(
            entry.results.iter().map(|&result| entry.ty(result).dtype).collect::<Vec<_>>(),
            [DType::BF16; 3]
        );
        let symbols = entry.insts.iter().filter_map(|inst| match &inst.op {
            Op::Foreign(foreign) => Some(foreign.symbol.split('.').take(3).collect::<Vec<_>>().join(".")),
            Op::Conv(_) => Some("conv".to_owned()),
            _ => None,
        });
        assert_eq!(symbols.collect::<Vec<_>>(), ["onednn.forward.f32", "conv", "onednn.kernel.f32"]);
    }

    #[test]
    fn what_is_not_fast_stays() {
        let module = network(DType::F32, [4, 8, 6, 3], [3, 3, 3, 5], ConvDims::padded(2, 1, 1));
        assert_eq!(run(verify(with_calls(&module, &|_| false)).unwrap()).unwrap(), module);
        assert_eq!(*Linear::Xla.shape(&module).unwrap(), module);
        assert_eq!(*Linear::OneDnn(|_| None).shape(&module).unwrap(), module);
    }

    #[test]
    fn a_call_is_stablehlo_with_types_and_attributes() {
        let of = Told::of(
            network(DType::F32, [4, 8, 6, 3], [3, 3, 3, 5], ConvDims::padded(2, 1, 1))
                .module()
                .entry()
                .unwrap(),
            0,
        );
        let of = of.unwrap().convolution;
        let types = [TensorType::new(DType::F32, [4, 8, 6, 3]), TensorType::new(DType::F32, [3, 3, 3, 5])];
        insta::assert_snapshot!(called(&of, &types).text);
    }
}
