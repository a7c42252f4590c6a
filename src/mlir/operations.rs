//! The StableHLO operations that natgrad writes, and those of its own IR, as dynamic dialects: MLIR's verifier checks their
//! operands, results, attributes and regions by them.
//!
//! A dialect in IRDL gives each operation a number of operands, results and regions, and constraints: variables that
//! are types or attributes, of which one that comes again must be the same. It can say neither that the types of a
//! list differ, nor what the shapes of a product are, nor that an operation ends a block. Those are in
//! [`check`](super::check).

use std::borrow::Cow;
use std::fmt::Write;

use natgrad_ir::{BinaryOp, UnaryOp};

use super::dialect;
use crate::lower::{COMPARISON_TYPES, DIRECTIONS, binary_name, unary_name};

/// What an attribute may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// An integer or a truth value.
    Integer,
    /// Integers.
    Integers,
    /// Lists of integers.
    Lists,
    /// A constant tensor.
    Constant,
    /// One of the names that an attribute `#stablehlo<prefix NAME>` takes.
    Name { prefix: &'static str, names: &'static [&'static str] },
    /// Dimension numbers, whose inside MLIR does not know.
    Opaque,
}

/// An attribute of an operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attribute {
    pub name: &'static str,
    pub kind: Kind,
    /// Whether StableHLO wants it. MLIR checks those only, as IRDL knows no attributes that may be missing.
    pub required: bool,
}

/// An operation. Operands, results and the arguments of regions are variables: the same name is the same type. A star is
/// for any number of them, all of one type.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    /// With its dialect in front.
    pub name: Cow<'static, str>,
    pub operands: &'static [&'static str],
    pub results: &'static [&'static str],
    pub attributes: Cow<'static, [Attribute]>,
    pub regions: &'static [&'static [&'static str]],
}

pub(super) const fn required(name: &'static str, kind: Kind) -> Attribute {
    Attribute { name, kind, required: true }
}

const fn optional(name: &'static str, kind: Kind) -> Attribute {
    Attribute { name, kind, required: false }
}

const fn plain(
    name: &'static str,
    operands: &'static [&'static str],
    results: &'static [&'static str],
    attributes: &'static [Attribute],
) -> Operation {
    let (name, attributes) = (Cow::Borrowed(name), Cow::Borrowed(attributes));
    Operation { name, operands, results, attributes, regions: &[] }
}

/// All but those that work element by element.
const OTHERS: [Operation; 18] = [
    plain("stablehlo.constant", &[], &["r"], &[required("value", Kind::Constant)]),
    plain("stablehlo.iota", &[], &["r"], &[required("iota_dimension", Kind::Integer)]),
    plain(
        "stablehlo.compare",
        &["t", "t"],
        &["r"],
        &[
            required(
                "comparison_direction",
                Kind::Name { prefix: "comparison_direction", names: &DIRECTIONS },
            ),
            optional("compare_type", Kind::Name { prefix: "comparison_type", names: &COMPARISON_TYPES }),
        ],
    ),
    plain("stablehlo.select", &["p", "t", "t"], &["t"], &[]),
    plain("stablehlo.convert", &["t"], &["r"], &[]),
    plain("stablehlo.broadcast_in_dim", &["t"], &["r"], &[required("broadcast_dimensions", Kind::Integers)]),
    plain("stablehlo.reshape", &["t"], &["r"], &[]),
    plain("stablehlo.transpose", &["t"], &["r"], &[required("permutation", Kind::Integers)]),
    plain(
        "stablehlo.slice",
        &["t"],
        &["r"],
        &[
            required("start_indices", Kind::Integers),
            required("limit_indices", Kind::Integers),
            required("strides", Kind::Integers),
        ],
    ),
    plain(
        "stablehlo.pad",
        &["t", "s"],
        &["r"],
        &[
            required("edge_padding_low", Kind::Integers),
            required("edge_padding_high", Kind::Integers),
            required("interior_padding", Kind::Integers),
        ],
    ),
    plain("stablehlo.reverse", &["t"], &["t"], &[required("dimensions", Kind::Integers)]),
    plain("stablehlo.dynamic_slice", &["t", "i*"], &["r"], &[required("slice_sizes", Kind::Integers)]),
    plain(
        "stablehlo.dot_general",
        &["l", "k"],
        &["r"],
        &[required("dot_dimension_numbers", Kind::Opaque), optional("precision_config", Kind::Opaque)],
    ),
    plain(
        "stablehlo.convolution",
        &["l", "k"],
        &["r"],
        &[
            optional("window_strides", Kind::Integers),
            optional("padding", Kind::Constant),
            optional("lhs_dilation", Kind::Integers),
            optional("rhs_dilation", Kind::Integers),
            required("dimension_numbers", Kind::Opaque),
            required("feature_group_count", Kind::Integer),
            required("batch_group_count", Kind::Integer),
            optional("precision_config", Kind::Opaque),
        ],
    ),
    plain(
        "stablehlo.gather",
        &["t", "i"],
        &["r"],
        &[
            required("dimension_numbers", Kind::Opaque),
            required("slice_sizes", Kind::Integers),
            optional("indices_are_sorted", Kind::Integer),
        ],
    ),
    Operation {
        name: Cow::Borrowed("stablehlo.scatter"),
        operands: &["t", "i", "u"],
        results: &["t"],
        attributes: Cow::Borrowed(&[
            required("scatter_dimension_numbers", Kind::Opaque),
            optional("indices_are_sorted", Kind::Integer),
            optional("unique_indices", Kind::Integer),
        ]),
        regions: &[&["s", "s"]],
    },
    Operation {
        name: Cow::Borrowed("stablehlo.reduce"),
        operands: &["t", "s"],
        results: &["r"],
        attributes: Cow::Borrowed(&[required("dimensions", Kind::Integers)]),
        regions: &[&["s", "s"]],
    },
    plain(
        "stablehlo.rng_bit_generator",
        &["t"],
        &["t", "r"],
        &[required(
            "rng_algorithm",
            Kind::Name { prefix: "rng_algorithm", names: &["DEFAULT", "PHILOX", "THREE_FRY"] },
        )],
    ),
];

/// The operation by which a program calls code that is not its own.
pub(super) const CALL: &str = "stablehlo.custom_call";

/// Operations whose operands differ in type, or that end a block: MLIR knows their values, and natgrad checks their types.
pub(super) const OPEN: [&str; 9] = [
    "stablehlo.concatenate",
    "stablehlo.while",
    CALL,
    "stablehlo.optimization_barrier",
    "stablehlo.return",
    "mhlo.fusion",
    "mhlo.return",
    "natgrad.concat",
    "natgrad.loop",
];

/// Every operation that MLIR checks.
pub(super) fn all() -> Vec<Operation> {
    let unary = UnaryOp::ALL.iter().map(|&op| plain(unary_name(op), &["t"], &["t"], &[]));
    let binary = BinaryOp::ALL.iter().map(|&op| plain(binary_name(op), &["t", "t"], &["t"], &[]));
    unary.chain(binary).chain(OTHERS).chain(dialect::operations()).collect()
}

/// The dialects of the operations, as a module of IRDL.
pub(super) fn irdl(operations: &[Operation]) -> String {
    let mut dialects: Vec<&str> = operations.iter().map(|operation| parts(&operation.name).0).collect();
    dialects.sort_unstable();
    dialects.dedup();
    let mut out = String::from("module {\n");
    for dialect in dialects {
        line(&mut out, format_args!("irdl.dialect @{dialect} {{"));
        for operation in operations.iter().filter(|operation| parts(&operation.name).0 == dialect) {
            write_operation(&mut out, operation);
        }
        out.push_str("}\n");
    }
    out + "}\n"
}

/// The dialect and the rest of an operation's name.
fn parts(name: &str) -> (&str, &str) {
    name.split_once('.').unwrap_or(("builtin", name))
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = writeln!(out, "{text}");
    debug_assert!(written.is_ok(), "writing to a string cannot fail");
}

fn write_operation(out: &mut String, operation: &Operation) {
    line(out, format_args!("  irdl.operation @{} {{", parts(&operation.name).1));
    let inside = operation.regions.iter().copied().flatten();
    let mut variables: Vec<&str> =
        operation.operands.iter().chain(operation.results).chain(inside).map(|of| bare(of)).collect();
    variables.sort_unstable();
    variables.dedup();
    for variable in variables {
        line(out, format_args!("    %{variable} = irdl.base \"!builtin.tensor\""));
    }
    for (what, list) in [("operands", operation.operands), ("results", operation.results)] {
        if !list.is_empty() {
            let list: Vec<String> =
                list.iter().enumerate().map(|(at, of)| value(&what[..what.len() - 1], at, of)).collect();
            line(out, format_args!("    irdl.{what}({})", list.join(", ")));
        }
    }
    let mut entries = Vec::new();
    for (at, attribute) in operation.attributes.iter().filter(|attribute| attribute.required).enumerate() {
        constraint(out, at, attribute.kind);
        entries.push(format!("\"{}\" = %a{at}", attribute.name));
    }
    if !entries.is_empty() {
        line(out, format_args!("    irdl.attributes {{{}}}", entries.join(", ")));
    }
    let mut regions = Vec::new();
    for (at, arguments) in operation.regions.iter().enumerate() {
        let arguments: Vec<String> = arguments.iter().map(|of| format!("%{of}")).collect();
        line(out, format_args!("    %body{at} = irdl.region({}) with size 1", arguments.join(", ")));
        regions.push(format!("body{at}: %body{at}"));
    }
    if !regions.is_empty() {
        line(out, format_args!("    irdl.regions({})", regions.join(", ")));
    }
    out.push_str("  }\n");
}

fn bare(variable: &str) -> &str {
    variable.trim_end_matches('*')
}

/// The name, number and constraint of an operand or a result.
fn value(what: &str, at: usize, variable: &str) -> String {
    let many = if variable.ends_with('*') { "variadic " } else { "" };
    format!("{what}{at}: {many}%{}", bare(variable))
}

fn constraint(out: &mut String, at: usize, kind: Kind) {
    let any: Vec<String> = match kind {
        Kind::Integer => vec!["base \"#builtin.integer\"".to_owned()],
        Kind::Integers => vec!["base \"#builtin.dense_array\"".to_owned()],
        Kind::Lists => vec!["base \"#builtin.array\"".to_owned()],
        Kind::Opaque => vec!["base \"#builtin.string\"".to_owned()],
        // The second is how others may write large ones.
        Kind::Constant => {
            ["int_or_fp", "resource"].map(|of| format!("base \"#builtin.dense_{of}_elements\"")).to_vec()
        }
        Kind::Name { prefix, names } => {
            names.iter().map(|name| format!("is \"#stablehlo<{prefix} {name}>\"")).collect()
        }
    };
    let mut found = Vec::new();
    for (number, constraint) in any.iter().enumerate() {
        line(out, format_args!("    %a{at}_{number} = irdl.{constraint}"));
        found.push(format!("%a{at}_{number}"));
    }
    line(out, format_args!("    %a{at} = irdl.any_of({})", found.join(", ")));
}
