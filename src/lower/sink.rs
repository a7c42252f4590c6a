//! What lowering tells whoever builds the MLIR module.

use natgrad_ir::{CompareOp, DotDims, Foreign, Literal, TensorType};

/// Builds an MLIR module from what lowering tells it, in order. One writes text ([`TextSink`](super::TextSink));
/// another may build operations in memory.
///
/// Operations go to the innermost region or function begun and not ended. Both end with a terminator: an
/// operation `stablehlo.return` or `func.return`. Locations are paths such as `update/layers.0.weight/mul`,
/// to be attached as MLIR name locations.
pub trait Sink {
    /// Handle of a value of the function being built.
    type Value: Copy;
    /// A region that was ended, to be given to the operation that owns it.
    type Region;

    /// Begins the module. Called once, first.
    fn begin_module(&mut self, name: &str);

    /// Ends the module. Called once, last.
    fn end_module(&mut self);

    /// Adds a function from elsewhere, as text, between two functions.
    fn link(&mut self, foreign: &Foreign);

    /// Begins a function (`func.func`) and returns its arguments, as many as it has parameters.
    fn begin_func(&mut self, header: &FuncHeader<'_>) -> Vec<Self::Value>;

    /// Ends the function.
    fn end_func(&mut self);

    /// Begins a region of one block, for the operation that is told after its end, and returns the arguments, as many as
    /// `params`.
    fn begin_region(&mut self, params: &[&TensorType], location: &str) -> Vec<Self::Value>;

    /// Ends the region.
    fn end_region(&mut self) -> Self::Region;

    /// Appends an operation and returns its results, as many as it says.
    fn op(&mut self, operation: Operation<'_, Self::Value, Self::Region>) -> Vec<Self::Value>;
}

/// The declaration of a function.
#[derive(Clone, Debug)]
pub struct FuncHeader<'a> {
    /// Its symbol.
    pub name: &'a str,
    /// Who may see it.
    pub visibility: Visibility,
    /// Its parameters.
    pub params: Vec<FuncParam<'a>>,
    /// The types of its results.
    pub results: Vec<&'a TensorType>,
    /// Its location.
    pub location: &'a str,
}

/// Who may see a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Whoever runs the module: the entry.
    Public,
    /// The module itself.
    Private,
}

/// A parameter of a function.
#[derive(Clone, Copy, Debug)]
pub struct FuncParam<'a> {
    /// Its type.
    pub ty: &'a TensorType,
    /// The output that takes over its memory (`tf.aliasing_output`), if it is donated.
    pub aliased_output: Option<usize>,
    /// Its location: its name.
    pub location: &'a str,
}

/// An operation to be appended.
#[derive(Clone, Debug)]
pub struct Operation<'a, V, R> {
    /// Its full name, e.g. `stablehlo.add`.
    pub name: &'static str,
    /// Its operands.
    pub operands: &'a [V],
    /// The types of its results.
    pub results: &'a [&'a TensorType],
    /// Its attributes by name, each name once.
    pub attrs: &'a [(&'static str, Attr<'a>)],
    /// What XLA is told beside the operation's own attributes (`mhlo.frontend_attributes`), by name.
    pub frontend: &'a [(&'static str, &'static str)],
    /// Its regions.
    pub regions: Vec<R>,
    /// Its location.
    pub location: &'a str,
}

/// Slices along the first dimension of an operand, by indices without an index dimension of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceDims {
    /// Dimensions of the indices, which come first in the slices.
    pub indices: usize,
    /// Dimensions of a slice.
    pub slice: usize,
}

/// An attribute.
#[derive(Clone, Copy, Debug)]
pub enum Attr<'a> {
    /// An integer attribute of type `i64`.
    Index(usize),
    /// An array attribute of type `i64`.
    Indices(&'a [usize]),
    /// A constant tensor.
    Literal(&'a Literal),
    /// A reference to a function of the module.
    Function(&'a str),
    /// Which comparison.
    Direction(CompareOp),
    /// How the operands of a comparison are read.
    Comparison(ComparisonType),
    /// The dimension numbers of a product.
    Dot(&'a DotDims),
    /// The dimension numbers of a convolution over this many spatial dimensions: features last in images, and in
    /// kernels inputs before outputs behind the window.
    Images(usize),
    /// Zeros before and after each dimension.
    Padding(&'a [i64], &'a [i64]),
    /// The dimension numbers of a gather of whole slices.
    Gather(SliceDims),
    /// The dimension numbers of a scatter of whole slices.
    Scatter(SliceDims),
    /// A truth value.
    Flag(bool),
    /// How exact a product of two operands is, by the name of StableHLO's precision.
    Precision(&'static str),
    /// One loop over the elements of the result as the kind of a fusion.
    LoopFusion,
    /// Philox as the algorithm of a generator of random bits.
    Philox,
}

/// How the operands of a comparison are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparisonType {
    /// As floating-point numbers; false for NaN, except not-equal.
    Float,
    /// As signed integers.
    Signed,
    /// As unsigned integers or truth values.
    Unsigned,
}
