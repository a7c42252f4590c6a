//! Computes what small tensors have in common at once.

use std::collections::{BTreeSet, HashMap};

use natgrad_ir::{
    BinaryOp, CallKind, DType, Function, InstData, Literal, Module, Op, Origin, Shape, TensorType, Value,
    Verified,
};

use super::outline::{Outlined, outline};
use super::scalars::place;
use crate::lower::rewrite::rewrite;

/// The most elements of a tensor that is stacked: so few that moving them costs nothing beside a loop of its own.
const MAX_ELEMENTS: usize = 1 << 13;

/// The fewest elements of a row, where a tensor is several: a shorter row's loop costs more than it saves.
const MIN_ROW: usize = 64;

/// The fewest tensors that make a stack.
const MIN_TENSORS: usize = 4;

/// The name of stacked tensors in the paths of operations, in the place of a parameter's.
pub const SMALL_TENSORS: &str = "small_tensors";

/// Computes results that are elementwise by the same formula, in different small tensors, as one table, by a
/// function called with [`CallKind::Materialize`]. A tensor is a row of the table, or several rows of 64 elements or more: with 768, 2304
/// and 3072 elements tensors are one, three and four rows. Tensors whose rows would differ in length are in different tables.
///
/// A network has many biases and scales, and few elements in them. So a program says their update's formula once instead of for each,
/// and a device runs one loop instead of many. Formulas may read the same scalars, and elements of one array at different
/// indices along its dimensions but the last, such as the keys of noise. Calls are not looked into:
/// [`inline_calls`](natgrad_ir::pass::inline_calls) first.
pub(super) fn stack_small(module: &Verified) -> Option<Module> {
    Some(rewrite(module, |mut function, new| {
        for (length, formulas) in formulas(&function) {
            stack(&mut function, new, length, &formulas);
        }
        function
    }))
}

/// What computes several results, each of other tensors.
struct Formula {
    /// How a row of the first of them is computed.
    outlined: Outlined,
    /// What its parameters are.
    reads: Vec<Read>,
    /// The results, the shortest first.
    members: Vec<Member>,
}

/// What a parameter of a formula is.
#[derive(Clone, Copy, PartialEq)]
enum Read {
    /// A tensor of the member's own.
    Tensor,
    /// An element of an array, in this column of the member's own row.
    Element { array: Value, column: usize },
    /// A scalar that all members read.
    Scalar(Value),
}

/// A result that a formula computes.
struct Member {
    result: Value,
    /// What is handed over for the formula's parameters.
    operands: Vec<Value>,
    /// How many rows it is.
    rows: usize,
}

impl Formula {
    /// Runs of members with the same number of rows, as how many they are and that number.
    fn runs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.members.chunk_by(|one, next| one.rows == next.rows).map(|run| (run.len(), run[0].rows))
    }

    /// Whether a member is several rows.
    fn has_long(&self) -> bool {
        self.members.iter().any(|member| member.rows > 1)
    }

    fn rows(&self) -> usize {
        self.members.iter().map(|member| member.rows).sum()
    }
}

/// The formulas of a function's results that are shared by enough tensors, by the length of their rows.
fn formulas(function: &Function) -> Vec<(usize, Vec<Formula>)> {
    let elements = |result: Value| function.ty(result).shape.elements();
    let results: BTreeSet<Value> = function.results.iter().copied().collect();
    let mut results: Vec<Value> =
        results.into_iter().filter(|&result| elements(result) <= MAX_ELEMENTS).collect();
    results.sort_by_key(|&result| elements(result));

    let mut found: Vec<(usize, Vec<Formula>)> = Vec::new();
    for result in results {
        let length = elements(result);
        let is_of_rows = |row: usize| row == length || (row >= MIN_ROW && length.is_multiple_of(row));
        let known = found.iter().position(|&(row, _)| is_of_rows(row));
        let row = known.map_or(length, |known| found[known].0);
        let Some(outlined) = outline(function, result, String::new(), Shape::new([row])) else { continue };
        let reads: Vec<Read> = outlined.operands.iter().map(|&operand| read(function, operand)).collect();
        let member = Member { result, operands: outlined.operands.clone(), rows: length / row };
        let at = known.unwrap_or_else(|| {
            found.push((row, Vec::new()));
            found.len() - 1
        });
        let formulas = &mut found[at].1;
        let same = |formula: &&mut Formula| {
            formula.reads == reads && is_same(&formula.outlined.function, &outlined.function)
        };
        match formulas.iter_mut().find(same) {
            Some(formula) => formula.members.push(member),
            None => formulas.push(Formula { outlined, reads, members: vec![member] }),
        }
    }
    for (_, formulas) in &mut found {
        formulas.retain(|formula| formula.members.len() >= MIN_TENSORS);
    }
    found.retain(|(_, formulas)| !formulas.is_empty());
    found
}

/// Whether two functions compute the same, whatever their names are.
fn is_same(one: &Function, other: &Function) -> bool {
    let insts = |function: &Function| -> Vec<_> {
        function.insts.iter().map(|inst| (inst.op.clone(), inst.operands.clone())).collect()
    };
    let types =
        |function: &Function| function.values.iter().map(|value| value.ty.clone()).collect::<Vec<_>>();
    one.results == other.results && types(one) == types(other) && insts(one) == insts(other)
}

/// What an operand of a result's formula is.
fn read(function: &Function, operand: Value) -> Read {
    if function.ty(operand).rank() > 0 {
        return Read::Tensor;
    }
    match element(function, operand) {
        Some((array, _, column)) => Read::Element { array, column },
        None => Read::Scalar(operand),
    }
}

/// The array that a scalar is an element of, and its row and column there: its index along all dimensions but the last, and along that.
fn element(function: &Function, scalar: Value) -> Option<(Value, usize, usize)> {
    let (array, at) = place(function, scalar);
    let shape = &function.ty(array).shape;
    let &columns = shape.dims().last()?;
    (shape.rank() > 1).then_some((array, at / columns, at % columns))
}

/// Computes the results of these formulas, all of rows of this length, by one call at the function's end.
fn stack(function: &mut Function, module: &mut Module, length: usize, formulas: &[Formula]) {
    let name = format!("{}.stacked{}", function.name, function.insts.len());
    let mut stacks = Stacks {
        caller: function,
        callee: Function { name, ..Function::default() },
        operands: Vec::new(),
        params: HashMap::new(),
        tables: HashMap::new(),
        length,
    };
    let results = formulas.iter().map(|formula| stacks.formula(formula)).collect();
    let Stacks { mut callee, operands, .. } = stacks;
    callee.results = results;
    let types: Vec<_> = callee.results.iter().map(|&result| (callee.ty(result).clone(), None)).collect();
    let callee = module.push(callee);
    let op = Op::Call { callee, kind: CallKind::Materialize };
    let (scope, origin) = (String::new(), Origin::Unknown);
    let stacked = function.append(InstData { op, operands, results: Vec::new(), scope, origin }, types);

    let mut parts: HashMap<Value, Value> = HashMap::new();
    for (formula, stacked) in formulas.iter().zip(stacked) {
        let mut row = 0;
        for member in &formula.members {
            let name = function.values[member.result.index()].name.take();
            let scope = function.def_inst(member.result).map_or(String::new(), |inst| of_stack(&inst.scope));
            let shape = function.ty(member.result).shape.clone();
            let part = Writer { function, scope: &scope }.slice(stacked, 0, row, row + member.rows);
            let part = Writer { function, scope: &scope }.reshape(part, shape);
            row += member.rows;
            function.values[part.index()].name = name;
            parts.insert(member.result, part);
        }
    }
    for result in &mut function.results {
        *result = *parts.get(result).unwrap_or(result);
    }
}

/// A function that computes formulas of stacked tensors, while it is written.
struct Stacks<'a> {
    caller: &'a mut Function,
    callee: Function,
    /// What the call hands over.
    operands: Vec<Value>,
    /// The parameters, by what was stacked for them.
    params: HashMap<Vec<Value>, Value>,
    /// Tables of rows of an array, by the array and the number of every row in the table.
    tables: HashMap<(Value, Vec<usize>), Value>,
    /// The length of a row.
    length: usize,
}

impl Stacks<'_> {
    /// The formula in the callee, of all its members.
    fn formula(&mut self, formula: &Formula) -> Value {
        let from = &formula.outlined.function;
        let count = formula.rows();
        let mut map: HashMap<Value, Value> = HashMap::new();
        let scope_of = |caller: &Function, value: Value| {
            caller.def_inst(value).map_or(String::new(), |inst| of_stack(&inst.scope))
        };
        let of_result = scope_of(self.caller, formula.members[0].result);
        for (index, (&param, read)) in from.params.iter().zip(&formula.reads).enumerate() {
            let operands = formula.members.iter().map(|member| member.operands[index]);
            let value = match *read {
                Read::Scalar(scalar) => self.param(vec![scalar], scalar),
                Read::Tensor => self.stacked(operands.collect(), &of_result),
                Read::Element { array, column } => {
                    let scope = scope_of(self.caller, formula.outlined.operands[index]);
                    let row = |scalar| element(self.caller, scalar).map(|(_, row, _)| row);
                    let table = self.table(array, operands.filter_map(row).collect(), formula, &scope);
                    Writer { function: &mut self.callee, scope: &scope }.column(table, column)
                }
            };
            map.insert(param, value);
        }
        for inst in &from.insts {
            let scope = of_stack(&inst.scope);
            let mut writer = Writer { function: &mut self.callee, scope: &scope };
            let operands = inst.operands.iter().map(|operand| map[operand]).collect();
            let &[result] = inst.results.as_slice() else { continue };
            let mut value = writer.stacked(&inst.op, operands, from.ty(result), count);
            if let Op::Iota { dtype, .. } = inst.op
                && formula.has_long()
            {
                value = writer.continued(value, dtype, formula, self.length);
            }
            map.insert(result, value);
        }
        map[&from.results[0]]
    }

    /// The parameter for a value of the caller that these values are stacked to.
    fn param(&mut self, of: Vec<Value>, value: Value) -> Value {
        let (callee, operands) = (&mut self.callee, &mut self.operands);
        let ty = self.caller.ty(value).clone();
        *self.params.entry(of).or_insert_with(|| {
            let name = format!("operand{}", operands.len());
            operands.push(value);
            callee.add_param(ty, Some(name))
        })
    }

    /// A table in the callee of rows of the caller's array: from one row for each member of the formula, one for each of the member's rows.
    fn table(&mut self, array: Value, rows: Vec<usize>, formula: &Formula, scope: &str) -> Value {
        let each = rows.iter().zip(&formula.members);
        let each = each.flat_map(|(&row, member)| std::iter::repeat_n(row, member.rows)).collect();
        let key = (array, each);
        if let Some(&table) = self.tables.get(&key) {
            return table;
        }
        let param = self.param(vec![array], array);
        let mut writer = Writer { function: &mut self.callee, scope };
        let table = writer.rows(param, &rows);
        let table = writer.repeated(table, formula);
        self.tables.insert(key, table);
        table
    }

    /// The parameter for these tensors on each other.
    fn stacked(&mut self, tensors: Vec<Value>, scope: &str) -> Value {
        if let Some(&param) = self.params.get(&tensors) {
            return param;
        }
        let length = self.length;
        let mut writer = Writer { function: self.caller, scope };
        let table = |&tensor: &Value| {
            let rows = writer.function.ty(tensor).shape.elements() / length;
            writer.reshape(tensor, Shape::new([rows, length]))
        };
        let tables: Vec<Value> = tensors.iter().map(table).collect();
        let stack = writer.concat(tables);
        self.param(tensors, stack)
    }
}

/// Writes operations into a function.
struct Writer<'a> {
    function: &'a mut Function,
    scope: &'a str,
}

impl Writer<'_> {
    fn push(&mut self, op: Op, operands: Vec<Value>, ty: TensorType) -> Value {
        let (scope, origin) = (self.scope.to_owned(), Origin::Unknown);
        self.function.append(InstData { op, operands, results: Vec::new(), scope, origin }, [(ty, None)])[0]
    }

    fn reshape(&mut self, value: Value, shape: Shape) -> Value {
        let dtype = self.function.ty(value).dtype;
        self.push(Op::Reshape { shape: shape.clone() }, vec![value], TensorType::new(dtype, shape))
    }

    /// Tables on each other.
    fn concat(&mut self, tables: Vec<Value>) -> Value {
        if let &[table] = tables.as_slice() {
            return table;
        }
        let TensorType { dtype, shape } = self.function.ty(tables[0]).clone();
        let rows = tables.iter().map(|&table| self.function.ty(table).shape.dims()[0]).sum();
        let dims: Vec<usize> = [rows].into_iter().chain(shape.dims()[1..].iter().copied()).collect();
        self.push(Op::Concat { dim: 0 }, tables, TensorType::new(dtype, Shape::new(dims)))
    }

    /// From a table with one row for each member, the table that repeats it for each of the member's rows.
    fn repeated(&mut self, table: Value, formula: &Formula) -> Value {
        if !formula.has_long() {
            return table;
        }
        let TensorType { dtype, shape } = self.function.ty(table).clone();
        let columns = shape.dims()[1];
        let mut first = 0;
        let mut parts = Vec::new();
        for (members, rows) in formula.runs() {
            let part = self.slice(table, 0, first, first + members);
            first += members;
            if rows == 1 {
                parts.push(part);
                continue;
            }
            let repeat = Op::Broadcast { shape: Shape::new([members, rows, columns]), dims: vec![0, 2] };
            let part = self.push(repeat, vec![part], TensorType::new(dtype, [members, rows, columns]));
            parts.push(self.reshape(part, Shape::new([members * rows, columns])));
        }
        self.concat(parts)
    }

    /// The indices of elements in their tensors, from those in their rows.
    fn continued(&mut self, in_row: Value, dtype: DType, formula: &Formula, length: usize) -> Value {
        let starts =
            formula.members.iter().flat_map(|member| (0..member.rows).map(|at| (at * length) as f64));
        let starts = Literal::dense(dtype, [formula.rows()], &starts.collect::<Vec<f64>>());
        let ty = starts.ty.clone();
        let starts = self.push(Op::Constant(starts), Vec::new(), ty);
        let ty = self.function.ty(in_row).clone();
        let repeat = Op::Broadcast { shape: ty.shape.clone(), dims: vec![0] };
        let starts = self.push(repeat, vec![starts], ty.clone());
        self.push(Op::Binary(BinaryOp::Add), vec![in_row, starts], ty)
    }

    /// An operation of a formula, of as many rows: of scalars that differ as a vector, and of all else with a dimension more.
    fn stacked(&mut self, op: &Op, mut operands: Vec<Value>, ty: &TensorType, count: usize) -> Value {
        let rank = |function: &Function, value: &Value| function.ty(*value).rank();
        let is_scalar = ty.rank() == 0;
        if is_scalar && operands.iter().all(|operand| rank(self.function, operand) == 0) {
            return self.push(op.clone(), operands, ty.clone());
        }
        let shape = if is_scalar { Shape::new([count]) } else { with_rows(count, &ty.shape) };
        let op = match op {
            Op::Constant(literal) => Op::Constant(Literal {
                ty: TensorType::new(ty.dtype, shape.clone()),
                elements: literal.elements.clone(),
            }),
            Op::Iota { dtype, dim, .. } => Op::Iota { dtype: *dtype, shape: shape.clone(), dim: dim + 1 },
            Op::Broadcast { .. } => {
                let dims = (0..rank(self.function, &operands[0])).collect();
                Op::Broadcast { shape: shape.clone(), dims }
            }
            op => {
                for operand in &mut operands {
                    if rank(self.function, operand) > 0 {
                        continue;
                    }
                    let ty = TensorType::new(self.function.ty(*operand).dtype, shape.clone());
                    let repeat = Op::Broadcast { shape: shape.clone(), dims: Vec::new() };
                    *operand = self.push(repeat, vec![*operand], ty);
                }
                op.clone()
            }
        };
        self.push(op, operands, TensorType::new(ty.dtype, shape))
    }

    /// A slice along one dimension of a value.
    fn slice(&mut self, value: Value, dim: usize, from: usize, to: usize) -> Value {
        let TensorType { dtype, shape } = self.function.ty(value).clone();
        let (mut starts, mut limits) = (vec![0; shape.rank()], shape.dims().to_vec());
        (starts[dim], limits[dim]) = (from, to);
        let dims: Vec<usize> = limits.iter().zip(&starts).map(|(limit, start)| limit - start).collect();
        let strides = vec![1; shape.rank()];
        self.push(
            Op::Slice { starts, limits, strides },
            vec![value],
            TensorType::new(dtype, Shape::new(dims)),
        )
    }

    /// These rows of an array, the indices along whose dimensions but the last are one.
    fn rows(&mut self, array: Value, rows: &[usize]) -> Value {
        let shape = self.function.ty(array).shape.clone();
        let columns = shape.dims().last().copied().unwrap_or(1);
        let flat = Shape::new([shape.elements() / columns.max(1), columns]);
        let table = self.reshape(array, flat);
        let runs = rows.chunk_by(|row, next| row + 1 == *next);
        let parts = runs.map(|run| self.slice(table, 0, run[0], run[0] + run.len())).collect();
        self.concat(parts)
    }

    /// A column of a table, as a vector.
    fn column(&mut self, table: Value, column: usize) -> Value {
        let shape = self.function.ty(table).shape.clone();
        let column = self.slice(table, 1, column, column + 1);
        self.reshape(column, Shape::new([shape.dims()[0]]))
    }
}

/// The shape of so many tensors of a shape on each other.
fn with_rows(count: usize, shape: &Shape) -> Shape {
    let dims: Vec<usize> = std::iter::once(count).chain(shape.dims().iter().copied()).collect();
    Shape::new(dims)
}

/// The scope of an operation on a stack, from one member's: the member's own name becomes that of all.
fn of_stack(scope: &str) -> String {
    let mut path: Vec<&str> = scope.split('/').collect();
    if let Some(member) = path.get_mut(1) {
        *member = SMALL_TENSORS;
    }
    path.join("/")
}
