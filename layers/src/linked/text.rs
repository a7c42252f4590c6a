//! StableHLO text from elsewhere, made ready to stand beside other functions in one module.
//!
//! Symbols and location aliases get a prefix, every function becomes private, and the definitions of locations are taken
//! out, as MLIR wants those before what refers to them. Operations are not looked into, so every one that XLA knows works.

use std::collections::HashSet;
use std::ops::Range;

use natgrad_ir::TensorType;

use super::adapt::adapt;
use super::generic::Operation;
use super::signature::of_main;

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

/// The symbols of a text that is made ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Symbols {
    /// Those that it came with.
    Own,
    /// They begin with the prefix already.
    Renamed,
}

/// Makes a module's text ready; what it defines then has names that begin with `prefix`.
pub(super) fn prepare(source: &str, prefix: &str, symbols: Symbols) -> Result<Prepared, String> {
    if source.trim().is_empty() {
        return Err("the file is empty".to_string());
    }
    let tokens = tokens(source)?;
    let (aliases, module) = split(source, &tokens)?;
    let names: HashSet<&str> = aliases.iter().map(|alias| alias.name).collect();
    let mut writer = Writer { source, prefix, symbols, names, custom_calls: Vec::new() };
    let locations =
        aliases.iter().map(|alias| writer.rewrite(&tokens[alias.tokens.clone()]) + "\n").collect();
    let body = &tokens[module];
    let symbol = format!("{prefix}.main");
    let main = if symbols == Symbols::Own { "main" } else { &symbol };
    let (params, results) = of_main(source, body, main)?;
    let text = writer.rewrite(body) + "\n";
    let custom_calls = writer.custom_calls;
    Ok(adapt(Prepared { locations, text, symbol, params, results, custom_calls }, prefix))
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
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
pub(super) struct Token {
    pub kind: Kind,
    pub at: Range<usize>,
}

impl Token {
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
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

/// A module's name in the generic form.
const GENERIC_MODULE: &str = "\"builtin.module\"";

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
                    || matches!(tokens[next].text(source), "module" | GENERIC_MODULE)
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
        } else if text == GENERIC_MODULE && module.is_none() {
            let operation = Operation::at(source, tokens, at).ok_or_else(|| {
                format!("the module on line {} has no body in braces", line(source, token.at.start))
            })?;
            module = Some(operation.region);
            at = operation.end;
        } else {
            let found = text.chars().take(40).collect::<String>();
            return Err(format!(
                "line {} has `{found}` where a module is wanted, as `module @name {{ ... }}`: StableHLO as text, one module",
                line(source, token.at.start)
            ));
        }
    }
    Ok((aliases, module.ok_or("there is no module")?))
}

/// Where the bracket that opens here is closed. Brackets match.
pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
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
    symbols: Symbols,
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
            let renames = self.symbols == Symbols::Own;
            match token.kind {
                // A custom call's target looks like a symbol, but is a name that XLA knows.
                Kind::Symbol if before(1).ends_with("custom_call") => {
                    self.call(text[1..].trim_matches('"'));
                    out.push_str(text);
                }
                Kind::Symbol if renames => match text[1..].strip_prefix('"') {
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
                Kind::Text if renames && before(1) == "=" && before(2) == "sym_name" => {
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
