//! Text that grows token by token.

use super::{TextError, Tokenizer};

/// A text to which tokens are added. They are decoded with those before them, as whether a space comes before a word
/// may depend on them.
#[derive(Debug)]
pub struct Growing<'t> {
    tokenizer: &'t Tokenizer,
    tokens: Vec<u32>,
    /// How many tokens were told, and their text.
    told: (usize, String),
}

impl<'t> Growing<'t> {
    /// A text that begins with these tokens.
    ///
    /// # Errors
    /// [`TextError::Tokenizer`] if the tokenizer fails, as everywhere here.
    pub fn new(tokenizer: &'t Tokenizer, tokens: &[u32]) -> Result<Growing<'t>, TextError> {
        let told = (tokens.len(), tokenizer.decode(tokens)?);
        Ok(Growing { tokenizer, tokens: tokens.to_vec(), told })
    }

    /// The text that a token adds; nothing while it is a part of a character.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn push(&mut self, token: u32) -> Result<String, TextError> {
        self.tokens.push(token);
        let text = self.tokenizer.decode(&self.tokens)?;
        // The bytes of a character may come in several tokens.
        if text.ends_with(char::REPLACEMENT_CHARACTER) { Ok(String::new()) } else { self.tell(text) }
    }

    /// What was not told, as its last character has not ended.
    ///
    /// # Errors
    /// The tokenizer fails.
    pub fn end(mut self) -> Result<String, TextError> {
        let text = self.tokenizer.decode(&self.tokens)?;
        self.tell(text)
    }

    fn tell(&mut self, text: String) -> Result<String, TextError> {
        let (count, told) = &self.told;
        let added = match text.strip_prefix(told.as_str()) {
            Some(added) => added.to_string(),
            // A decoder that tidies up may have changed what was told.
            None => {
                let (before, new) = self.tokens.split_at(*count);
                self.tokenizer.decode_after(&before[before.len().saturating_sub(1)..], new)?
            }
        };
        self.told = (self.tokens.len(), text);
        Ok(added)
    }
}
