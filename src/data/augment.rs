//! How images are changed before they are learned from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::random::SplitMix;

/// Random changes of images. In JSON: `{"crop": 4, "flip": true}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Images are moved by at most this many pixels up or down, and left or right; what comes in is black. This is
    /// a random crop of the image padded by as much.
    pub crop: u32,
    /// Whether every other image, by chance, has left and right exchanged.
    pub flip: bool,
}

/// How an example is changed before it is learned from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Crop {
    /// The row of the image that becomes the first one; rows outside the image are black.
    pub dy: i32,
    /// The column of the image that becomes the first one; columns outside the image are black. In text, how many
    /// tokens later the example begins.
    pub dx: i32,
    /// Whether left and right are then exchanged.
    pub flip: bool,
    /// What the box that is cut out of an image of any size is drawn from.
    pub key: u64,
}

/// Sets the draws of crops apart from others of the same seed.
const CROPS: u64 = 0x0063_726f_7073;

impl Crop {
    /// How the examples of a step are changed. The crop of a row depends only on the seed, the step and the row's
    /// position in it.
    pub(super) fn draw(augment: Augment, seed: u64, step: u64, rows: usize) -> Vec<Crop> {
        let shift = |random: &mut SplitMix| {
            let most = augment.crop.min(i32::MAX as u32);
            (random.below(2 * u64::from(most) + 1) as i64 - i64::from(most)) as i32
        };
        let crop = |row: u64| {
            let mut random = SplitMix::keyed(&[seed, CROPS, step, row]);
            let (dy, dx) = (shift(&mut random), shift(&mut random));
            let flip = random.below(2) == 1 && augment.flip;
            Crop { dy, dx, flip, key: random.next() }
        };
        (0..rows as u64).map(crop).collect()
    }
}
