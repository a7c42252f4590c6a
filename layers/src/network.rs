//! A network being described: parameters by name, modules, and what else a layer needs of whoever builds the function.

use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

use natgrad_ir::{Builder, DType, Expr, Shape, TensorType, Value};

use crate::init::{Init, Param};

/// A network being described. The same description declares the parameters, and builds the loss and the predictions.
///
/// ```
/// use natgrad_layers::{Activation, Linear, Network};
/// use natgrad_ir::Expr;
///
/// fn tower<'b>(net: &Network<'b>, x: Expr<'b>) -> Expr<'b> {
///     let hidden = Linear::new("hidden", 64).then(Activation::Relu);
///     let x = hidden.apply(net, x); // `hidden.weight` and `hidden.bias`
///     net.module("head", || Linear::new("out", 10).apply(net, x)) // `head.out.weight` and `head.out.bias`
/// }
/// ```
pub struct Network<'b> {
    builder: &'b RefCell<Builder>,
    params: RefCell<Params>,
    /// The path of modules that are being described, e.g. `layer1.0`.
    path: RefCell<Vec<String>>,
    /// Values that cancel, and so count as constants for differentiation.
    held: RefCell<Vec<Value>>,
    masks: RefCell<Masks>,
}

/// The parameters that a description asks for.
#[derive(Default)]
struct Params {
    /// Those asked for so far: their place in the order of asking, and who asked.
    asked: HashMap<String, (usize, Owner)>,
    declared: Vec<(Param, Value)>,
    /// Their values, where they are given; else they are declared.
    given: Option<HashMap<String, Value>>,
}

/// Which layer has a parameter: a layer that is used twice shares its parameters, and two layers may not have one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner(u64);

impl Owner {
    /// Unlike every other.
    pub(crate) fn new() -> Owner {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Owner(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where dropout's masks come from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Masks {
    /// What draws them; nothing is dropped without.
    pub draws: Option<Draws>,
    /// How many were asked for.
    pub asked: usize,
}

/// How masks are drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    pub draw: DrawMask,
    /// The keys of all masks, `u32[masks, 4]`.
    pub keys: Value,
    /// The number of the example, `u32[]`, in a function of one example.
    pub row: Option<Value>,
}

/// Builds a mask: true where an element is kept. The bits follow from keys, mask and element alone.
pub type DrawMask = fn(&mut Builder, &MaskSite) -> Value;

/// A mask that is asked for.
#[derive(Clone, Debug)]
pub struct MaskSite {
    /// The keys of all masks of the network, `u32[masks, 4]`.
    pub keys: Value,
    /// Which of them this is.
    pub number: usize,
    /// Of which example, `u32[]`; none where the mask is of a whole batch.
    pub row: Option<Value>,
    /// The mask's shape.
    pub shape: Shape,
    /// The probability of being kept.
    pub keep: f64,
}

impl<'b> Network<'b> {
    /// A network whose parameters are declared as they are asked for, in that order.
    pub(crate) fn declaring(builder: &'b RefCell<Builder>) -> Network<'b> {
        Network::with(builder, Params::default(), Masks { draws: None, asked: 0 })
    }

    /// A network of given parameters.
    pub(crate) fn of(
        builder: &'b RefCell<Builder>,
        given: impl IntoIterator<Item = (String, Value)>,
        draws: Option<Draws>,
    ) -> Network<'b> {
        let params = Params { given: Some(given.into_iter().collect()), ..Params::default() };
        Network::with(builder, params, Masks { draws, asked: 0 })
    }

    fn with(builder: &'b RefCell<Builder>, params: Params, masks: Masks) -> Network<'b> {
        let (path, held) = (RefCell::default(), RefCell::default());
        Network { builder, params: RefCell::new(params), path, held, masks: RefCell::new(masks) }
    }

    /// A parameter of the module being described, such as `scale`; every one has a name of its own.
    #[track_caller]
    pub fn param(&self, name: &str, shape: impl Into<Shape>, init: Init) -> Expr<'b> {
        self.owned_param(Owner::new(), name, shape, init)
    }

    /// A parameter of a layer, the same one for the same layer.
    #[track_caller]
    pub(crate) fn owned_param(
        &self,
        owner: Owner,
        name: &str,
        shape: impl Into<Shape>,
        init: Init,
    ) -> Expr<'b> {
        let shape = shape.into();
        let full = self.full(name);
        let params = &mut *self.params.borrow_mut();
        if let Some(&(place, known)) = params.asked.get(&full) {
            let (param, value) = &params.declared[place];
            if known != owner {
                self.refuse(format!(
                    "two layers have a parameter `{full}`: give them different names, or use one layer twice to share it"
                ));
            } else if param.shape != shape {
                self.refuse(format!(
                    "the shared parameter `{full}` is {} in one place and {shape} in another",
                    param.shape
                ));
            }
            return Expr::new(self.builder, *value);
        }
        let b = &mut *self.builder.borrow_mut();
        let value = match &params.given {
            None => b.param(full.clone(), TensorType::new(DType::F32, shape.clone())),
            Some(given) => match given.get(&full) {
                Some(&value) if b.ty(value).shape == shape => value,
                _ => {
                    b.refuse(format!("the parameter `{full}` was not declared with the shape {shape}: a model must describe the same network each time"));
                    let zero = b.scalar(DType::F32, 0.0);
                    b.splat(zero, shape.clone())
                }
            },
        };
        params.asked.insert(full.clone(), (params.declared.len(), owner));
        params.declared.push((Param { name: full, shape, init }, value));
        Expr::new(self.builder, value)
    }

    /// A name in the module being described.
    fn full(&self, name: &str) -> String {
        let path = self.path.borrow();
        path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    /// Describes a module: its parameters' names begin with `name`, and its instructions have it in their scope.
    pub fn module<T>(&self, name: &str, describe: impl FnOnce() -> T) -> T {
        self.path.borrow_mut().push(name.to_string());
        self.builder.borrow_mut().enter(name);
        let result = describe();
        self.builder.borrow_mut().leave();
        self.path.borrow_mut().pop();
        result
    }

    /// As [`Network::module`], for a layer: mistakes are said to be made where it is applied.
    #[track_caller]
    pub(crate) fn layer<T>(&self, name: &str, describe: impl FnOnce() -> T) -> T {
        let caller = Location::caller();
        let before = self.builder.borrow_mut().set_place(Some(caller));
        // A layer within a layer was not written by whoever made the mistake.
        self.builder.borrow_mut().set_place(before.or(Some(caller)));
        let result = self.module(name, describe);
        self.builder.borrow_mut().set_place(before);
        result
    }

    /// What the builder makes.
    pub fn build<T>(&self, make: impl FnOnce(&mut Builder) -> T) -> T {
        make(&mut self.builder.borrow_mut())
    }

    /// An expression of a value of this network's function.
    pub fn expr(&self, value: Value) -> Expr<'b> {
        Expr::new(self.builder, value)
    }

    /// Declares that a value cancels, such as the maximum that is taken off logits, so that differentiation may hold
    /// it constant.
    pub fn hold(&self, shift: Expr<'b>) {
        self.held.borrow_mut().push(shift.value());
    }

    /// Records a mistake of the description, which whoever builds the function is told of.
    #[track_caller]
    pub fn refuse(&self, message: impl Into<String>) {
        self.builder.borrow_mut().refuse(message);
    }

    /// True where an element of this shape is kept, each with this probability, anew in every evaluation of the loss;
    /// none where nothing is dropped, as in predictions.
    pub(crate) fn mask(&self, shape: Shape, keep: f64) -> Option<Expr<'b>> {
        let masks = &mut *self.masks.borrow_mut();
        let number = masks.asked;
        masks.asked += 1;
        let Draws { draw, keys, row } = masks.draws?;
        let site = MaskSite { keys, number, row, shape, keep };
        let mask = draw(&mut self.builder.borrow_mut(), &site);
        Some(self.expr(mask))
    }

    /// The parameters that were asked for, in that order.
    pub(crate) fn params(&self) -> Vec<Param> {
        self.params.borrow().declared.iter().map(|(param, _)| param.clone()).collect()
    }

    /// How many masks were asked for.
    pub(crate) fn masks(&self) -> usize {
        self.masks.borrow().asked
    }

    /// The values that differentiation may hold constant.
    pub(crate) fn held(&self) -> Vec<Value> {
        self.held.borrow().clone()
    }
}
