//! Modules and functions in MLIR's generic form, such as `"func.func"() <{sym_name = "main"}> ({ ... }) : () -> ()`.

use super::signature::{name, parts, ports};
use super::text::{Kind, Port, Token, closing};

/// The tokens of an operation of the generic form without operands.
pub(super) struct Operation<'a> {
    /// What its dictionaries say.
    entries: Vec<Entry<'a>>,
    /// What is inside its region.
    pub region: std::ops::Range<usize>,
    /// After its type and location.
    pub end: usize,
}

/// A name and a value in a dictionary.
struct Entry<'a> {
    name: &'a str,
    value: &'a [Token],
}

impl<'a> Operation<'a> {
    /// The operation whose name is at `at`, if it has the form.
    pub fn at(source: &'a str, tokens: &'a [Token], at: usize) -> Option<Operation<'a>> {
        let is = |at: usize, mark: u8| tokens.get(at).is_some_and(|token| token.kind == Kind::Mark(mark));
        let mut entries = Vec::new();
        let mut next = at + 1;
        if !(is(next, b'(') && is(next + 1, b')')) {
            return None;
        }
        next += 2;
        if is(next, b'<') && is(next + 1, b'{') {
            let end = closing(tokens, next + 1);
            entries.extend(dictionary(source, &tokens[next + 2..end]));
            next = end + 2;
        }
        if !(is(next, b'(') && is(next + 1, b'{')) {
            return None;
        }
        let region = next + 2..closing(tokens, next + 1);
        next = closing(tokens, next) + 1;
        // Before there were properties, everything was here.
        if is(next, b'{') {
            let end = closing(tokens, next);
            entries.extend(dictionary(source, &tokens[next + 1..end]));
            next = end + 1;
        }
        // `: () -> ()`
        if !is(next, b':') {
            return None;
        }
        next += 6;
        if tokens.get(next).is_some_and(|token| token.text(source) == "loc") && is(next + 1, b'(') {
            next = closing(tokens, next + 1) + 1;
        }
        Some(Operation { entries, region, end: next })
    }

    fn value(&self, name: &str) -> Option<&'a [Token]> {
        self.entries.iter().find(|entry| entry.name == name).map(|entry| entry.value)
    }

    /// The symbol that it defines.
    pub fn symbol(&self, source: &'a str) -> Option<&'a str> {
        Some(self.value("sym_name")?.first()?.text(source).trim_matches('"'))
    }

    /// The parameters and results of a function.
    pub fn signature(&self, source: &str) -> Result<(Vec<Port>, Vec<Port>), String> {
        let odd = || "the `function_type` of `main` cannot be read".to_string();
        let ty = self.value("function_type").ok_or_else(odd)?;
        if ty.first().map(|token| token.kind) != Some(Kind::Mark(b'(')) {
            return Err(odd());
        }
        let end = closing(ty, 0);
        let params = ty.get(1..end).ok_or_else(odd)?;
        let results = ty.get(end + 2..).ok_or_else(odd)?;
        let results = match results.first().map(|token| token.kind) {
            Some(Kind::Mark(b'(')) => &results[1..closing(results, 0)],
            _ => results,
        };
        Ok((self.named(source, params, "arg_attrs")?, self.named(source, results, "res_attrs")?))
    }

    /// The ports of types, with the names that a list of dictionaries gives them.
    fn named(&self, source: &str, types: &[Token], attributes: &str) -> Result<Vec<Port>, String> {
        let mut found = ports(source, types)?;
        let list = self.value(attributes).filter(|list| list.len() >= 2);
        let lists = list.map(|list| parts(&list[1..list.len() - 1])).unwrap_or_default();
        for (port, attributes) in found.iter_mut().zip(lists) {
            port.name = name(source, attributes);
        }
        Ok(found)
    }
}

/// The entries between the braces of a dictionary that have values.
fn dictionary<'a>(source: &'a str, tokens: &'a [Token]) -> Vec<Entry<'a>> {
    let entry = |tokens: &'a [Token]| match tokens {
        [name, is, value @ ..] if is.kind == Kind::Mark(b'=') => {
            Some(Entry { name: name.text(source), value })
        }
        _ => None,
    };
    parts(tokens).into_iter().filter_map(entry).collect()
}
