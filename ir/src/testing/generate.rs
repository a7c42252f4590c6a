//! Makes modules from random numbers.

use super::facts::{Fact, TAME, input_bound};
use super::{Config, Entropy, Flavor};
use crate::build::Builder;
use crate::graph::{FuncId, Function, Module, Value};
use crate::literal::{Elements, Literal, Scalar};
use crate::op::{BinaryOp, ReduceOp};
use crate::types::{DType, Shape, TensorType};
use crate::verify::{Verified, verify};

/// No value that a step makes has more elements.
pub(super) const MAX_ELEMENTS: usize = 64;

/// No loop runs more often.
pub(super) const MAX_COUNT: f64 = 3.0;

const NAMES: [&str; 8] = ["h", "layers.0.weight", "x/y", "_", "Z9", ".", "a//b", "e1"];
const SCOPES: [&str; 4] = ["layers.0", "0", "attention/scores", "_"];

/// Makes a module, with one function from each group of random numbers.
pub(super) fn module(config: &Config, entropy: &[Vec<Entropy>]) -> Verified {
    let mut module = Module::new("generated");
    let mut results: Vec<Vec<Fact>> = Vec::new();
    for (index, entropy) in entropy.iter().enumerate() {
        let name = format!("f{index}");
        let mut generator = Generator {
            config,
            module: &module,
            callees: &results,
            builder: Builder::new(name),
            facts: Vec::new(),
            pool: Vec::new(),
            carried: 0,
            dice: Dice::new(&[]),
        };
        let scopes = generator.body(entropy);
        let (function, facts) = generator.finish(scopes);
        module.push(function);
        results.push(facts);
    }
    match verify(module) {
        Ok(module) => module,
        Err(violations) => panic!("the generator made an unsound module: {violations}"),
    }
}

/// Reads the random numbers of one step; zeros when they are used up.
pub(super) struct Dice {
    numbers: Entropy,
    at: usize,
}

impl Dice {
    fn new(numbers: &[u16]) -> Dice {
        let mut all = Entropy::default();
        all.iter_mut().zip(numbers).for_each(|(slot, &number)| *slot = number);
        Dice { numbers: all, at: 0 }
    }

    /// A number below `count`, or zero.
    pub fn below(&mut self, count: usize) -> usize {
        let number = self.numbers.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        usize::from(number) % count.max(1)
    }

    /// True once in `count` times.
    pub fn one_in(&mut self, count: usize) -> bool {
        self.below(count) + 1 == count
    }

    /// One of several.
    pub fn choose<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        let index = self.below(items.len());
        items.get(index).copied()
    }
}

pub(super) struct Generator<'a> {
    pub config: &'a Config,
    pub module: &'a Module,
    /// What is known of the results of earlier functions.
    pub callees: &'a [Vec<Fact>],
    pub builder: Builder,
    /// What is known of every value.
    facts: Vec<Fact>,
    /// The values that steps choose from.
    pool: Vec<Value>,
    /// How many values a loop over the function carries; zero if it is no body of a loop.
    carried: usize,
    pub dice: Dice,
}

impl Generator<'_> {
    pub fn wild(&self) -> bool {
        self.config.flavor == Flavor::Wild
    }

    pub fn smooth(&self) -> bool {
        self.config.flavor == Flavor::Smooth
    }

    pub fn ty(&self, value: Value) -> TensorType {
        self.builder.ty(value).clone()
    }

    pub fn fact(&self, value: Value) -> Fact {
        self.facts.get(value.index()).copied().unwrap_or(Fact::rounded(f64::INFINITY))
    }

    /// Notes what is known of a new value, for steps to choose it.
    pub fn put(&mut self, value: Value, fact: Fact) -> Value {
        if value.index() >= self.facts.len() {
            self.facts.resize(value.index() + 1, Fact::rounded(f64::INFINITY));
        }
        self.facts[value.index()] = fact;
        self.pool.push(value);
        value
    }

    /// A value that satisfies `accept`, the latest ones more often.
    pub fn pick(&mut self, accept: impl Fn(&Generator<'_>, Value) -> bool) -> Option<Value> {
        let accepted: Vec<Value> =
            self.pool.iter().rev().copied().filter(|&value| accept(self, value)).collect();
        let recent = if self.dice.one_in(2) { accepted.len() } else { accepted.len().min(4) };
        self.dice.choose(&accepted[..recent])
    }

    /// A floating-point type, the first one most often.
    pub fn float_type(&mut self) -> DType {
        let floats = &self.config.floats;
        let index = if self.dice.one_in(2) { self.dice.below(floats.len()) } else { 0 };
        match floats.get(index) {
            Some(dtype) => *dtype,
            None => panic!("the configuration of random programs names no floating-point type"),
        }
    }

    pub fn any_type(&mut self) -> DType {
        let others = [DType::U32, DType::S32, DType::Bool, DType::U64];
        if self.smooth() || !self.dice.one_in(3) {
            return self.float_type();
        }
        self.dice.choose(&others).unwrap_or(DType::U32)
    }

    pub fn dim(&mut self) -> usize {
        if self.config.zero_sized && self.dice.one_in(12) { 0 } else { 1 + self.dice.below(3) }
    }

    pub fn shape(&mut self) -> Shape {
        let rank = (2 + self.dice.below(4)) % 4;
        Shape::new((0..rank).map(|_| self.dim()).collect::<Vec<_>>())
    }

    /// A constant with `value` everywhere.
    pub fn full(&mut self, ty: TensorType, value: f64) -> Value {
        let constant = self.builder.constant(Literal::splat(ty, value));
        self.put(constant, Fact::exact(value.abs()))
    }

    /// A random constant.
    pub fn constant(&mut self, ty: TensorType) -> Value {
        let count = ty.shape.elements();
        let dtype = ty.dtype;
        let mut bound = 0.0f64;
        let mut element = |generator: &mut Self| {
            let number = generator.dice.below(9) as f64;
            let value = match dtype {
                DType::F64 | DType::F32 | DType::BF16 | DType::F16 if generator.wild() => {
                    let odd =
                        [-0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e-42, 0.1, 1e300, -1.0, 1.0];
                    odd[number as usize]
                }
                DType::F64 | DType::F32 | DType::BF16 | DType::F16 => number / 4.0 - 1.0,
                DType::S32 => number - 4.0,
                DType::U32 | DType::U64 if generator.wild() && number > 6.0 => -number,
                DType::U32 | DType::U64 => number,
                DType::Bool => number % 2.0,
            };
            bound = bound.max(value.abs());
            Scalar::of(dtype, value)
        };
        let elements = if self.dice.one_in(2) {
            Elements::Dense((0..count).map(|_| element(self)).collect())
        } else {
            Elements::Splat(element(self))
        };
        let constant = self.builder.constant(Literal { ty, elements });
        self.put(constant, Fact::exact(bound))
    }

    /// The value, scaled or masked if it may be large.
    pub fn tame(&mut self, value: Value) -> Value {
        self.limit(value, TAME)
    }

    /// The value, scaled or masked if it may be larger than `limit`, a power of two.
    fn limit(&mut self, value: Value, limit: f64) -> Value {
        let (ty, fact) = (self.ty(value), self.fact(value));
        if self.wild() || fact.bound <= limit {
            return value;
        }
        if ty.dtype.is_float() {
            let scale = 0.5f64.powi(fact.bound.log2().ceil() as i32);
            let scale = self.full(ty, scale);
            let scaled = self.builder.mul(value, scale);
            return self.put(scaled, Fact::rounded(1.0));
        }
        let mask = self.full(ty, limit - 1.0);
        let masked = self.builder.and(value, mask);
        self.put(masked, Fact::exact(limit - 1.0))
    }

    /// A value whose type a parameter may have.
    fn pick_param_like(&mut self) -> Option<Value> {
        self.pick(|generator, value| !generator.smooth() || generator.builder.ty(value).dtype.is_float())
    }

    fn param(&mut self) {
        let existing = if self.dice.one_in(2) { self.pick_param_like() } else { None };
        let ty = match existing {
            Some(value) => self.ty(value),
            None => TensorType { dtype: self.any_type(), shape: self.shape() },
        };
        let bound = input_bound(ty.dtype);
        let name = format!("p{}", self.builder.function().params.len());
        let value = self.builder.param(name, ty);
        self.put(value, Fact::exact(bound));
    }

    /// Makes the first parameters. Of some functions that later ones can run, they are those of the body of a loop.
    fn params(&mut self) {
        let last = self.callees.len() + 1 >= self.config.max_functions;
        if !last && !self.smooth() && !self.dice.one_in(3) {
            let index = self.builder.param("index", TensorType::scalar(DType::U32));
            self.put(index, Fact::exact(MAX_COUNT));
            self.carried = 1 + self.dice.below(2);
        }
        for _ in 0..self.carried.max(1) + self.dice.below(3) {
            self.param();
        }
        // From the second run on, what a loop carries has been rounded.
        for position in 1..=self.carried {
            let param = self.builder.function().params[position];
            self.facts[param.index()].exact &= !self.ty(param).dtype.is_float();
        }
    }

    /// The next values of what a loop carries, which have the types and bounds of the parameters.
    fn next_carried(&mut self) -> Vec<Value> {
        let params = self.builder.function().params[1..=self.carried].to_vec();
        let next = |param: Value| {
            let ty = self.ty(param);
            let float = ty.dtype.is_float();
            let fits = |generator: &Generator<'_>, value: Value| {
                *generator.builder.ty(value) == ty
                    && (float || generator.wild() || generator.fact(value).exact)
            };
            let value = self.pick(fits).unwrap_or(param);
            self.limit(value, input_bound(ty.dtype))
        };
        params.into_iter().map(next).collect()
    }

    /// Makes parameters and instructions. Returns the scope of every instruction.
    fn body(&mut self, entropy: &[Entropy]) -> Vec<&'static str> {
        let mut scopes = Vec::new();
        for (index, numbers) in entropy.iter().enumerate() {
            self.dice = Dice::new(numbers);
            if index == 0 {
                self.params();
                continue;
            }
            if self.dice.one_in(16) {
                self.param();
            }
            let name = if self.dice.one_in(4) { self.dice.choose(&NAMES) } else { None };
            let scope = if self.dice.one_in(3) { self.dice.choose(&SCOPES) } else { None };
            let made = self.step();
            if let (Some(value), Some(name)) = (made, name) {
                self.builder.name(value, name);
            }
            scopes.resize(self.builder.function().insts.len(), scope.unwrap_or_default());
        }
        scopes
    }

    fn finish(mut self, scopes: Vec<&'static str>) -> (Function, Vec<Fact>) {
        let results = if self.carried > 0 {
            self.next_carried()
        } else if self.config.scalar_loss {
            vec![self.loss()]
        } else {
            let count = if self.wild() { (1 + self.dice.below(4)) % 4 } else { 1 + self.dice.below(3) };
            let mut results: Vec<Value> = Vec::new();
            for index in 0..count {
                let value = if index == 0 { self.pool.last().copied() } else { self.pick(|_, _| true) };
                results.extend(value);
            }
            results.into_iter().map(|value| self.tame(value)).collect()
        };
        let facts = results.iter().map(|&result| self.fact(result)).collect();
        let mut function = match self.builder.finish(&results) {
            Ok(function) => function,
            Err(errors) => panic!("the generator made a mistake: {errors}"),
        };
        for (inst, scope) in function.insts.iter_mut().zip(scopes) {
            inst.scope = scope.to_string();
        }
        (function, facts)
    }

    /// The sum of everything in the latest floating-point values.
    fn loss(&mut self) -> Value {
        let floats = |value: &Value| self.builder.ty(*value).dtype.is_float();
        let latest: Vec<Value> = self.pool.iter().rev().copied().filter(floats).take(4).collect();
        let dtype = self.float_type();
        let dtype = self.config.floats.first().copied().unwrap_or(dtype);
        let mut total = self.full(TensorType::scalar(dtype), 0.0);
        for value in latest {
            let value = self.tame(value);
            let dims: Vec<usize> = (0..self.ty(value).rank()).collect();
            let sum = self.builder.reduce(ReduceOp::Sum, value, &dims);
            let sum = self.builder.convert(sum, dtype);
            total = self.builder.binary(BinaryOp::Add, total, sum);
        }
        let loss = self.builder.name(total, "loss");
        self.put(loss, Fact::rounded(TAME * 4.0 * MAX_ELEMENTS as f64))
    }

    /// The function that a call may name, with what is known of its results.
    pub fn callee(&mut self) -> Option<(FuncId, Vec<TensorType>, Vec<Fact>)> {
        let index = self.dice.below(self.callees.len());
        let facts = self.callees.get(index)?.clone();
        let params = self.module.functions.get(index)?.signature().params;
        Some((FuncId::from_index(index), params, facts))
    }
}
