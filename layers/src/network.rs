//! A network being described: parameters by name, modules, and what else a layer needs of whoever builds the function.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::HashMap;
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};

use natgrad_ir::grad::Region;
use natgrad_ir::{Builder, DType, Expr, Shape, TensorType, Value};

use crate::describe::Description;
use crate::init::{Init, Param};
use crate::remat::Remat;

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
    remat: Remat,
    /// What the backward pass stores less of.
    regions: RefCell<Vec<Region>>,
    /// What the region being described stores all the same.
    saved: RefCell<Vec<Value>>,
    /// Whether a block that is computed again is being described.
    in_block: Cell<bool>,
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
#[derive(Default)]
struct Masks {
    /// What draws them; nothing is dropped without.
    draws: Option<Draws>,
    /// The shapes of those asked for.
    asked: Vec<Shape>,
}

/// How masks are drawn.
#[derive(Clone, Debug)]
pub(crate) struct Draws {
    pub draw: DrawMask,
    /// The keys of all masks, `u32[masks, 4]`.
    pub keys: Value,
    /// In a function of one example, which that is.
    pub of_one: Option<OneRow>,
}

/// One example of a batch.
#[derive(Clone, Debug)]
pub(crate) struct OneRow {
    /// Its number, `u32[]`.
    pub row: Value,
    /// The shapes of the masks of several examples: what does not grow with them has no rows, and is the same for all.
    pub of_more: Vec<Shape>,
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
    /// Of which example, `u32[]`; none where the mask is of a whole batch, or the same for all examples.
    pub row: Option<Value>,
    /// The mask's shape.
    pub shape: Shape,
    /// The probability of being kept.
    pub keep: f64,
}

impl<'b> Network<'b> {
    /// A network whose parameters are declared as they are asked for, in that order.
    pub(crate) fn declaring(builder: &'b RefCell<Builder>) -> Network<'b> {
        Network::with(builder, Params::default(), Masks::default())
    }

    /// A network of given parameters.
    pub(crate) fn of(
        builder: &'b RefCell<Builder>,
        given: impl IntoIterator<Item = (String, Value)>,
        draws: Option<Draws>,
    ) -> Network<'b> {
        let params = Params { given: Some(given.into_iter().collect()), ..Params::default() };
        Network::with(builder, params, Masks { draws, ..Masks::default() })
    }

    fn with(builder: &'b RefCell<Builder>, params: Params, masks: Masks) -> Network<'b> {
        Network {
            builder,
            params: RefCell::new(params),
            path: RefCell::default(),
            held: RefCell::default(),
            masks: RefCell::new(masks),
            remat: Remat::None,
            regions: RefCell::default(),
            saved: RefCell::default(),
            in_block: Cell::new(false),
        }
    }

    /// The network whose backward pass computes so much again.
    pub(crate) fn with_remat(self, remat: Remat) -> Network<'b> {
        Network { remat, ..self }
    }

    /// How much the backward pass computes again.
    pub(crate) fn remat(&self) -> Remat {
        self.remat
    }

    /// Whether a block that is computed again is being described.
    pub(crate) fn in_block(&self) -> &Cell<bool> {
        &self.in_block
    }

    /// The regions described so far.
    pub(crate) fn regions(&self) -> RefMut<'_, Vec<Region>> {
        self.regions.borrow_mut()
    }

    /// What the region being described stores.
    pub(crate) fn saved(&self) -> RefMut<'_, Vec<Value>> {
        self.saved.borrow_mut()
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
        let fault = fault_of_param(&full, &shape);
        let value = match (&params.given, fault) {
            (_, Some(fault)) => {
                self.refuse(fault);
                self.nothing(&shape).value()
            }
            (None, None) => {
                let ty = TensorType::new(DType::F32, shape.clone());
                self.builder.borrow_mut().param(full.clone(), ty)
            }
            (Some(given), None) => match given.get(&full) {
                Some(&value) if self.builder.borrow().ty(value).shape == shape => value,
                _ => {
                    self.refuse(format!(
                        "the parameter `{full}` was not declared with the shape {shape}: {SAME}"
                    ));
                    self.nothing(&shape).value()
                }
            },
        };
        params.asked.insert(full.clone(), (params.declared.len(), owner));
        params.declared.push((Param { name: full, shape, init }, value));
        Expr::new(self.builder, value)
    }

    /// What stands for a parameter that cannot be.
    #[track_caller]
    fn nothing(&self, shape: &Shape) -> Expr<'b> {
        let can_be = shape.checked_elements().is_some_and(|elements| elements > 0);
        let shape = if can_be { shape.clone() } else { ones(shape) };
        let b = &mut *self.builder.borrow_mut();
        let zero = b.scalar(DType::F32, 0.0);
        Expr::new(self.builder, b.splat(zero, shape))
    }

    /// A name in the module being described.
    fn full(&self, name: &str) -> String {
        let path = self.path.borrow();
        path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".")
    }

    /// Describes a module: its parameters' names begin with `name`, and its instructions have it in their scope.
    /// It is made of letters, digits and `_`, with single dots between them.
    #[track_caller]
    pub fn module<T>(&self, name: &str, describe: impl FnOnce() -> T) -> T {
        if !is_path(name) {
            self.refuse(format!("the module `{name}` must have {NAMES}"));
            return describe();
        }
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
        let number = masks.asked.len();
        masks.asked.push(shape.clone());
        let Draws { draw, keys, of_one } = masks.draws.as_ref()?;
        let of_row = of_one.as_ref().filter(|one| one.of_more.get(number) != Some(&shape));
        let site = MaskSite { keys: *keys, number, row: of_row.map(|one| one.row), shape, keep };
        let mask = draw(&mut self.builder.borrow_mut(), &site);
        Some(self.expr(mask))
    }

    /// The parameters that were asked for, in that order.
    pub(crate) fn params(&self) -> Vec<Param> {
        self.params.borrow().declared.iter().map(|(param, _)| param.clone()).collect()
    }

    /// The shapes of the masks that were asked for.
    pub(crate) fn masks(&self) -> Vec<Shape> {
        self.masks.borrow().asked.clone()
    }

    /// Refuses a description that is not the one before: other parameters, masks, or outputs of a row.
    pub(crate) fn expect(&self, described: &Description, outputs: Expr<'b>) {
        let names = |params: &[Param]| -> Vec<String> {
            params.iter().map(|param| format!("{}{}", param.name, param.shape)).collect()
        };
        let (found, wanted) = (names(&self.params()), names(&described.params));
        if found != wanted {
            let (found, wanted) = (found.join(", "), wanted.join(", "));
            self.refuse(format!("the parameters are {found}, but were {wanted}: {SAME}"));
        }
        let (found, wanted) = (self.masks.borrow().asked.len(), described.masks.len());
        if found != wanted {
            self.refuse(format!("dropout is used {found} times, but was used {wanted} times: {SAME}"));
        }
        let (found, wanted) = (outputs.ty().shape, &described.outputs.shape);
        if found.dims().get(1..) != wanted.dims().get(1..) {
            self.refuse(format!("the outputs are {found}, but were {wanted} of two rows: {SAME}"));
        }
    }

    /// The values that differentiation may hold constant.
    pub(crate) fn held(&self) -> Vec<Value> {
        self.held.borrow().clone()
    }
}

/// What a description must keep to.
const SAME: &str = "a model must describe the same network each time";

/// What names are made of.
pub(crate) const NAMES: &str =
    "a name of letters, digits and `_`, with single dots between them, that does not start with a digit";

/// The most elements of all parameters: more than any machine holds, such as by a mistyped width.
pub const MAX_PARAMETERS: usize = 1 << 36;

/// Whether this is a name, or a part of one.
fn is_path(name: &str) -> bool {
    let is_part =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    name.split('.').all(is_part)
}

/// Whether parameters and inputs may have this name.
pub(crate) fn is_name(name: &str) -> bool {
    is_path(name) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// What is wrong with the sizes of a shape, if something is.
pub(crate) fn sizes_fault(shape: &Shape) -> Option<&'static str> {
    match shape.checked_elements() {
        Some(0) => Some("sizes of at least 1"),
        Some(elements) if elements <= MAX_PARAMETERS => None,
        Some(_) | None => Some("at most 2^36 elements"),
    }
}

/// A shape of as many dimensions, all of size 1, to go on with where one cannot be.
pub(crate) fn ones(shape: &Shape) -> Shape {
    Shape::new(vec![1; shape.rank()])
}

/// What is wrong with a parameter, if something is.
fn fault_of_param(name: &str, shape: &Shape) -> Option<String> {
    if !is_name(name) {
        return Some(format!("the parameter `{name}` must have {NAMES}"));
    }
    sizes_fault(shape)
        .map(|wanted| format!("the parameter `{name}` would be {shape}, but must have {wanted}"))
}
