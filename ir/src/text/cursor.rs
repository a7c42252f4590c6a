//! Walks the tokens of the textual form.

use std::str::FromStr;

use super::lex::{ParseError, Place, Token, TokenKind};
use crate::types::{DType, Shape, TensorType};

/// A position among tokens. `tokens` ends with [`TokenKind::End`], which is never passed.
pub(super) struct Cursor {
    tokens: Vec<Token>,
    at: usize,
}

pub(super) type Parsed<T> = Result<T, ParseError>;

impl Cursor {
    pub fn new(tokens: Vec<Token>) -> Cursor {
        Cursor { tokens, at: 0 }
    }

    pub fn peek(&self) -> &TokenKind {
        &self.tokens[self.at].kind
    }

    pub fn place(&self) -> Place {
        self.tokens[self.at].place
    }

    pub fn position(&self) -> usize {
        self.at
    }

    pub fn next(&mut self) -> TokenKind {
        let kind = self.peek().clone();
        if kind != TokenKind::End {
            self.at += 1;
        }
        kind
    }

    /// Goes on to the first token of a line behind `start`, or to the end.
    pub fn skip_line(&mut self, start: usize) {
        while *self.peek() != TokenKind::End && (self.at == start || !self.tokens[self.at].first) {
            self.at += 1;
        }
    }

    /// Goes on to the next line that starts with `func`, or to the end.
    pub fn skip_to_function(&mut self) {
        while *self.peek() != TokenKind::End && !self.at_function() {
            self.at += 1;
        }
    }

    pub fn at_function(&self) -> bool {
        self.tokens[self.at].first && self.at_word("func")
    }

    pub fn at_word(&self, word: &str) -> bool {
        matches!(self.peek(), TokenKind::Word(found) if found == word)
    }

    pub fn at_mark(&self, mark: char) -> bool {
        *self.peek() == TokenKind::Mark(mark)
    }

    pub fn unexpected(&self, expected: &str) -> ParseError {
        self.place().error(format!("found {}, expected {expected}", self.peek().describe()))
    }

    /// Takes the word or mark if it is next.
    pub fn take_mark(&mut self, mark: char) -> bool {
        let found = self.at_mark(mark);
        if found {
            self.next();
        }
        found
    }

    pub fn expect_mark(&mut self, mark: char) -> Parsed<()> {
        if self.take_mark(mark) { Ok(()) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    pub fn expect_arrow(&mut self) -> Parsed<()> {
        if *self.peek() != TokenKind::Arrow {
            return Err(self.unexpected("`->`"));
        }
        self.next();
        Ok(())
    }

    pub fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if !self.at_word(word) {
            return Err(self.unexpected(&format!("`{word}`")));
        }
        self.next();
        Ok(())
    }

    pub fn word(&mut self, expected: &str) -> Parsed<String> {
        match self.peek().clone() {
            TokenKind::Word(word) => {
                self.next();
                Ok(word)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    pub fn symbol(&mut self, expected: &str) -> Parsed<String> {
        match self.peek().clone() {
            TokenKind::Symbol(name) => {
                self.next();
                Ok(name)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    pub fn value(&mut self) -> Parsed<(String, Place)> {
        let place = self.place();
        match self.peek().clone() {
            TokenKind::Value(name) => {
                self.next();
                Ok((name, place))
            }
            _ => Err(self.unexpected("a value, as `%x`")),
        }
    }

    pub fn number(&mut self) -> Parsed<usize> {
        self.parsed()
    }

    fn parsed<T: FromStr>(&mut self) -> Parsed<T> {
        let wrong = self.unexpected("a whole number");
        self.word("a whole number")?.parse().map_err(|_| wrong)
    }

    /// Items separated by commas, up to the closing mark, which is taken.
    pub fn list<T>(&mut self, close: char, mut item: impl FnMut(&mut Cursor) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        if self.take_mark(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.take_mark(close) {
                return Ok(items);
            }
            if !self.take_mark(',') {
                return Err(self.unexpected(&format!("`,` or `{close}`")));
            }
        }
    }

    /// Whole numbers from zero in brackets.
    pub fn numbers(&mut self) -> Parsed<Vec<usize>> {
        self.expect_mark('[')?;
        self.list(']', Cursor::parsed)
    }

    /// Whole numbers of both signs in brackets.
    pub fn integers(&mut self) -> Parsed<Vec<i64>> {
        self.expect_mark('[')?;
        self.list(']', Cursor::parsed)
    }

    pub fn tensor_type(&mut self) -> Parsed<TensorType> {
        let wrong = self.unexpected("an element type, as `f32`");
        let dtype = DType::from_name(&self.word("an element type, as `f32`")?).ok_or(wrong)?;
        Ok(TensorType { dtype, shape: Shape::new(self.numbers()?) })
    }
}
