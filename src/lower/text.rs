//! Writes MLIR text: functions in `func.func`'s own form, operations in MLIR's generic form, one a line.

use std::fmt::Arguments;

use natgrad_ir::{CompareOp, Foreign, TensorType, stablehlo_name};

use super::constant::{put, write_dense};
use super::sink::{Attr, ComparisonType, FuncHeader, Operation, Sink, SliceDims, Visibility};

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
            return put_type(&mut self.out, ty);
        }
        self.out.push('(');
        self.put_list(types, |sink, ty| put_type(&mut sink.out, ty));
        self.out.push(')');
    }

    fn put_attr(&mut self, attr: Attr<'_>) {
        match attr {
            Attr::Index(index) => self.put(format_args!("{index} : i64")),
            Attr::Indices([]) => self.out.push_str("array<i64>"),
            Attr::Indices(indices) => {
                self.out.push_str("array<i64: ");
                self.put_list(indices, |sink, index| sink.put(format_args!("{index}")));
                self.out.push('>');
            }
            Attr::Literal(literal) => {
                write_dense(&mut self.out, literal);
                self.out.push_str(" : ");
                put_type(&mut self.out, &literal.ty);
            }
            Attr::Function(name) => put_symbol(&mut self.out, name),
            Attr::Direction(compare) => {
                self.put(format_args!("#stablehlo<comparison_direction {}>", direction(compare)));
            }
            Attr::Comparison(comparison) => {
                let name = match comparison {
                    ComparisonType::Float => "FLOAT",
                    ComparisonType::Signed => "SIGNED",
                    ComparisonType::Unsigned => "UNSIGNED",
                };
                self.put(format_args!("#stablehlo<comparison_type {name}>"));
            }
            // Of both operands.
            Attr::Precision(name) => {
                self.put(format_args!("[#stablehlo<precision {name}>, #stablehlo<precision {name}>]"));
            }
            Attr::Flag(flag) => self.put(format_args!("{flag}")),
            Attr::Images(spatial) => {
                let window: Vec<String> = (0..spatial).map(|axis| axis.to_string()).collect();
                let window = window.join(", ");
                self.put(format_args!(
                    "#stablehlo.conv<[b, {window}, f]x[{window}, i, o]->[b, {window}, f]>"
                ));
            }
            Attr::Padding(low, high) => {
                let pairs: Vec<String> =
                    low.iter().zip(high).map(|(low, high)| format!("[{low}, {high}]")).collect();
                self.put(format_args!("dense<[{}]> : tensor<{}x2xi64>", pairs.join(", "), low.len()));
            }
            Attr::Gather(SliceDims { indices, slice }) => {
                let offsets: Vec<usize> = (indices..indices + slice).collect();
                self.put(format_args!(
                    "#stablehlo.gather<offset_dims = {offsets:?}, collapsed_slice_dims = [0], \
                     start_index_map = [0], index_vector_dim = {indices}>"
                ));
            }
            Attr::Scatter(SliceDims { indices, slice }) => {
                let window: Vec<usize> = (indices..indices + slice).collect();
                self.put(format_args!(
                    "#stablehlo.scatter<update_window_dims = {window:?}, inserted_window_dims = [0], \
                     scatter_dims_to_operand_dims = [0], index_vector_dim = {indices}>"
                ));
            }
            Attr::LoopFusion => self.out.push_str("#mhlo<fusion_kind kLoop>"),
            Attr::Philox => self.out.push_str("#stablehlo<rng_algorithm PHILOX>"),
            Attr::Dot(dims) => {
                let lists = [
                    ("lhs_batching_dimensions", &dims.lhs_batch),
                    ("rhs_batching_dimensions", &dims.rhs_batch),
                    ("lhs_contracting_dimensions", &dims.lhs_contract),
                    ("rhs_contracting_dimensions", &dims.rhs_contract),
                ];
                self.out.push_str("#stablehlo.dot<");
                self.put_list(lists, |sink, (name, dims)| sink.put(format_args!("{name} = {dims:?}")));
                self.out.push('>');
            }
        }
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
            put_type(&mut self.out, param.ty);
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
            put_type(&mut self.out, ty);
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
                sink.put_attr(*attr);
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
            put_type(&mut sink.out, &sink.values[operand.0].ty);
        });
        self.out.push_str(") -> ");
        self.put_results(operation.results);
        self.put_location(operation.location);
        self.out.push('\n');
        results
    }
}

fn direction(compare: CompareOp) -> &'static str {
    match compare {
        CompareOp::Eq => "EQ",
        CompareOp::Ne => "NE",
        CompareOp::Lt => "LT",
        CompareOp::Le => "LE",
        CompareOp::Gt => "GT",
        CompareOp::Ge => "GE",
    }
}

/// `tensor<50x784xf32>`.
fn put_type(out: &mut String, ty: &TensorType) {
    out.push_str("tensor<");
    for dim in ty.shape.dims() {
        put(out, format_args!("{dim}x"));
    }
    out.push_str(stablehlo_name(ty.dtype));
    out.push('>');
}

/// `@update`, or `@"a/b"` where the name has more than MLIR's bare symbols may have.
fn put_symbol(out: &mut String, name: &str) {
    out.push('@');
    let bare = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '-'));
    if bare { out.push_str(name) } else { put_quoted(out, name) }
}

fn put_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    put(out, format_args!("\\{byte:02X}"));
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_quoted_where_they_must_be() {
        let symbol = |name| {
            let mut out = String::new();
            put_symbol(&mut out, name);
            out
        };
        assert_eq!(symbol("update.2"), "@update.2");
        assert_eq!(symbol("layers/0"), "@\"layers/0\"");
        assert_eq!(symbol("2nd"), "@\"2nd\"");
        assert_eq!(symbol(".x"), "@\".x\"");
        assert_eq!(symbol("a \"b\"\\\n"), "@\"a \\\"b\\\"\\\\\\0A\"");
    }
}
