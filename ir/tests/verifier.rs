//! The verifier refuses what is broken, says where, and survives anything.

use natgrad_ir::interp::{Tensor, evaluate};
use natgrad_ir::testing::{Config, arb_module, inputs};
use natgrad_ir::{
    BinaryOp, CallKind, ConvDims, DType, Def, DotDims, Elements, FuncId, Function, Inst, InstData, Invariant,
    Literal, Module, Op, ReduceOp, Scalar, Shape, TensorType, UnaryOp, Value, pass, text, verify,
};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

/// A change that breaks an invariant for certain.
#[derive(Clone, Copy, Debug)]
enum Mutation {
    GhostOperand,
    OwnOperand,
    LaterOperand,
    DroppedOperand,
    ExtraOperand,
    RecordedType,
    RecordedShape,
    HugeParameter,
    DuplicateName,
    InvalidName,
    UnnamedParameter,
    InvalidScope,
    DetachedDefinition,
    ListedTwice,
    GhostResult,
    WrongAttribute,
    WrongElement,
    CalleeOutOfRange,
    CalleeItself,
    DuplicateFunction,
}

const MUTATIONS: [Mutation; 20] = [
    Mutation::GhostOperand,
    Mutation::OwnOperand,
    Mutation::LaterOperand,
    Mutation::DroppedOperand,
    Mutation::ExtraOperand,
    Mutation::RecordedType,
    Mutation::RecordedShape,
    Mutation::HugeParameter,
    Mutation::DuplicateName,
    Mutation::InvalidName,
    Mutation::UnnamedParameter,
    Mutation::InvalidScope,
    Mutation::DetachedDefinition,
    Mutation::ListedTwice,
    Mutation::GhostResult,
    Mutation::WrongAttribute,
    Mutation::WrongElement,
    Mutation::CalleeOutOfRange,
    Mutation::CalleeItself,
    Mutation::DuplicateFunction,
];

/// What must be said of a mutation: the function, the invariant, and the value as it is written.
type Complaint = (String, Invariant, Option<String>);

/// Breaks a module, or returns `None` if it has no place for the mutation.
fn mutate(module: &mut Module, mutation: Mutation, place: &Index, other: &Index) -> Option<Complaint> {
    let callable = module.functions.len();
    let which = place.index(callable);
    let sole = callable == 1;
    let function = &mut module.functions[which];
    let name = function.name.clone();
    let ghost = Value::from_index(function.values.len() + other.index(1000));
    let some_value = Value::from_index(other.index(function.values.len()));
    let labels = function.clone();
    let fits = |inst: &InstData| match mutation {
        Mutation::GhostOperand | Mutation::OwnOperand | Mutation::LaterOperand => !inst.operands.is_empty(),
        // Without one operand of several, a concatenation is a smaller one.
        Mutation::DroppedOperand => !inst.operands.is_empty() && !matches!(inst.op, Op::Concat { .. }),
        Mutation::ExtraOperand => !matches!(inst.op, Op::Concat { .. }),
        Mutation::WrongElement => matches!(inst.op, Op::Constant(_)),
        Mutation::WrongAttribute => attributes(&mut inst.op.clone()),
        _ => !inst.results.is_empty(),
    };
    let label = |value: Value| Some(labels.label(value));
    let candidates: Vec<usize> =
        (0..labels.insts.len()).filter(|&index| fits(&labels.insts[index])).collect();
    let chosen =
        if candidates.is_empty() { None } else { candidates.get(place.index(candidates.len())).copied() };
    let on_inst =
        |function: &mut Function, change: &dyn Fn(&mut InstData) -> Option<Invariant>| -> Option<Complaint> {
            let inst = &mut function.insts[chosen?];
            let value = inst.results.first().and_then(|&value| label(value));
            Some((name.clone(), change(inst)?, value))
        };
    match mutation {
        Mutation::GhostOperand => on_inst(function, &|inst| {
            let index = other.index(inst.operands.len());
            inst.operands[index] = ghost;
            Some(Invariant::Handle)
        }),
        Mutation::OwnOperand => on_inst(function, &|inst| {
            let own = *inst.results.first()?;
            let index = other.index(inst.operands.len());
            inst.operands[index] = own;
            Some(Invariant::Dominance)
        }),
        Mutation::LaterOperand => on_inst(function, &|inst| {
            let last = labels.insts.last()?.results.last().copied()?;
            inst.results.first()?;
            let index = other.index(inst.operands.len());
            inst.operands[index] = last;
            Some(Invariant::Dominance)
        }),
        Mutation::DroppedOperand => on_inst(function, &|inst| {
            let index = other.index(inst.operands.len());
            inst.operands.remove(index);
            Some(Invariant::TypeRule)
        }),
        Mutation::ExtraOperand => on_inst(function, &|inst| {
            let param = *labels.params.first()?;
            inst.operands.push(param);
            Some(Invariant::TypeRule)
        }),
        Mutation::RecordedType | Mutation::RecordedShape => {
            let value = *function.insts[chosen?].results.first()?;
            let ty = &mut function.values[value.index()].ty;
            if matches!(mutation, Mutation::RecordedType) {
                ty.dtype = if ty.dtype == DType::F32 { DType::U32 } else { DType::F32 };
            } else {
                ty.shape = Shape::new([ty.shape.dims(), &[7]].concat());
            }
            Some((name, Invariant::ResultType, label(value)))
        }
        Mutation::HugeParameter => {
            let param = *function.params.first()?;
            function.values[param.index()].ty = TensorType::new(DType::F32, [1 << 24, 1 << 24]);
            Some((name, Invariant::Size, label(param)))
        }
        Mutation::DuplicateName => {
            let param = *function.params.first()?;
            if some_value == param {
                return None;
            }
            let taken = function.value(param).name.clone();
            function.values[some_value.index()].name = taken;
            Some((name, Invariant::ValueName, label(param)))
        }
        Mutation::InvalidName => {
            let invalid = ["", "0", "1x", "a b", "\u{e9}", "%x"][other.index(6)];
            function.values[some_value.index()].name = Some(invalid.to_string());
            Some((name, Invariant::ValueName, Some(format!("%{invalid}"))))
        }
        Mutation::UnnamedParameter => {
            let param = *function.params.get(other.index(function.params.len()))?;
            function.values[param.index()].name = None;
            Some((name, Invariant::ValueName, Some(format!("%{}", param.index()))))
        }
        Mutation::InvalidScope => on_inst(function, &|inst| {
            inst.scope = "two words".to_string();
            Some(Invariant::ScopeName)
        }),
        Mutation::DetachedDefinition => {
            let data = &mut function.values[some_value.index()];
            data.def = match data.def {
                Def::Param(index) => Def::Param(index + 1 + other.index(9)),
                Def::Result { inst, index } => Def::Result { inst, index: index + 1 + other.index(9) },
            };
            Some((name, Invariant::Definition, label(some_value)))
        }
        Mutation::ListedTwice => {
            function.params.push(some_value);
            Some((name, Invariant::Definition, label(some_value)))
        }
        Mutation::GhostResult => {
            function.results.push(ghost);
            Some((name, Invariant::Handle, label(ghost)))
        }
        Mutation::WrongAttribute => {
            on_inst(function, &|inst| attributes(&mut inst.op).then_some(Invariant::TypeRule))
        }
        Mutation::WrongElement => on_inst(function, &|inst| {
            let Op::Constant(literal) = &mut inst.op else { return None };
            let wrong = match literal.ty.dtype {
                DType::S32 | DType::U32 | DType::U64 => Scalar::Int(i128::MAX),
                DType::F64 | DType::Bool => Scalar::Int(0),
                DType::F32 | DType::BF16 | DType::F16 => Scalar::Float(1.0 + f64::EPSILON),
            };
            match &mut literal.elements {
                Elements::Splat(element) => *element = wrong,
                Elements::Dense(elements) => elements.push(wrong),
            }
            Some(Invariant::TypeRule)
        }),
        Mutation::CalleeOutOfRange => on_inst(function, &|inst| {
            inst.op =
                Op::Call { callee: FuncId::from_index(callable + other.index(1000)), kind: CallKind::Inline };
            Some(Invariant::CallOrder)
        }),
        Mutation::CalleeItself => on_inst(function, &|inst| {
            inst.op = Op::Call { callee: FuncId::from_index(which), kind: CallKind::Materialize };
            Some(Invariant::CallOrder)
        }),
        Mutation::DuplicateFunction if sole => None,
        Mutation::DuplicateFunction => {
            let taken = module.functions[(which + 1) % callable].name.clone();
            module.functions[which].name = taken.clone();
            Some((taken, Invariant::FunctionName, None))
        }
    }
}

/// Makes an attribute wrong for every operand. Returns whether the operation has one.
fn attributes(op: &mut Op) -> bool {
    match op {
        Op::Iota { shape, dim, .. } => *dim = shape.rank(),
        Op::Broadcast { dims, .. } => dims.push(99),
        Op::Reshape { shape } | Op::Philox { shape } => *shape = Shape::new([3, usize::MAX]),
        Op::Transpose { perm } => perm.push(0),
        Op::Slice { strides, .. } if !strides.is_empty() => strides[0] = 0,
        Op::Slice { limits, .. } => limits.push(1),
        Op::Pad { high, .. } => high.push(0),
        Op::Concat { dim } => *dim = 99,
        Op::Reduce { dims, .. } => dims.push(99),
        Op::Dot(dims) => dims.lhs_contract.push(0),
        Op::Conv(dims) => dims.groups = 99,
        Op::Reverse { dims } => dims.push(99),
        Op::Loop { carried, .. } => *carried += 1,
        Op::Constant(_)
        | Op::Foreign(_)
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Compare(_)
        | Op::Select
        | Op::Convert { .. }
        | Op::Take
        | Op::ScatterAdd
        | Op::At
        | Op::Call { .. } => return false,
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn broken_modules_are_refused_by_name(
        module in arb_module(Config::wild()),
        place in any::<Index>(),
        other in any::<Index>(),
    ) {
        for mutation in MUTATIONS {
            let mut module = module.module().clone();
            let Some((function, invariant, value)) = mutate(&mut module, mutation, &place, &other) else {
                continue;
            };
            let printed = text::print(&module);
            let Err(violations) = verify(module) else {
                panic!("{mutation:?} was accepted:\n{printed}");
            };
            let found = violations.0.iter().any(|violation| {
                violation.function == function && violation.invariant == invariant && violation.value == value
            });
            prop_assert!(found, "{:?} {:?} {:?}\n{}\n{}", mutation, invariant, value, violations, printed);
            let named = value.is_none_or(|value| violations.to_string().contains(&value));
            prop_assert!(named && violations.to_string().contains(&function));
        }
    }

    /// Whatever is edited, nothing panics; what the verifier accepts can be printed, parsed, optimized and run.
    #[test]
    fn edited_modules_are_refused_or_work(
        module in arb_module(Config { max_steps: 6, ..Config::wild() }),
        edits in prop::collection::vec((0..EDITS, any::<[u16; 6]>()), 1..4),
    ) {
        let mut module = module.into_module();
        for (kind, numbers) in edits {
            edit(&mut module, kind, numbers.map(usize::from));
        }
        let printed = text::print(&module);
        let parsed = text::parse(&printed);
        let _ = module.functions.iter().map(natgrad_ir::verify::verify_function).collect::<Vec<_>>();
        match verify(module) {
            Err(violations) => {
                prop_assert!(!violations.to_string().is_empty());
            }
            Ok(module) => {
                prop_assert_eq!(parsed.as_ref(), Ok(module.module()), "{}", printed);
                let Some(entry) = module.module().entry() else { return Ok(()) };
                // A count that was edited may be anything.
                let small = |function: &Function| {
                    function.values.iter().all(|value| value.ty.shape.elements() < 10_000)
                        && !function.insts.iter().any(|inst| matches!(inst.op, Op::Loop { .. }))
                };
                if module.module().functions.iter().all(small) {
                    let values = inputs(entry, 0);
                    let tensors = entry.params.iter().zip(&values).map(|(&param, values)| {
                        Tensor::from_f64s(entry.ty(param).clone(), values).unwrap()
                    });
                    let tensors: Vec<Tensor> = tensors.collect();
                    let count = evaluate(&module, &tensors).unwrap().len();
                    prop_assert_eq!(evaluate(&pass::run(module).unwrap(), &tensors).unwrap().len(), count);
                }
            }
        }
    }
}

#[test]
fn every_mutation_finds_its_place() {
    let mut runner = TestRunner::deterministic();
    let strategy = (arb_module(Config::wild()), any::<Index>(), any::<Index>());
    let mut applied = [0; MUTATIONS.len()];
    for _ in 0..100 {
        let (module, place, other) = strategy.new_tree(&mut runner).unwrap().current();
        for (count, mutation) in applied.iter_mut().zip(MUTATIONS) {
            let mut changed = module.module().clone();
            *count += usize::from(mutate(&mut changed, mutation, &place, &other).is_some());
        }
    }
    assert!(applied.iter().all(|&count| count > 25), "{applied:?}");
}

const EDITS: usize = 19;

/// Writes something into one open field.
fn edit(module: &mut Module, kind: usize, [f, a, b, c, d, e]: [usize; 6]) {
    let functions = module.functions.len();
    let odd = [0, 1, 2, 3, 7, usize::MAX, 1 << 47, 1 << 24][c % 8];
    let dtype = DType::ALL[d % 8];
    let shape = Shape::new(vec![odd; e % 4]);
    let name = ["x", "p0", "", "0", "a b", "h"][b % 6].to_string();
    let Some(function) = module.functions.get_mut(f % functions.max(1)) else { return };
    let values = function.values.len();
    let value = Value::from_index([a % (values + 2), usize::MAX][usize::from(b % 16 == 0)]);
    let insts = function.insts.len();
    let inst_handle = Inst::from_index([b % (insts + 2), usize::MAX][usize::from(c % 16 == 0)]);
    match kind {
        0 => module.name = name.clone(),
        1 => function.name = name.clone(),
        2 => function.results.push(value),
        3 => function.params.push(value),
        4 => drop(function.params.pop()),
        5 => drop(function.values.pop()),
        6 if values > 0 => function.values.swap(a % values.max(1), b % values.max(1)),
        _ => {}
    }
    if let Some(data) = function.values.get_mut(a % values.max(1)) {
        match kind {
            7 => data.ty = TensorType { dtype, shape: shape.clone() },
            8 => {
                data.def =
                    if d % 2 == 0 { Def::Param(c) } else { Def::Result { inst: inst_handle, index: c } }
            }
            9 => data.name = if d % 4 == 0 { None } else { Some(name.clone()) },
            _ => {}
        }
    }
    let Some(inst) = function.insts.get_mut(b % insts.max(1)) else { return };
    match kind {
        10 => inst.operands.push(value),
        11 => drop(inst.operands.pop()),
        12 => inst.results.push(value),
        13 => drop(inst.results.pop()),
        14 => inst.scope = name,
        15 => {
            if let Some(operand) = inst.operands.first_mut() {
                *operand = value;
            }
        }
        16 => function.insts.swap(a % insts.max(1), c % insts.max(1)),
        17 => inst.op = some_op(a, vec![odd; e % 4], dtype, shape, FuncId::from_index(d % (functions + 1))),
        18 => edit_attribute(&mut inst.op, odd),
        _ => {}
    }
}

fn edit_attribute(op: &mut Op, odd: usize) {
    let list = match op {
        Op::Broadcast { dims, .. } | Op::Reduce { dims, .. } => dims,
        Op::Transpose { perm } => perm,
        Op::Slice { limits, .. } => limits,
        Op::Pad { interior, .. } => interior,
        Op::Dot(dims) => &mut dims.rhs_contract,
        Op::Iota { dim, .. } | Op::Concat { dim } | Op::Loop { carried: dim, .. } => {
            *dim = odd;
            return;
        }
        _ => return,
    };
    match list.first_mut() {
        Some(first) => *first = odd,
        None => list.push(odd),
    }
}

fn some_op(kind: usize, list: Vec<usize>, dtype: DType, shape: Shape, callee: FuncId) -> Op {
    let literal = Literal::splat(TensorType { dtype, shape: shape.clone() }, 3.0);
    match kind % 23 {
        0 => Op::Constant(Literal { elements: Elements::Dense(vec![Scalar::Int(0)]), ..literal }),
        1 => Op::Constant(literal),
        2 => Op::Iota { dtype, shape, dim: list.len() },
        3 => Op::Unary(UnaryOp::Not),
        4 => Op::Binary(BinaryOp::Div),
        5 => Op::Select,
        6 => Op::Convert { dtype },
        7 => Op::Broadcast { shape, dims: list },
        8 => Op::Reshape { shape },
        9 => Op::Transpose { perm: list },
        10 => Op::Slice { starts: list.clone(), limits: list.clone(), strides: list },
        11 => Op::Pad { low: list.clone(), high: list.clone(), interior: list },
        12 => Op::Concat { dim: list.len() },
        13 => Op::Reduce { op: ReduceOp::Sum, dims: list },
        14 => Op::Dot(DotDims { lhs_batch: list.clone(), rhs_batch: list.clone(), ..DotDims::default() }),
        19 => Op::Conv(ConvDims::padded(list.len(), 1, 1)),
        20 => Op::Reverse { dims: list },
        21 => Op::Take,
        22 => Op::ScatterAdd,
        17 => Op::Philox { shape },
        16 => Op::At,
        15 => Op::Loop { body: callee, carried: list.len() },
        _ => {
            let kinds = [CallKind::Inline, CallKind::Materialize, CallKind::Again, CallKind::Fuse];
            Op::Call { callee, kind: kinds[list.len() % kinds.len()] }
        }
    }
}
