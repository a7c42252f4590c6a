//! A network written once: the same description declares its parameters and builds its computation.

use std::ops::{Deref, DerefMut};

use natgrad_ir::{Builder, DType, Shape, TensorType, Value};

use crate::init::Init;
use crate::spec::Param;

/// Where a network's parameters come from.
enum Source<'a> {
    /// They are declared, one after the other, as the description asks for them.
    Declare(Vec<Param>),
    /// They are given, in the order of their declaration; the number taken so far.
    Given(&'a [Value], usize),
}

/// A builder that also hands out parameters by name.
pub(crate) struct Network<'a> {
    b: &'a mut Builder,
    source: Source<'a>,
    /// The path of modules that are being described, e.g. `layer1.0`.
    path: Vec<String>,
    /// Values that cancel, and so count as constants for differentiation.
    shifts: Vec<Value>,
}

impl Network<'_> {
    /// The parameters that `describe` asks for, in that order, given an input of this type.
    pub(crate) fn declare<T>(
        input: TensorType,
        describe: impl FnOnce(&mut Network<'_>, Value) -> T,
    ) -> Vec<Param> {
        let mut b = Builder::new("parameters");
        let input = b.param("features", input);
        let source = Source::Declare(Vec::new());
        let mut network = Network { b: &mut b, source, path: Vec::new(), shifts: Vec::new() };
        describe(&mut network, input);
        match network.source {
            Source::Declare(params) => params,
            Source::Given(..) => Vec::new(),
        }
    }

    /// The parameter `name` of the module being described.
    pub(crate) fn param(&mut self, name: &str, shape: impl Into<Shape>, init: Init) -> Value {
        let shape = shape.into();
        match &mut self.source {
            Source::Declare(params) => {
                let mut full = self.path.join(".");
                full.push('.');
                full.push_str(name);
                let value = self.b.param(full.clone(), TensorType::new(DType::F32, shape.clone()));
                params.push(Param::new(full, shape, init));
                value
            }
            Source::Given(values, taken) => {
                *taken += 1;
                values[*taken - 1]
            }
        }
    }

    /// Describes a module: its parameters' names begin with `name`, and its instructions have it in their scope.
    pub(crate) fn module<T>(&mut self, name: &str, describe: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name.to_string());
        self.b.enter(name);
        let result = describe(self);
        self.b.leave();
        self.path.pop();
        result
    }

    /// Declares that `shift` cancels, so that differentiation may hold it constant.
    pub(crate) fn hold(&mut self, shift: Value) {
        self.shifts.push(shift);
    }
}

impl<'a> Network<'a> {
    /// Builds what `describe` says from these parameters, and returns its result and the values that
    /// differentiation may hold constant.
    pub(crate) fn build<T>(
        b: &'a mut Builder,
        params: &'a [Value],
        describe: impl FnOnce(&mut Network<'a>) -> T,
    ) -> (T, Vec<Value>) {
        let source = Source::Given(params, 0);
        let mut network = Network { b, source, path: Vec::new(), shifts: Vec::new() };
        let result = describe(&mut network);
        (result, network.shifts)
    }
}

impl Deref for Network<'_> {
    type Target = Builder;

    fn deref(&self) -> &Builder {
        self.b
    }
}

impl DerefMut for Network<'_> {
    fn deref_mut(&mut self) -> &mut Builder {
        self.b
    }
}
