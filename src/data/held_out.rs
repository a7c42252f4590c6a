//! Examples that are held out of the training ones, to judge by while training.

use super::random::SplitMix;
use super::{DataError, Examples};

/// What examples to judge by while training are drawn with, and some of the test examples.
const HELD_OUT: u64 = 0x0076_616c_6964;
const SOME: u64 = 0x736f_6d65;

impl Examples {
    /// The examples that are left to train on, and that part of them: drawn by the seed, of every class alike where classes
    /// are predicted. Of a text it is the end. What is held out is judged as test examples are, without augmentation.
    ///
    /// # Errors
    /// The fraction is not above 0 and below 1, or leaves nothing on one side.
    pub fn hold_out(&self, fraction: f64, seed: u64) -> Result<(Examples, Examples), DataError> {
        let wrong = |wanted: String| DataError::field("validation.fraction", fraction, wanted);
        if !(fraction > 0.0 && fraction < 1.0) {
            return Err(wrong("above 0 and below 1".to_string()));
        }
        if let Examples::Tokens(tokens) = self {
            let context = tokens.example().features[0].shape.elements();
            let (kept, held) = tokens.cut(fraction).ok_or_else(|| {
                let left = format!("more than the {context} tokens of an example to train on");
                wrong(format!("such that the training text has {left}, and at least 2 to judge by"))
            })?;
            return Ok((Examples::Tokens(kept), Examples::Tokens(held)));
        }
        let is_held = self.drawn(fraction, seed);
        let (held, kept) = self.divide(&|row| is_held[row]);
        if held.is_empty() || kept.is_empty() {
            let rows = self.len();
            return Err(wrong(format!("such that of {rows} training rows some are left on both sides")));
        }
        Ok((kept, held.into_test()))
    }

    /// Whether each example is among that part of them, as [`Examples::hold_out`] draws it; of no text.
    pub(crate) fn drawn(&self, fraction: f64, seed: u64) -> Vec<bool> {
        draw(self.classes_of_rows().as_deref(), self.len(), fraction, &[HELD_OUT, seed])
    }

    /// So many of the examples, the same ones each time, in their order; all if there are no more.
    pub fn some(&self, count: usize) -> Examples {
        if count >= self.len() {
            return self.clone();
        }
        let mut rows: Vec<usize> = (0..self.len()).collect();
        let mut is_picked = vec![false; rows.len()];
        let mut random = SplitMix::keyed(&[SOME]);
        shuffled(&mut rows, count, &mut random).iter().for_each(|&row| is_picked[row] = true);
        self.divide(&|row| is_picked[row]).0
    }

    fn into_test(self) -> Examples {
        match self {
            Examples::Table(table) => Examples::Table(table.with_augment(None)),
            Examples::Images(images) => Examples::Images(images.into_test()),
            Examples::Tokens(_) | Examples::Arrays(_) => self,
        }
    }
}

/// Whether each row is drawn: of every class that part, but of two rows one is left to each side.
pub(super) fn draw(classes: Option<&[u32]>, rows: usize, fraction: f64, key: &[u64]) -> Vec<bool> {
    let groups = match classes {
        None => vec![(0..rows).collect::<Vec<usize>>()],
        Some(classes) => {
            let count = classes.iter().max().map_or(0, |&class| class as usize + 1);
            let mut groups = vec![Vec::new(); count];
            for (row, &class) in classes.iter().enumerate() {
                groups[class as usize].push(row);
            }
            groups
        }
    };
    let mut is_drawn = vec![false; rows];
    for (class, mut rows) in groups.into_iter().enumerate() {
        let mut random = SplitMix::keyed(&[key, &[class as u64]].concat());
        let least = usize::from(rows.len() > 1);
        let most = rows.len().saturating_sub(1);
        let wanted = ((rows.len() as f64 * fraction).round() as usize).clamp(least, most.max(least));
        let wanted = wanted.min(rows.len());
        shuffled(&mut rows, wanted, &mut random).iter().for_each(|&row| is_drawn[row] = true);
    }
    is_drawn
}

/// So many of the rows, at random (Fisher and Yates).
fn shuffled<'a>(rows: &'a mut [usize], count: usize, random: &mut SplitMix) -> &'a [usize] {
    for picked in 0..count {
        let other = picked + random.below((rows.len() - picked) as u64) as usize;
        rows.swap(picked, other);
    }
    &rows[..count]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Augment, Batch, Features, Labels, Table};

    #[test]
    fn every_class_gives_its_part() {
        let labels: Vec<u32> = (0..100).map(|row| row % 5).chain([5, 6, 6]).collect();
        let drawn = || draw(Some(&labels), labels.len(), 0.2, &[7]);
        let is_drawn = drawn();
        let of_class = |class: u32| {
            labels.iter().zip(&is_drawn).filter(|&(&label, &drawn)| label == class && drawn).count()
        };
        assert_eq!((0..7).map(of_class).collect::<Vec<_>>(), [4, 4, 4, 4, 4, 0, 1]);
        assert_eq!(is_drawn, drawn());
        let numbers = draw(None, 50, 0.3, &[7]);
        assert_eq!(numbers.iter().filter(|&&drawn| drawn).count(), 15);
        assert_ne!(numbers[..15], [true; 15]);
        assert_eq!(draw(None, 50, 0.999, &[7]).iter().filter(|&&drawn| drawn).count(), 49);
    }

    fn table(rows: usize) -> Examples {
        let features = Features::numbers((0..rows).map(|row| row as f32).collect());
        let labels = Labels::classes((0..rows as u32).map(|row| row % 2).collect());
        let table = Table::new([1], features, labels);
        Examples::Table(table.with_augment(Some(Augment { crop: 0, flip: true })))
    }

    fn features(examples: &Examples) -> Vec<f32> {
        let mut batch = Batch::default();
        examples.append(&(0..examples.len() as u32).collect::<Vec<_>>(), None, &mut batch).unwrap();
        batch.input(0).as_chunks().0.iter().copied().map(f32::from_ne_bytes).collect()
    }

    #[test]
    fn what_is_held_out_is_not_trained_on() {
        let (kept, held) = table(40).hold_out(0.25, 0).unwrap();
        let (train, valid) = (features(&kept), features(&held));
        assert_eq!(held.class_counts(2), Some(vec![5, 5]));
        let mut all = [train.clone(), valid.clone()].concat();
        assert!(train.is_sorted() && valid.is_sorted());
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..40u8).map(f32::from).collect::<Vec<_>>());
        assert_eq!(features(&table(40).hold_out(0.25, 0).unwrap().1), valid);
        assert_ne!(features(&table(40).hold_out(0.25, 1).unwrap().1), valid);
        // Nothing is changed that is judged by.
        assert!(kept.crops(0, 0, 0, 1).is_some() && held.crops(0, 0, 0, 1).is_none());
        let error = |rows, fraction| table(rows).hold_out(fraction, 0).unwrap_err().to_string();
        assert_eq!(error(40, 1.0), "`validation.fraction` is 1, but must be above 0 and below 1");
        assert_eq!(
            error(2, 0.1),
            "`validation.fraction` is 0.1, but must be such that of 2 training rows some are left on both sides"
        );
    }

    #[test]
    fn some_examples_are_not_the_first_ones() {
        let some = table(100).some(10);
        let picked = features(&some);
        assert!(picked.len() == 10 && picked.is_sorted() && picked[9] > 20.0, "{picked:?}");
        assert_eq!(picked, features(&table(100).some(10)));
        assert_eq!(table(5).some(9).len(), 5);
    }
}
