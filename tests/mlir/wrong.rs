//! Programs that are told wrongly: MLIR's verifier finds what is wrong, and where in natgrad's IR it comes from.

use natgrad::ir::{Builder, CompareOp, DType, DotDims, Foreign, Module, TensorType, Verified, verify};
use natgrad::lower::{
    Attr, Donation, FuncHeader, Lowering, Materialization, Operation, Sink, SliceDims, lower,
};
use natgrad::mlir::{Mlir, MlirSink, Origin};

/// What is changed of an operation.
enum Lie {
    Result(TensorType),
    NoOperand,
    NoAttribute,
    Attribute(Attr<'static>),
}

/// Tells MLIR everything but one operation as it is.
struct Liar<'s, 'c> {
    sink: &'s mut MlirSink<'c>,
    about: &'static str,
    lie: Lie,
}

impl<'c> Sink for Liar<'_, 'c> {
    type Value = <MlirSink<'c> as Sink>::Value;
    type Region = <MlirSink<'c> as Sink>::Region;

    fn begin_module(&mut self, name: &str) {
        self.sink.begin_module(name);
    }

    fn end_module(&mut self) {
        self.sink.end_module();
    }

    fn link(&mut self, foreign: &Foreign) {
        self.sink.link(foreign);
    }

    fn begin_func(&mut self, header: &FuncHeader<'_>) -> Vec<Self::Value> {
        self.sink.begin_func(header)
    }

    fn end_func(&mut self) {
        self.sink.end_func();
    }

    fn begin_region(&mut self, params: &[&TensorType], location: &str) -> Vec<Self::Value> {
        self.sink.begin_region(params, location)
    }

    fn end_region(&mut self) -> Self::Region {
        self.sink.end_region()
    }

    fn op(&mut self, operation: Operation<'_, Self::Value, Self::Region>) -> Vec<Self::Value> {
        if operation.name != self.about {
            return self.sink.op(operation);
        }
        let (mut attrs, mut operands) = (operation.attrs.to_vec(), operation.operands.to_vec());
        let mut results = operation.results.to_vec();
        match &self.lie {
            Lie::Result(ty) => results[0] = ty,
            Lie::NoOperand => drop(operands.pop()),
            Lie::NoAttribute => drop(attrs.pop()),
            Lie::Attribute(attr) => attrs[0].1 = *attr,
        }
        self.sink.op(Operation { operands: &operands, results: &results, attrs: &attrs, ..operation })
    }
}

/// A program of a product, a comparison, a choice, a slice by index and a sum.
fn program() -> Verified {
    let ty = |dtype, dims: &[usize]| TensorType::new(dtype, dims);
    let mut b = Builder::new("step");
    let x = b.param("x", ty(DType::F32, &[2, 3]));
    let w = b.param("w", ty(DType::F32, &[3, 4]));
    let index = b.param("index", ty(DType::U32, &[5]));
    let results = b.scoped("layers.0", |b| {
        let h = b.matmul(x, w);
        let y = b.tanh(h);
        let more = b.compare(CompareOp::Gt, h, y);
        let chosen = b.select(more, h, y);
        [b.sum(chosen, &[0]), b.take(w, index)]
    });
    let mut module = Module::new("wrong");
    module.push(b.finish(&results).unwrap());
    verify(module).unwrap()
}

/// What is said of a program, one of whose operations is told wrongly.
fn said(about: &'static str, lie: Lie) -> String {
    let mlir = Mlir::new().unwrap();
    let lowering = Lowering::chosen(Materialization::Call);
    let built =
        mlir.build(|sink| lower(&program(), &Donation::none(), lowering, &mut Liar { sink, about, lie }));
    built.unwrap().verify(Origin::Natgrad).unwrap_err().to_string()
}

#[test]
fn mlir_finds_wrong_types_and_says_where_they_come_from() {
    let wide = TensorType::new(DType::F64, [2, 4]);
    let text = said("stablehlo.tanh", Lie::Result(wide));
    let wanted =
        "step/layers.0/tanh: expected 'tensor<2x4xf32>' but got 'tensor<2x4xf64>' (see current operation: ";
    assert!(text.starts_with(wanted), "{text}");
    let text = said("stablehlo.select", Lie::NoOperand);
    assert!(text.contains("step/layers.0/select: op"), "{text}");
}

#[test]
fn mlir_finds_wrong_attributes() {
    let text = said("stablehlo.compare", Lie::Attribute(Attr::Philox));
    let wanted = "step/layers.0/gt: '\"#stablehlo<rng_algorithm PHILOX>\"' does not satisfy the constraint";
    assert!(text.starts_with(wanted), "{text}");
    let text = said("stablehlo.reduce", Lie::NoAttribute);
    assert!(text.contains("attribute \"dimensions\" is expected but not provided"), "{text}");
}

#[test]
fn dimension_numbers_are_checked_beside_mlir() {
    let dims = DotDims { lhs_contract: vec![0], rhs_contract: vec![0], ..DotDims::default() };
    let dims: &'static DotDims = Box::leak(Box::new(dims));
    let text = said("stablehlo.dot_general", Lie::Attribute(Attr::Dot(dims)));
    let wanted = "step/layers.0/dot: `stablehlo.dot_general`: the dimensions of its sum are [2] on the left, [3] on the right";
    assert!(text.contains(wanted), "{text}");
    let text = said("stablehlo.gather", Lie::Attribute(Attr::Gather(SliceDims { indices: 2, slice: 1 })));
    assert!(text.contains("step/layers.0/take: `stablehlo.gather`: its `offset_dims` must be"), "{text}");
}

#[test]
fn what_the_reader_finds_is_told_with_file_and_line() {
    let mlir = Mlir::new().unwrap();
    let refused = |text: &str| mlir.read("a.mlir", text.as_bytes()).unwrap_err().to_string();
    let text = refused("module {\n  \"stablehlo.add\"(%0) : (tensor<f32>) -> tensor<f32>\n}");
    assert_eq!(text, "a.mlir:2:19: use of undeclared SSA value name");
    let text = refused("module {\n  func.call @nothing() : () -> ()\n}");
    assert!(text.starts_with("a.mlir:2:3: "), "{text}");
}

#[test]
fn operations_that_natgrad_does_not_write_are_a_mistake_in_its_own_programs_only() {
    let mlir = Mlir::new().unwrap();
    let text = "func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {\n  \
        %y = \"stablehlo.cbrt\"(%x) <{result_accuracy = 1 : i64}> : (tensor<4xf32>) -> tensor<4xf32>\n  \
        return %y : tensor<4xf32>\n}";
    let read = mlir.read("b.mlir", text.as_bytes()).unwrap();
    read.verify(Origin::Elsewhere).unwrap();
    let error = read.verify(Origin::Natgrad).unwrap_err().to_string();
    assert!(error.contains("b.mlir:2:8: `stablehlo.cbrt`: natgrad writes no such operation"), "{error}");
    let call = text
        .replace("stablehlo.cbrt", "stablehlo.custom_call")
        .replace("result_accuracy = 1 : i64", "call_target_name = \"Sharding\"");
    let called = mlir.read("c.mlir", call.as_bytes()).unwrap();
    called.verify(Origin::Elsewhere).unwrap();
    let error = called.verify(Origin::Natgrad).unwrap_err().to_string();
    let wanted = "`stablehlo.custom_call`: calls \"Sharding\", and natgrad's programs call \"natgrad.convolution\" and \"natgrad.product\" alone";
    assert!(error.contains(wanted), "{error}");
    // What MLIR would keep apart is with the other attributes.
    assert!(
        read.text().contains("\"stablehlo.cbrt\"(%arg0) {result_accuracy = 1 : i64} :"),
        "{}",
        read.text()
    );
}
