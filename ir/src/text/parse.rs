//! Parses modules: functions, definitions, and the names between them.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::cursor::{Cursor, Parsed};
use super::lex::{ParseError, Place, TokenKind, lex};
use super::operation::{Operation, operation};
use crate::graph::{Def, FuncId, Function, Inst, InstData, Module, Origin, Value, ValueData};
use crate::types::TensorType;

/// Every mistake found in the textual form, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseErrors(pub Vec<ParseError>);

impl fmt::Display for ParseErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ParseErrors {}

/// Parses the textual form of a module. Names are resolved, wherever in their function or module they are
/// defined; all else is left to [`crate::verify()`]. Instructions get their line as [`Origin::Text`].
///
/// # Errors
/// Every mistake that can be told apart: after one, parsing goes on at the next line of the function, or at the
/// next function if the mistake is in its first line.
pub fn parse(text: &str) -> Result<Module, ParseErrors> {
    let (tokens, mut errors) = lex(text);
    let mut parser = Parser { cursor: Cursor::new(tokens), errors: Vec::new(), drafts: Vec::new() };
    let module = parser.module();
    // Behind an unknown character, the rest of the line makes no sense.
    let mut broken = HashMap::new();
    for error in &errors {
        broken.entry(error.line).or_insert(error.column);
    }
    parser.errors.retain(|error| broken.get(&error.line).is_none_or(|&column| error.column < column));
    errors.append(&mut parser.errors);
    errors.sort_by_key(|error| (error.line, error.column));
    if errors.is_empty() { Ok(module) } else { Err(ParseErrors(errors)) }
}

struct Parser {
    cursor: Cursor,
    errors: Vec<ParseError>,
    drafts: Vec<Draft>,
}

/// A function whose names are not resolved yet.
#[derive(Default)]
struct Draft {
    name: String,
    place: Option<Place>,
    definitions: Vec<Definition>,
    params: usize,
    insts: Vec<Statement>,
    returned: Vec<(String, Place)>,
    result_types: Vec<TensorType>,
    /// Every name that a definition began with, also of those that could not be parsed.
    seen: HashSet<String>,
    /// Whether a part of it could not be parsed.
    broken: bool,
}

struct Definition {
    label: String,
    place: Place,
    slot: Option<(usize, Place)>,
    ty: TensorType,
    def: Def,
}

struct Statement {
    operation: Operation,
    scope: String,
    place: Place,
}

impl Parser {
    fn module(&mut self) -> Module {
        let name = self.header().unwrap_or_else(|error| {
            self.errors.push(error);
            self.cursor.skip_to_function();
            String::new()
        });
        while *self.cursor.peek() != TokenKind::End {
            let mut draft = Draft::default();
            if let Err(error) = self.function(&mut draft) {
                self.errors.push(error);
                draft.broken = true;
                self.cursor.skip_to_function();
            }
            self.drafts.push(draft);
        }
        self.resolve(name)
    }

    fn header(&mut self) -> Parsed<String> {
        self.cursor.expect_word("module")?;
        self.cursor.symbol("the name of the module, as `@mlp`")
    }

    fn function(&mut self, draft: &mut Draft) -> Parsed<()> {
        let cursor = &mut self.cursor;
        cursor.expect_word("func")?;
        draft.place = Some(cursor.place());
        draft.name = cursor.symbol("the name of the function, as `@main`")?;
        cursor.expect_mark('(')?;
        cursor.list(')', |cursor| {
            draft.params += 1;
            definition(cursor, draft, Def::Param(draft.params - 1))
        })?;
        cursor.expect_arrow()?;
        cursor.expect_mark('(')?;
        draft.result_types = cursor.list(')', Cursor::tensor_type)?;
        cursor.expect_mark('{')?;
        while !cursor.at_word("return") {
            if cursor.at_mark('}') || cursor.at_function() || *cursor.peek() == TokenKind::End {
                return Err(cursor.unexpected("an instruction or `return`"));
            }
            let start = cursor.position();
            if let Err(error) = statement(cursor, draft) {
                self.errors.push(error);
                draft.broken = true;
                cursor.skip_line(start);
            }
        }
        cursor.next();
        if !cursor.at_mark('}') {
            draft.returned.push(cursor.value()?);
            while cursor.take_mark(',') {
                draft.returned.push(cursor.value()?);
            }
        }
        cursor.expect_mark('}')
    }

    fn resolve(&mut self, name: String) -> Module {
        let mut ids = HashMap::new();
        for (index, draft) in self.drafts.iter().enumerate() {
            let Some(place) = draft.place else { continue };
            if ids.insert(draft.name.clone(), FuncId::from_index(index)).is_some() {
                self.errors.push(place.error(format!("the function `@{}` is defined already", draft.name)));
            }
        }
        let drafts = std::mem::take(&mut self.drafts);
        let functions = drafts.into_iter().map(|draft| self.resolve_function(draft, &ids)).collect();
        Module { name, functions }
    }

    fn resolve_function(&mut self, draft: Draft, ids: &HashMap<String, FuncId>) -> Function {
        let slots = self.slots(&draft);
        let mut values = HashMap::new();
        for (definition, &slot) in draft.definitions.iter().zip(&slots) {
            if values.insert(definition.label.clone(), Value::from_index(slot)).is_some() {
                let message = format!("`%{}` is defined already", definition.label);
                self.errors.push(definition.place.error(message));
            }
        }
        let names = Names { values, seen: draft.seen };
        let mut results = vec![Vec::new(); draft.insts.len()];
        let mut arena: Vec<(usize, ValueData)> = Vec::with_capacity(slots.len());
        let mut function = Function { name: draft.name, ..Function::default() };
        for (definition, &slot) in draft.definitions.into_iter().zip(&slots) {
            let value = Value::from_index(slot);
            match definition.def {
                Def::Param(_) => function.params.push(value),
                Def::Result { inst, .. } => {
                    if let Some(list) = results.get_mut(inst.index()) {
                        list.push(value);
                    }
                }
            }
            let numbered = definition.label.starts_with(|c: char| c.is_ascii_digit());
            let name = (!numbered).then_some(definition.label);
            arena.push((slot, ValueData { ty: definition.ty, def: definition.def, name }));
        }
        arena.sort_by_key(|&(slot, _)| slot);
        function.values = arena.into_iter().map(|(_, data)| data).collect();
        for (statement, results) in draft.insts.into_iter().zip(results) {
            let Operation { mut op, operands, callee } = statement.operation;
            if let Some((callee, place)) = callee {
                match (ids.get(&callee), op.callee_mut()) {
                    (Some(&id), Some(unset)) => *unset = id,
                    (Some(_), None) => {}
                    (None, _) => {
                        self.errors.push(place.error(format!("the function `@{callee}` is not defined")))
                    }
                }
            }
            let operands = names.resolve(&operands, &mut self.errors);
            let origin = Origin::Text(statement.place.line);
            function.insts.push(InstData { op, operands, results, scope: statement.scope, origin });
        }
        function.results = names.resolve(&draft.returned, &mut self.errors);
        if !draft.broken && function.results.len() == draft.returned.len() {
            let found: Vec<&TensorType> = function.results.iter().map(|&value| function.ty(value)).collect();
            if !found.iter().copied().eq(&draft.result_types)
                && let Some(place) = draft.returned.first().map(|&(_, place)| place).or(draft.place)
            {
                let list = |types: &[&TensorType]| {
                    types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
                };
                let promised: Vec<&TensorType> = draft.result_types.iter().collect();
                let message = format!("returns ({}), but promises ({})", list(&found), list(&promised));
                self.errors.push(place.error(message));
            }
        }
        function
    }

    /// The index of every definition: the one it names, or else the next one that none names.
    fn slots(&mut self, draft: &Draft) -> Vec<usize> {
        let count = draft.definitions.len();
        let mut taken = vec![false; count];
        for (slot, place) in draft.definitions.iter().filter_map(|definition| definition.slot) {
            match taken.get_mut(slot) {
                Some(flag) if !*flag => *flag = true,
                _ if draft.broken => return (0..count).collect(),
                Some(_) => {
                    self.errors.push(place.error(format!("slot {slot} is taken")));
                    return (0..count).collect();
                }
                None => {
                    let message =
                        format!("found slot {slot}, expected one below {count}, the number of values");
                    self.errors.push(place.error(message));
                    return (0..count).collect();
                }
            }
        }
        let mut free = (0..count).filter(|&slot| !taken[slot]);
        let slot = |definition: &Definition| {
            definition.slot.map(|(slot, _)| slot).or_else(|| free.next()).unwrap_or_default()
        };
        draft.definitions.iter().map(slot).collect()
    }
}

struct Names {
    values: HashMap<String, Value>,
    seen: HashSet<String>,
}

impl Names {
    /// The values with these names, less those that are not defined, which are reported unless their definition
    /// has been.
    fn resolve(&self, names: &[(String, Place)], errors: &mut Vec<ParseError>) -> Vec<Value> {
        let mut values = Vec::with_capacity(names.len());
        for (name, place) in names {
            match self.values.get(name) {
                Some(&value) => values.push(value),
                None if self.seen.contains(name) => {}
                None => errors.push(place.error(format!("`%{name}` is not defined"))),
            }
        }
        values
    }
}

/// Parses `%name#slot: type` into the draft.
fn definition(cursor: &mut Cursor, draft: &mut Draft, def: Def) -> Parsed<()> {
    let (label, place) = cursor.value()?;
    draft.seen.insert(label.clone());
    let slot_place = cursor.place();
    let slot = if cursor.take_mark('#') { Some((cursor.number()?, slot_place)) } else { None };
    cursor.expect_mark(':')?;
    let ty = cursor.tensor_type()?;
    draft.definitions.push(Definition { label, place, slot, ty, def });
    Ok(())
}

fn statement(cursor: &mut Cursor, draft: &mut Draft) -> Parsed<()> {
    let place = cursor.place();
    let first = draft.definitions.len();
    if matches!(cursor.peek(), TokenKind::Value(_)) {
        let inst = Inst::from_index(draft.insts.len());
        let mut index = 0;
        loop {
            definition(cursor, draft, Def::Result { inst, index })?;
            index += 1;
            if !cursor.take_mark(',') {
                break;
            }
        }
        cursor.expect_mark('=')?;
    }
    let results: Vec<TensorType> =
        draft.definitions[first..].iter().map(|definition| definition.ty.clone()).collect();
    let operation = operation(cursor, &results)?;
    let scope = match cursor.peek() {
        TokenKind::Symbol(_) => cursor.symbol("a scope")?,
        _ => String::new(),
    };
    draft.insts.push(Statement { operation, scope, place });
    Ok(())
}
