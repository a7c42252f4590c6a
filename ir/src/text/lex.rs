//! Splits the textual form into tokens.

/// A mistake in the textual form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// The line, from one.
    pub line: usize,
    /// The column in characters, from one.
    pub column: usize,
    /// What was found, and what was expected.
    pub message: String,
}

/// A place in the text, from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub line: usize,
    pub column: usize,
}

impl Place {
    pub fn error(self, message: impl Into<String>) -> ParseError {
        ParseError { line: self.line, column: self.column, message: message.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `%name` or `%12`, without the sign.
    Value(String),
    /// `@name` or `@"any text"`, without sign and quotes.
    Symbol(String),
    /// A word or a number, as it is written.
    Word(String),
    /// One of `( ) { } [ ] , : = #`.
    Mark(char),
    /// `->`
    Arrow,
    /// The end of the text.
    End,
}

impl TokenKind {
    pub fn describe(&self) -> String {
        match self {
            TokenKind::Value(name) => format!("`%{name}`"),
            TokenKind::Symbol(name) => format!("`@{}`", name.escape_debug()),
            TokenKind::Word(word) => format!("`{word}`"),
            TokenKind::Mark(mark) => format!("`{mark}`"),
            TokenKind::Arrow => "`->`".to_string(),
            TokenKind::End => "the end of the text".to_string(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub place: Place,
    /// Whether it is the first of its line.
    pub first: bool,
}

/// The tokens, ending with [`TokenKind::End`], and every character that begins none.
pub(super) fn lex(text: &str) -> (Vec<Token>, Vec<ParseError>) {
    let mut lexer = Lexer { rest: text, place: Place { line: 1, column: 1 } };
    let (mut tokens, mut errors) = (Vec::new(), Vec::new());
    let mut last_line = 0;
    loop {
        lexer.skip_blanks();
        let place = lexer.place;
        match lexer.token() {
            Ok(kind) => {
                let end = kind == TokenKind::End;
                tokens.push(Token { kind, place, first: place.line != last_line });
                last_line = place.line;
                if end {
                    return (tokens, errors);
                }
            }
            Err(message) => errors.push(place.error(message)),
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Lexer<'a> {
    fn advance(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        if c == '\n' {
            self.place = Place { line: self.place.line + 1, column: 1 };
        } else {
            self.place.column += 1;
        }
        Some(c)
    }

    fn take_while(&mut self, accept: impl Fn(char) -> bool) -> &'a str {
        let text = self.rest;
        let length = text.find(|c| !accept(c)).unwrap_or(text.len());
        self.place.column += text[..length].chars().count();
        self.rest = &text[length..];
        &text[..length]
    }

    fn skip_blanks(&mut self) {
        loop {
            if self.rest.starts_with("//") || self.rest.starts_with(';') {
                self.take_while(|c| c != '\n');
            } else if !self.rest.starts_with(char::is_whitespace) {
                return;
            }
            self.advance();
        }
    }

    fn token(&mut self) -> Result<TokenKind, String> {
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/');
        let Some(c) = self.advance() else { return Ok(TokenKind::End) };
        match c {
            '(' | ')' | '{' | '}' | '[' | ']' | ',' | ':' | '=' | '#' => Ok(TokenKind::Mark(c)),
            '%' => {
                let name = self.take_while(in_name);
                if name.is_empty() {
                    return Err("`%` without a name or number after it".to_string());
                }
                if name.starts_with(|c: char| c.is_ascii_digit()) && !name.chars().all(|c| c.is_ascii_digit())
                {
                    return Err(format!("`%{name}`: a name cannot start with a digit"));
                }
                Ok(TokenKind::Value(name.to_string()))
            }
            '@' if self.rest.starts_with('"') => self.quoted().map(TokenKind::Symbol),
            '@' => match self.take_while(in_name) {
                "" => Err("`@` without a name after it".to_string()),
                name => Ok(TokenKind::Symbol(name.to_string())),
            },
            '-' if self.rest.starts_with('>') => {
                self.advance();
                Ok(TokenKind::Arrow)
            }
            c if c == '-' || c == '_' || c.is_ascii_alphanumeric() => Ok(TokenKind::Word(self.word(c))),
            c => Err(format!("`{}` begins nothing that is known here", c.escape_debug())),
        }
    }

    /// A word or number; the sign of an exponent belongs to it.
    fn word(&mut self, first: char) -> String {
        let in_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let mut word = String::from(first);
        word.push_str(self.take_while(in_word));
        let decimal = word.trim_start_matches('-').starts_with(|c: char| c.is_ascii_digit())
            && !word.contains(['x', 'X']);
        if decimal && word.ends_with(['e', 'E']) && self.rest.starts_with(['+', '-']) {
            word.extend(self.advance());
            word.push_str(self.take_while(in_word));
        }
        word
    }

    fn quoted(&mut self) -> Result<String, String> {
        self.advance();
        let mut text = String::new();
        loop {
            text.push_str(self.take_while(|c| !matches!(c, '"' | '\\' | '\n')));
            match self.advance() {
                Some('"') => return Ok(text),
                Some('\\') => match self.advance() {
                    Some(c @ ('"' | '\\')) => text.push(c),
                    Some('u') => text.push(self.escaped()?),
                    _ => return Err("an escape in quotes is `\\\"`, `\\\\` or `\\u{hex}`".to_string()),
                },
                Some(_) | None => return Err("the quotes are not closed on this line".to_string()),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let wrong = || "`\\u` needs the number of a character, as `\\u{a}`".to_string();
        if self.advance() != Some('{') {
            return Err(wrong());
        }
        let digits = self.take_while(|c| c.is_ascii_hexdigit());
        if self.advance() != Some('}') {
            return Err(wrong());
        }
        u32::from_str_radix(digits, 16).ok().and_then(char::from_u32).ok_or_else(wrong)
    }
}
