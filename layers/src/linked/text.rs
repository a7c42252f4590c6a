//! StableHLO text from elsewhere, made ready to stand beside other functions in one module.
//!
//! Symbols and location aliases get a prefix, every function becomes private, and the definitions of locations are taken
//! out, as MLIR wants those before what refers to them. Operations are not looked into, so every one that XLA knows works.

use std::collections::HashSet;
use std::ops::Range;

use natgrad_ir::TensorType;

use super::adapt::{adapt, in_ir};

/// A module whose text was made ready.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Prepared {
    /// Definitions of aliases, a line each.
    pub locations: String,
    /// The functions and other symbols.
    pub text: String,
    /// The symbol of the function that was `main`.
    pub symbol: String,
    /// The parameters of `main`.
    pub params: Vec<Port>,
    /// Its results.
    pub results: Vec<Port>,
    /// The targets of custom calls, in order, each once.
    pub custom_calls: Vec<String>,
}

/// A parameter or a result of `main`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Port {
    /// Its attribute `natgrad.name`.
    pub name: Option<String>,
    /// Its type, or the one that stands for it in the IR.
    pub ty: TensorType,
    /// What is in the brackets of its type.
    pub written: String,
}

/// Makes a module's text ready; what it defines then has names that begin with `prefix`.
pub(super) fn prepare(source: &str, prefix: &str) -> Result<Prepared, String> {
    if source.trim().is_empty() {
        return Err("the file is empty".to_string());
    }
    let tokens = tokens(source)?;
    let (aliases, module) = split(source, &tokens)?;
    let names: HashSet<&str> = aliases.iter().map(|alias| alias.name).collect();
    let mut writer = Writer { source, prefix, names, custom_calls: Vec::new() };
    let locations =
        aliases.iter().map(|alias| writer.rewrite(&tokens[alias.tokens.clone()]) + "\n").collect();
    let body = &tokens[module];
    let main = main_at(source, body)?;
    let (params, results) = signature(source, &body[main + 1..])?;
    let text = writer.rewrite(body) + "\n";
    let custom_calls = writer.custom_calls;
    let symbol = format!("{prefix}.main");
    Ok(adapt(Prepared { locations, text, symbol, params, results, custom_calls }, prefix))
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `"text"`.
    Text,
    /// `@name` or `@"name"`.
    Symbol,
    /// `#name`.
    Alias,
    /// `->`, of which `>` closes nothing.
    Arrow,
    /// A word, a number, a value's name.
    Word,
    /// One character.
    Mark(u8),
}

#[derive(Clone, Debug)]
struct Token {
    kind: Kind,
    at: Range<usize>,
}

impl Token {
    fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.at.clone()]
    }
}

/// The tokens of a text, without what is between them; brackets match.
fn tokens(source: &str) -> Result<Vec<Token>, String> {
    let bytes = source.as_bytes();
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'$' | b'%' | b'!');
    let end_of_word = |from: usize| {
        let more = bytes[from..].iter().take_while(|&&byte| is_word(byte) || !byte.is_ascii()).count();
        from + more
    };
    let (mut found, mut open, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(&byte) = bytes.get(at) {
        let begin = at;
        let kind = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().take_while(|&&byte| byte != b'\n').count();
                continue;
            }
            b'"' => {
                at = end_of_string(bytes, at)?;
                Kind::Text
            }
            b'@' if bytes.get(at + 1) == Some(&b'"') => {
                at = end_of_string(bytes, at + 1)?;
                Kind::Symbol
            }
            b'@' | b'#' => {
                at = end_of_word(at + 1);
                // Symbols may have dashes.
                while byte == b'@' && bytes.get(at) == Some(&b'-') {
                    at = end_of_word(at + 1);
                }
                if byte == b'@' { Kind::Symbol } else { Kind::Alias }
            }
            b'-' if bytes.get(at + 1) == Some(&b'>') => {
                at += 2;
                Kind::Arrow
            }
            byte if is_word(byte) || !byte.is_ascii() => {
                at = end_of_word(at);
                Kind::Word
            }
            byte => {
                at += 1;
                match byte {
                    b'(' | b'[' | b'{' => open.push(byte),
                    b')' | b']' | b'}' => {
                        let wanted = match byte {
                            b')' => b'(',
                            b']' => b'[',
                            _ => b'{',
                        };
                        if open.pop() != Some(wanted) {
                            return Err(format!(
                                "`{}` on line {} closes nothing",
                                byte as char,
                                line(source, begin)
                            ));
                        }
                    }
                    _ => {}
                }
                Kind::Mark(byte)
            }
        };
        found.push(Token { kind, at: begin..at });
    }
    match open.last() {
        Some(&open) => Err(format!("the text is cut off: a `{}` is not closed", open as char)),
        None => Ok(found),
    }
}

fn line(source: &str, at: usize) -> usize {
    source.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
}

/// The end of the string that begins here with a quotation mark.
fn end_of_string(bytes: &[u8], begin: usize) -> Result<usize, String> {
    let mut at = begin + 1;
    loop {
        match bytes.get(at) {
            None => return Err("the text is cut off: a string has no end".to_string()),
            Some(b'\\') => at += 2,
            Some(b'"') => return Ok(at + 1),
            Some(_) => at += 1,
        }
    }
}

/// The definition of an alias.
struct Alias<'a> {
    /// With its `#`.
    name: &'a str,
    tokens: Range<usize>,
}

/// The definitions of aliases, and which tokens are inside the module's braces.
fn split<'a>(source: &'a str, tokens: &[Token]) -> Result<(Vec<Alias<'a>>, Range<usize>), String> {
    let is = |at: usize, mark: u8| tokens.get(at).is_some_and(|token| token.kind == Kind::Mark(mark));
    let (mut aliases, mut module, mut at) = (Vec::new(), None, 0);
    while let Some(token) = tokens.get(at) {
        let text = token.text(source);
        if token.kind == Kind::Alias && is(at + 1, b'=') {
            let starts = |next: usize| {
                is(next + 1, b'=') && tokens[next].kind == Kind::Alias
                    || tokens[next].text(source) == "module"
            };
            let mut depth = 0_i32;
            let mut end = at + 2;
            while end < tokens.len() && !(depth == 0 && end > at + 2 && starts(end)) {
                depth += match tokens[end].kind {
                    Kind::Mark(b'(' | b'[' | b'{' | b'<') => 1,
                    Kind::Mark(b')' | b']' | b'}' | b'>') => -1,
                    _ => 0,
                };
                end += 1;
            }
            aliases.push(Alias { name: text, tokens: at..end });
            at = end;
        } else if text == "module" && module.is_none() {
            let mut open = at + 1;
            if tokens.get(open).is_some_and(|token| token.kind == Kind::Symbol) {
                open += 1;
            }
            if tokens.get(open).is_some_and(|token| token.text(source) == "attributes") && is(open + 1, b'{')
            {
                open = closing(tokens, open + 1) + 1;
            }
            if !is(open, b'{') {
                return Err(format!(
                    "the module on line {} has no body in braces",
                    line(source, token.at.start)
                ));
            }
            let end = closing(tokens, open);
            module = Some(open + 1..end);
            at = end + 1;
            // The module's own location.
            if tokens.get(at).is_some_and(|token| token.text(source) == "loc") && is(at + 1, b'(') {
                at = closing(tokens, at + 1) + 1;
            }
        } else {
            let found = text.chars().take(40).collect::<String>();
            return Err(format!(
                "line {} has `{found}` where a module is wanted, as `module @name {{ ... }}`: StableHLO text in MLIR's \
                 pretty form, one module",
                line(source, token.at.start)
            ));
        }
    }
    Ok((aliases, module.ok_or("there is no module")?))
}

/// Where the bracket that opens here is closed. Brackets match.
fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.kind {
            Kind::Mark(b'(' | b'[' | b'{') => depth += 1,
            Kind::Mark(b')' | b']' | b'}') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

/// Writes tokens with what is between them, under other names.
struct Writer<'a> {
    source: &'a str,
    prefix: &'a str,
    names: HashSet<&'a str>,
    custom_calls: Vec<String>,
}

impl Writer<'_> {
    fn rewrite(&mut self, tokens: &[Token]) -> String {
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { return String::new() };
        let mut out = String::with_capacity(last.at.end - first.at.start + tokens.len());
        let mut written = first.at.start;
        for (index, token) in tokens.iter().enumerate() {
            let text = token.text(self.source);
            let before = |back: usize| {
                index
                    .checked_sub(back)
                    .and_then(|at| tokens.get(at))
                    .map_or("", |token| token.text(self.source))
            };
            out.push_str(&self.source[written..token.at.start]);
            written = token.at.end;
            match token.kind {
                // A custom call's target looks like a symbol, but is a name that XLA knows.
                Kind::Symbol if before(1).ends_with("custom_call") => {
                    self.call(text[1..].trim_matches('"'));
                    out.push_str(text);
                }
                Kind::Symbol => match text[1..].strip_prefix('"') {
                    Some(name) => out.push_str(&format!("@\"{}.{name}", self.prefix)),
                    None => out.push_str(&format!("@{}.{}", self.prefix, &text[1..])),
                },
                Kind::Alias if self.names.contains(text) => {
                    out.push_str(&format!("#{}_{}", self.prefix.replace('.', "_"), &text[1..]));
                }
                Kind::Text if before(1) == "=" && before(2) == "call_target_name" => {
                    self.call(text.trim_matches('"'));
                    out.push_str(text);
                }
                // Of symbols in the generic form.
                Kind::Text if before(1) == "=" && before(2) == "sym_name" => {
                    out.push_str(&format!("\"{}.{}", self.prefix, &text[1..]));
                }
                Kind::Text if before(1) == "=" && before(2) == "sym_visibility" => {
                    out.push_str("\"private\"")
                }
                Kind::Word if text == "public" && before(1) == "func.func" => out.push_str("private"),
                _ => out.push_str(text),
            }
        }
        out
    }

    fn call(&mut self, target: &str) {
        if !self.custom_calls.iter().any(|known| known == target) {
            self.custom_calls.push(target.to_string());
        }
    }
}

/// Where the symbol of the function `main` is.
fn main_at(source: &str, body: &[Token]) -> Result<usize, String> {
    let is_main = |at: &usize| {
        let before = |back: usize| at.checked_sub(back).map_or("", |at| body[at].text(source));
        body[*at].text(source) == "@main" && (before(1) == "func.func" || before(2) == "func.func")
    };
    (0..body.len()).find(is_main).ok_or_else(|| "the module has no function `main`".to_string())
}

/// The parameters and results of the function whose symbol is before these tokens.
fn signature(source: &str, tokens: &[Token]) -> Result<(Vec<Port>, Vec<Port>), String> {
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
fn ports(source: &str, tokens: &[Token]) -> Result<Vec<Port>, String> {
    let (mut found, mut depth, mut begin) = (Vec::new(), 0_i32, 0);
    for at in 0..=tokens.len() {
        match tokens.get(at).map(|token| token.kind) {
            Some(Kind::Mark(b'(' | b'[' | b'{' | b'<')) => depth += 1,
            Some(Kind::Mark(b')' | b']' | b'}' | b'>')) => depth -= 1,
            Some(Kind::Mark(b',')) | None if depth == 0 => {
                if at > begin {
                    found.push(port(source, &tokens[begin..at])?);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
    Ok(found)
}

fn port(source: &str, tokens: &[Token]) -> Result<Port, String> {
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text(source));
    let at = (0..tokens.len()).find(|&at| text(at) == "tensor" && text(at + 1) == "<");
    let name = (0..tokens.len())
        .find(|&at| text(at) == "natgrad.name" && text(at + 1) == "=")
        .map(|at| text(at + 2).trim_matches('"').to_string());
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
