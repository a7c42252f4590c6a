//! Attributes, types and symbols in MLIR's textual form, which every sink uses.

use natgrad_ir::{CompareOp, TensorType, stablehlo_name};

use super::constant::{put, write_dense};
use super::sink::{Attr, ComparisonType, SliceDims};

/// Writes an attribute in MLIR's textual form.
pub(crate) fn write_attr(out: &mut String, attr: Attr<'_>) {
    match attr {
        Attr::Index(index) => put(out, format_args!("{index} : i64")),
        Attr::Indices([]) => out.push_str("array<i64>"),
        Attr::Indices(indices) => {
            out.push_str("array<i64: ");
            put_list(out, indices, |out, index| put(out, format_args!("{index}")));
            out.push('>');
        }
        Attr::Literal(literal) => {
            write_dense(out, literal);
            out.push_str(" : ");
            write_type(out, &literal.ty);
        }
        Attr::Function(name) => put_symbol(out, name),
        Attr::Direction(compare) => {
            put(out, format_args!("#stablehlo<comparison_direction {}>", direction(compare)));
        }
        Attr::Comparison(comparison) => {
            put(out, format_args!("#stablehlo<comparison_type {}>", comparison_type(comparison)));
        }
        // Of both operands.
        Attr::Precision(name) => {
            put(out, format_args!("[#stablehlo<precision {name}>, #stablehlo<precision {name}>]"));
        }
        Attr::Flag(flag) => put(out, format_args!("{flag}")),
        Attr::Images(spatial) => {
            let window: Vec<String> = (0..spatial).map(|axis| axis.to_string()).collect();
            let window = window.join(", ");
            put(out, format_args!("#stablehlo.conv<[b, {window}, f]x[{window}, i, o]->[b, {window}, f]>"));
        }
        Attr::Padding(low, high) => {
            let pairs: Vec<String> =
                low.iter().zip(high).map(|(low, high)| format!("[{low}, {high}]")).collect();
            put(out, format_args!("dense<[{}]> : tensor<{}x2xi64>", pairs.join(", "), low.len()));
        }
        Attr::Gather(SliceDims { indices, slice }) => {
            let offsets: Vec<usize> = (indices..indices + slice).collect();
            put(
                out,
                format_args!(
                    "#stablehlo.gather<offset_dims = {offsets:?}, collapsed_slice_dims = [0], \
                 start_index_map = [0], index_vector_dim = {indices}>"
                ),
            );
        }
        Attr::Scatter(SliceDims { indices, slice }) => {
            let window: Vec<usize> = (indices..indices + slice).collect();
            put(
                out,
                format_args!(
                    "#stablehlo.scatter<update_window_dims = {window:?}, inserted_window_dims = [0], \
                 scatter_dims_to_operand_dims = [0], index_vector_dim = {indices}>"
                ),
            );
        }
        Attr::LoopFusion => out.push_str("#mhlo<fusion_kind kLoop>"),
        Attr::Philox => out.push_str("#stablehlo<rng_algorithm PHILOX>"),
        Attr::Dot(dims) => {
            let lists = [
                ("lhs_batching_dimensions", &dims.lhs_batch),
                ("rhs_batching_dimensions", &dims.rhs_batch),
                ("lhs_contracting_dimensions", &dims.lhs_contract),
                ("rhs_contracting_dimensions", &dims.rhs_contract),
            ];
            out.push_str("#stablehlo.dot<");
            put_list(out, lists, |out, (name, dims)| put(out, format_args!("{name} = {dims:?}")));
            out.push('>');
        }
    }
}

/// How a direction of comparison is called.
#[cfg(feature = "mlir")]
pub(crate) const DIRECTIONS: [&str; 6] = [
    direction(CompareOp::Eq),
    direction(CompareOp::Ne),
    direction(CompareOp::Lt),
    direction(CompareOp::Le),
    direction(CompareOp::Gt),
    direction(CompareOp::Ge),
];

/// How a type of comparison is called.
#[cfg(feature = "mlir")]
pub(crate) const COMPARISON_TYPES: [&str; 3] = [
    comparison_type(ComparisonType::Float),
    comparison_type(ComparisonType::Signed),
    comparison_type(ComparisonType::Unsigned),
];

const fn comparison_type(comparison: ComparisonType) -> &'static str {
    match comparison {
        ComparisonType::Float => "FLOAT",
        ComparisonType::Signed => "SIGNED",
        ComparisonType::Unsigned => "UNSIGNED",
    }
}

const fn direction(compare: CompareOp) -> &'static str {
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
pub(crate) fn write_type(out: &mut String, ty: &TensorType) {
    out.push_str("tensor<");
    for dim in ty.shape.dims() {
        put(out, format_args!("{dim}x"));
    }
    out.push_str(stablehlo_name(ty.dtype));
    out.push('>');
}

/// `@update`, or `@"a/b"` where the name has more than MLIR's bare symbols may have.
pub(super) fn put_symbol(out: &mut String, name: &str) {
    out.push('@');
    let bare = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '$' | '-'));
    if bare { out.push_str(name) } else { put_quoted(out, name) }
}

pub(super) fn put_quoted(out: &mut String, text: &str) {
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

/// Writes items with commas between them.
fn put_list<T>(out: &mut String, items: impl IntoIterator<Item = T>, mut put: impl FnMut(&mut String, T)) {
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        put(out, item);
    }
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
