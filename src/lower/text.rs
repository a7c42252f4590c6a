//! Writes MLIR text: functions in `func.func`'s own form, operations in MLIR's generic form, one a line.

use std::fmt::Arguments;

use natgrad_ir::{Foreign, TensorType};

use super::attribute::{put_quoted, put_symbol, write_attr, write_type};
use super::constant::put;
use super::sink::{FuncHeader, Operation, Sink, Visibility};

/// A [`Sink`] that writes MLIR text into a string.
#[derive(Debug, Default)]
pub struct TextSink {
    out: String,
    /// Definitions of locations, which come before the module.
    locations: String,
    /// What is around the region being written.
    outer: Vec<String>,
    depth: usize,
    values: Vec<Slot>,
    /// The number of the function's next operation.
    next: usize,
    /// The end of the function being written: its location.
    tail: String,
}

/// Handle of a value in a [`TextSink`].
#[derive(Clone, Copy, Debug)]
pub struct TextValue(usize);

/// A region in a [`TextSink`].
#[derive(Debug)]
pub struct TextRegion(String);

#[derive(Debug)]
struct Slot {
    name: Name,
    ty: TensorType,
}

#[derive(Clone, Copy, Debug)]
enum Name {
    /// `%arg0`.
    Arg(usize),
    /// `%0`.
    Only(usize),
    /// `%0#1`: one of several results.
    OneOf(usize, usize),
}

impl TextSink {
    /// Nothing written yet.
    pub fn new() -> TextSink {
        TextSink::default()
    }

    /// The text written.
    pub fn into_text(self) -> String {
        self.locations + &self.out
    }

    fn put(&mut self, text: Arguments<'_>) {
        put(&mut self.out, text);
    }

    fn indent(&mut self) {
        for _ in 0..self.depth {
            self.out.push_str("  ");
        }
    }

    fn value(&mut self, name: Name, ty: &TensorType) -> TextValue {
        self.values.push(Slot { name, ty: ty.clone() });
        TextValue(self.values.len() - 1)
    }

    fn put_name(&mut self, name: Name) {
        match name {
            Name::Arg(index) => self.put(format_args!("%arg{index}")),
            Name::Only(number) => self.put(format_args!("%{number}")),
            Name::OneOf(number, index) => self.put(format_args!("%{number}#{index}")),
        }
    }

    fn put_list<T>(&mut self, items: impl IntoIterator<Item = T>, mut put: impl FnMut(&mut TextSink, T)) {
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                self.out.push_str(", ");
            }
            put(self, item);
        }
    }

    /// One type bare, any other number in parentheses.
    fn put_results(&mut self, types: &[&TensorType]) {
        if let [ty] = types {
            return write_type(&mut self.out, ty);
        }
        self.out.push('(');
        self.put_list(types, |sink, ty| write_type(&mut sink.out, ty));
        self.out.push(')');
    }

    fn put_location(&mut self, location: &str) {
        self.out.push_str(" loc(");
        put_quoted(&mut self.out, location);
        self.out.push(')');
    }
}

impl Sink for TextSink {
    type Value = TextValue;
    type Region = TextRegion;

    fn begin_module(&mut self, name: &str) {
        self.out.push_str("module");
        if !name.is_empty() {
            self.out.push(' ');
            put_symbol(&mut self.out, name);
        }
        self.out.push_str(" {\n");
        self.depth += 1;
    }

    fn end_module(&mut self) {
        self.depth -= 1;
        self.out.push_str("}\n");
    }

    fn link(&mut self, foreign: &Foreign) {
        self.locations.push_str(&foreign.locations);
        self.indent();
        self.out.push_str(&foreign.text);
    }

    fn begin_func(&mut self, header: &FuncHeader<'_>) -> Vec<TextValue> {
        self.values.clear();
        self.next = 0;
        self.indent();
        self.out.push_str(match header.visibility {
            Visibility::Public => "func.func public ",
            Visibility::Private => "func.func private ",
        });
        put_symbol(&mut self.out, header.name);
        self.out.push('(');
        let mut args = Vec::with_capacity(header.params.len());
        for (index, param) in header.params.iter().enumerate() {
            self.out.push_str(if index == 0 { "\n" } else { ",\n" });
            self.depth += 2;
            self.indent();
            self.depth -= 2;
            self.put(format_args!("%arg{index}: "));
            write_type(&mut self.out, param.ty);
            if let Some(output) = param.aliased_output {
                self.put(format_args!(" {{tf.aliasing_output = {output} : i32}}"));
            }
            self.put_location(param.location);
            args.push(self.value(Name::Arg(index), param.ty));
        }
        if !args.is_empty() {
            self.out.push('\n');
            self.indent();
        }
        self.out.push_str(") -> ");
        self.put_results(&header.results);
        self.out.push_str(" {\n");
        self.depth += 1;
        header.location.clone_into(&mut self.tail);
        args
    }

    fn end_func(&mut self) {
        self.depth -= 1;
        self.indent();
        self.out.push('}');
        let location = std::mem::take(&mut self.tail);
        self.put_location(&location);
        self.out.push('\n');
    }

    fn begin_region(&mut self, params: &[&TensorType], location: &str) -> Vec<TextValue> {
        self.outer.push(std::mem::take(&mut self.out));
        self.out.push_str("{\n");
        self.indent();
        self.out.push_str("^bb0(");
        let mut args = Vec::with_capacity(params.len());
        for (index, ty) in params.iter().enumerate() {
            let name = Name::Only(self.next);
            self.next += 1;
            if index > 0 {
                self.out.push_str(", ");
            }
            self.put_name(name);
            self.out.push_str(": ");
            write_type(&mut self.out, ty);
            self.put_location(location);
            args.push(self.value(name, ty));
        }
        self.out.push_str("):\n");
        self.depth += 1;
        args
    }

    fn end_region(&mut self) -> TextRegion {
        self.depth -= 1;
        self.indent();
        self.out.push('}');
        let outer = self.outer.pop().unwrap_or_default();
        TextRegion(std::mem::replace(&mut self.out, outer))
    }

    fn op(&mut self, operation: Operation<'_, TextValue, TextRegion>) -> Vec<TextValue> {
        self.indent();
        let number = self.next;
        let results: Vec<TextValue> = match operation.results {
            [] => Vec::new(),
            [ty] => {
                self.put(format_args!("%{number} = "));
                vec![self.value(Name::Only(number), ty)]
            }
            types => {
                self.put(format_args!("%{number}:{} = ", types.len()));
                let named = types.iter().enumerate();
                named.map(|(index, ty)| self.value(Name::OneOf(number, index), ty)).collect()
            }
        };
        self.next += usize::from(!results.is_empty());
        self.put(format_args!("\"{}\"(", operation.name));
        self.put_list(operation.operands, |sink, operand| sink.put_name(sink.values[operand.0].name));
        self.out.push(')');
        if !operation.attrs.is_empty() {
            self.out.push_str(" <{");
            self.put_list(operation.attrs, |sink, (name, attr)| {
                sink.put(format_args!("{name} = "));
                write_attr(&mut sink.out, *attr);
            });
            self.out.push_str("}>");
        }
        if !operation.regions.is_empty() {
            self.out.push_str(" (");
            self.put_list(&operation.regions, |sink, region| {
                sink.out.push_str(&region.0);
            });
            self.out.push(')');
        }
        if !operation.frontend.is_empty() {
            self.out.push_str(" {mhlo.frontend_attributes = {");
            self.put_list(operation.frontend, |sink, (name, value)| {
                sink.put(format_args!("{name} = "));
                put_quoted(&mut sink.out, value);
            });
            self.out.push_str("}}");
        }
        self.out.push_str(" : (");
        self.put_list(operation.operands, |sink, operand| {
            write_type(&mut sink.out, &sink.values[operand.0].ty);
        });
        self.out.push_str(") -> ");
        self.put_results(operation.results);
        self.put_location(operation.location);
        self.out.push('\n');
        results
    }
}
