//! The parameters and results of the function `main`.

use natgrad_ir::TensorType;

use super::adapt::in_ir;
use super::generic::Operation;
use super::text::{Kind, Port, Token, closing};

/// The parameters and results of the function `main`, whose symbol is this one.
pub(super) fn of_main(source: &str, body: &[Token], symbol: &str) -> Result<(Vec<Port>, Vec<Port>), String> {
    for (at, token) in body.iter().enumerate() {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| body[at].text(source));
        match token.text(source) {
            name if name.strip_prefix('@') == Some(symbol)
                && (before(1) == "func.func" || before(2) == "func.func") =>
            {
                return pretty(source, &body[at + 1..]);
            }
            "\"func.func\"" => {
                if let Some(function) = Operation::at(source, body, at)
                    && function.symbol(source) == Some(symbol)
                {
                    return function.signature(source);
                }
            }
            _ => {}
        }
    }
    Err("the module has no function `main`".to_string())
}

/// The same of the function whose symbol is before these tokens.
fn pretty(source: &str, tokens: &[Token]) -> Result<(Vec<Port>, Vec<Port>), String> {
    let is = |at: usize, mark: u8| tokens.get(at).is_some_and(|token| token.kind == Kind::Mark(mark));
    let odd = || "the signature of `main` cannot be read".to_string();
    if !is(0, b'(') {
        return Err(odd());
    }
    let end = closing(tokens, 0);
    let params = ports(source, &tokens[1..end])?;
    if tokens.get(end + 1).map(|token| token.kind) != Some(Kind::Arrow) {
        return Ok((params, Vec::new()));
    }
    let results = if is(end + 2, b'(') {
        ports(source, &tokens[end + 3..closing(tokens, end + 2)])?
    } else {
        // One type without attributes, before the body.
        let length = tokens[end + 2..].iter().take_while(|token| token.kind != Kind::Mark(b'{')).count();
        ports(source, &tokens[end + 2..end + 2 + length])?
    };
    Ok((params, results))
}

/// The parameters or results between two parentheses.
pub(super) fn ports(source: &str, tokens: &[Token]) -> Result<Vec<Port>, String> {
    parts(tokens).into_iter().map(|part| port(source, part)).collect()
}

/// What commas divide, outside of brackets.
pub(super) fn parts(tokens: &[Token]) -> Vec<&[Token]> {
    let (mut found, mut depth, mut begin) = (Vec::new(), 0_i32, 0);
    for at in 0..=tokens.len() {
        match tokens.get(at).map(|token| token.kind) {
            Some(Kind::Mark(b'(' | b'[' | b'{' | b'<')) => depth += 1,
            Some(Kind::Mark(b')' | b']' | b'}' | b'>')) => depth -= 1,
            Some(Kind::Mark(b',')) | None if depth == 0 => {
                if at > begin {
                    found.push(&tokens[begin..at]);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// The attribute `natgrad.name` among the tokens.
pub(super) fn name(source: &str, tokens: &[Token]) -> Option<String> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text(source));
    let at = (0..tokens.len()).find(|&at| text(at) == "natgrad.name" && text(at + 1) == "=")?;
    Some(text(at + 2).trim_matches('"').to_string())
}

fn port(source: &str, tokens: &[Token]) -> Result<Port, String> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text(source));
    let at = (0..tokens.len()).find(|&at| text(at) == "tensor" && text(at + 1) == "<");
    let name = name(source, tokens);
    let shown = || {
        let all = tokens.first().zip(tokens.last()).map(|(first, last)| &source[first.at.start..last.at.end]);
        all.unwrap_or_default().chars().take(60).collect::<String>()
    };
    let at = at.ok_or_else(|| format!("`main` has `{}`, which is no tensor of known sizes", shown()))?;
    let inside: String = (at + 2..).map(text).take_while(|&text| text != ">" && !text.is_empty()).collect();
    let ty = tensor_type(&inside).ok_or_else(|| {
        format!("`main` has `{}`, but tensors must have known sizes and elements of {TYPES}", shown())
    })?;
    Ok(Port { name, ty, written: inside })
}

/// The types of elements, as errors name them.
pub(super) const TYPES: &str = "f64, f32, bf16, f16, i1, i8, i16, i32, i64, ui8, ui16, ui32 or ui64";

/// What is in the brackets of `tensor<4x8xf32>`.
fn tensor_type(inside: &str) -> Option<TensorType> {
    let mut parts: Vec<&str> = inside.split('x').collect();
    let dtype = in_ir(parts.pop()?)?;
    let dims = parts.into_iter().map(|dim| dim.parse().ok()).collect::<Option<Vec<usize>>>()?;
    Some(TensorType::new(dtype, dims.as_slice()))
}
