//! Characters as tokens.

/// The characters of a text, sorted: a character's place is its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Characters(Vec<char>);

impl Characters {
    /// Those of a text.
    pub fn of(text: &str) -> Characters {
        Characters(text.chars().collect::<std::collections::BTreeSet<char>>().into_iter().collect())
    }

    /// Those of a list; none unless it is sorted and none comes twice.
    pub(super) fn from_sorted(characters: Vec<char>) -> Option<Characters> {
        characters.is_sorted_by(|a, b| a < b).then_some(Characters(characters))
    }

    /// Each, in order.
    pub fn iter(&self) -> impl Iterator<Item = char> + '_ {
        self.0.iter().copied()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The tokens of a text, or the first character of it that is none.
    ///
    /// # Errors
    /// That character.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, char> {
        let token = |character: char| self.0.binary_search(&character).map(|place| place as u32);
        text.chars().map(|character| token(character).map_err(|_| character)).collect()
    }

    /// The text of tokens; one that is none is left out.
    pub fn decode(&self, tokens: &[u32]) -> String {
        tokens.iter().filter_map(|&token| self.0.get(token as usize)).collect()
    }
}
