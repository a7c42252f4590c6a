//! Laws of the textual form.

use natgrad_ir::testing::{Config, arb_module};
use natgrad_ir::{Builder, DType, Literal, Module, TensorType, text, verify};
use proptest::prelude::*;
use proptest::sample::Index;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parse_inverts_print(module in arb_module(Config::wild())) {
        let printed = text::print(module.module());
        let parsed = text::parse(&printed);
        prop_assert_eq!(parsed.as_ref(), Ok(module.module()), "{}", printed);
        prop_assert!(verify(parsed.unwrap()).is_ok());
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in any::<String>()) {
        no_panic(&text);
    }

    #[test]
    fn any_tokens_are_parsed_or_refused(tokens in prop::collection::vec(token(), 0..60)) {
        no_panic(&tokens.join(" "));
        no_panic(&format!("module @m func @f ( % x {}", tokens.concat()));
        no_panic(&format!("module @m\nfunc @f(%x: f32[2]) -> (f32[2]) {{\n{}\n}}", tokens.join("\n")));
    }

    #[test]
    fn damaged_programs_are_parsed_or_refused(
        module in arb_module(Config::wild()),
        damages in prop::collection::vec((any::<Index>(), 0..6u8, token()), 1..4),
    ) {
        let mut characters: Vec<char> = text::print(module.module()).chars().collect();
        for (index, kind, token) in &damages {
            let at = index.index(characters.len().max(1)).min(characters.len());
            let end = (at + 1).min(characters.len());
            match kind {
                0 => drop(characters.drain(at..end)),
                1 => characters.truncate(at),
                2 => drop(characters.splice(at..at, token.chars())),
                3 => drop(characters.splice(at..end, token.chars())),
                4 => characters.extend_from_within(..at),
                _ => {
                    let line = characters[at..].iter().position(|&c| c == '\n').map_or(characters.len(), |length| at + length);
                    characters.drain(at..line);
                }
            }
        }
        no_panic(&characters.into_iter().collect::<String>());
    }
}

/// Parses; what is accepted must come back when printed, verified or not.
fn no_panic(text: &str) {
    match text::parse(text) {
        Ok(module) => {
            let printed = text::print(&module);
            assert_eq!(text::parse(&printed).as_ref(), Ok(&module), "{printed}");
            let _ = verify(module);
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines = text.split('\n').count();
            assert!(errors.0.iter().all(|error| (1..=lines).contains(&error.line) && error.column >= 1));
        }
    }
}

fn token() -> impl Strategy<Value = String> {
    let tokens = [
        "module",
        "func",
        "return",
        "@m",
        "@\"a b\"",
        "@\"",
        "%x",
        "%0",
        "%1",
        "%18446744073709551616",
        "%",
        "@",
        "#",
        "#1",
        "#99",
        ":",
        "f32[2]",
        "f32",
        "[",
        "]",
        "[]",
        "[0]",
        "[1, 2]",
        "(",
        ")",
        "{",
        "}",
        "=",
        "->",
        "-",
        ",",
        "tanh",
        "add",
        "call",
        "constant",
        "{1.5}",
        "nan",
        "nan(0x7ff8000000000001)",
        "-inf",
        "1e",
        "1e+",
        "-0x1",
        "reduce_sum",
        "dot",
        "{dims = [0]}",
        "batch = [] x []",
        "//",
        ";",
        "\n",
        "\\u{0}",
        "\u{e9}",
        "\u{1F600}",
        "\"",
        "99999999999999999999",
    ];
    prop::sample::select(tokens.map(String::from).to_vec())
}

#[test]
fn an_example_prints_as_ever() {
    let mut module = Module::new("mlp");
    let mut b = Builder::new("layer");
    let x = b.param("x", TensorType::new(DType::F32, [8, 4]));
    let w = b.param("weight", TensorType::new(DType::F32, [4, 3]));
    let bias = b.param("bias", TensorType::new(DType::F32, [3]));
    let y = b.scoped("linear", |b| {
        let product = b.matmul(x, w);
        let bias = b.broadcast(bias, [8, 3], &[1]);
        b.add(product, bias)
    });
    b.name(y, "logits");
    let layer = module.push(b.finish(&[y]).unwrap());

    let mut b = Builder::new("loss");
    let x = b.param("x", TensorType::new(DType::F32, [8, 4]));
    let w = b.param("layers.0/weight", TensorType::new(DType::F32, [4, 3]));
    let labels = b.param("labels", TensorType::new(DType::S32, [8]));
    let bias = b.constant(Literal::dense(DType::F32, [3], &[0.1, -0.0, f64::INFINITY]));
    let logits = b.scoped("layers.0", |b| b.call(&module, layer, &[x, w, bias])[0]);
    let loss = b.scoped("loss", |b| {
        b.scoped("pick", |b| {
            let classes = b.iota(DType::S32, [8, 3], 1);
            let labels = b.broadcast(labels, [8, 3], &[0]);
            let hit = b.compare(natgrad_ir::CompareOp::Eq, classes, labels);
            let zero = b.scalar(DType::F32, 0.0);
            let picked = b.select(hit, logits, zero);
            b.sum(picked, &[0, 1])
        })
    });
    b.name(loss, "loss");
    let column = b.push(
        natgrad_ir::Op::Slice { starts: vec![0, 1], limits: vec![8, 3], strides: vec![2, 1] },
        vec![logits],
        None,
    )[0];
    let late = b.param("scale", TensorType::scalar(DType::F32));
    let padded = b.push(
        natgrad_ir::Op::Pad { low: vec![0, 1], high: vec![0, 0], interior: vec![1, 0] },
        vec![column, late],
        None,
    )[0];
    let loss_function = b.finish(&[loss, padded]).unwrap();
    module.push(loss_function);
    let module = verify(module).unwrap();
    insta::assert_snapshot!(text::print(module.module()));
}
