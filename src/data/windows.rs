//! Windows that go over a text by a stride, so that each of its tokens but the first is scored once.

use std::ops::Range;

/// A window of a text: so many tokens as a model sees at once, and at each position the token after it as the label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first token.
    pub first: u64,
    /// The positions whose labels are scored in this window, and in no other.
    pub scored: Range<usize>,
}

impl Window {
    /// Those over a text of so many tokens. All labels of the first window are scored, of each other one the last `stride`,
    /// so that at least `context - stride` tokens come before what the window scores; the last window ends where the text does.
    ///
    /// The stride must be from 1 to the context; others are taken for the nearest of these.
    pub fn over(tokens: u64, context: usize, stride: usize) -> impl ExactSizeIterator<Item = Window> + Clone {
        let context = context.max(1);
        let stride = stride.clamp(1, context);
        let labels = tokens.saturating_sub(1);
        let further = labels.saturating_sub(context as u64).div_ceil(stride as u64);
        let count = if labels == 0 { 0 } else { 1 + further as usize };
        (0..count).map(move |number| {
            let first = number as u64 * stride as u64;
            let end = (labels - first).min(context as u64) as usize;
            Window { first, scored: if number == 0 { 0..end } else { context - stride..end } }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_by_hand() {
        let of = |tokens, context, stride| -> Vec<(u64, Range<usize>)> {
            Window::over(tokens, context, stride).map(|window| (window.first, window.scored)).collect()
        };
        assert_eq!(of(9, 4, 4), [(0, 0..4), (4, 0..4)]);
        assert_eq!(of(10, 4, 2), [(0, 0..4), (2, 2..4), (4, 2..4), (6, 2..3)]);
        assert_eq!(of(6, 4, 1), [(0, 0..4), (1, 3..4)]);
        assert_eq!(of(3, 4, 2), [(0, 0..2)]);
        assert_eq!((of(1, 4, 2), of(0, 4, 2)), (vec![], vec![]));
    }

    /// Each token is scored once, in order, and after as many tokens as was said.
    #[test]
    fn every_token_is_scored_once() {
        for (tokens, context) in (2..40u64).flat_map(|tokens| (1..12).map(move |context| (tokens, context))) {
            for stride in 1..=context {
                let windows = Window::over(tokens, context, stride);
                let mut scored = Vec::new();
                for window in windows.clone() {
                    assert!(window.scored.end <= context && !window.scored.is_empty());
                    assert!(window.first == 0 || window.scored.start == context - stride);
                    scored.extend(window.scored.map(|position| window.first + position as u64 + 1));
                }
                assert_eq!(scored, (1..tokens).collect::<Vec<_>>(), "{tokens} {context} {stride}");
                assert_eq!(windows.len(), windows.count());
            }
        }
    }
}
