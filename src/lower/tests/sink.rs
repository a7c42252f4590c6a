//! A sink that does not give what it is asked for.

use natgrad_ir::{CallKind, DType, Op, TensorType};

use super::super::sink::{FuncHeader, Operation, Sink};
use super::super::{Donation, LowerError, Lowering, Materialization, emit};
use super::{function, module, ty};

/// Gives as many handles as are asked for until some operation.
struct Silent {
    at: &'static str,
}

impl Silent {
    fn handles(&self, name: &str, count: usize) -> Vec<()> {
        vec![(); if name == self.at { 0 } else { count }]
    }
}

impl Sink for Silent {
    type Value = ();
    type Region = ();

    fn begin_module(&mut self, _: &str) {}

    fn end_module(&mut self) {}

    fn link(&mut self, _: &natgrad_ir::Foreign) {}

    fn begin_func(&mut self, header: &FuncHeader<'_>) -> Vec<()> {
        self.handles("function", header.params.len())
    }

    fn end_func(&mut self) {}

    fn begin_region(&mut self, params: &[&TensorType], _: &str) -> Vec<()> {
        self.handles("region", params.len())
    }

    fn end_region(&mut self) {}

    fn op(&mut self, operation: Operation<'_, (), ()>) -> Vec<()> {
        self.handles(operation.name, operation.results.len())
    }
}

#[test]
fn a_value_without_a_handle_is_told() {
    let x = ty(DType::F32, [4]);
    let fused = function("fused", std::slice::from_ref(&x), |b, x| b.exp(x[0]));
    let main = function("main", &[x], |b, x| {
        let y = b.tanh(x[0]);
        b.name(y, "y");
        b.neg(y)
    });
    let mut program = module([fused, main]).into_module();
    let callee = natgrad_ir::FuncId::from_index(0);
    program.functions[1].insts[1].op = Op::Call { callee, kind: CallKind::Fuse };
    let program = natgrad_ir::verify(program).unwrap();
    let told = |at| {
        let lowering = Lowering::chosen(Materialization::Call);
        match emit(&program, &Donation::none(), lowering, &mut Silent { at }) {
            Ok(()) => None,
            Err(LowerError::NoHandle { function, value }) => Some((function, value)),
            Err(error) => panic!("{error}"),
        }
    };
    let lost = |function: &str, value: &str| Some((function.to_owned(), value.to_owned()));
    assert_eq!(told("nothing"), None);
    assert_eq!(told("function"), lost("main", "%x"));
    assert_eq!(told("stablehlo.tanh"), lost("main", "%y"));
    assert_eq!(told("region"), lost("fused", "%x"));
    assert_eq!(told("stablehlo.exponential"), lost("fused", "%1"));
    assert_eq!(told("mhlo.fusion"), lost("main", "%2"));
}
