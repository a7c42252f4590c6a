//! A short battery on the words that noise is made of, in the three orders: in small what `benches/noise/run` has
//! dieharder and TestU01 do at length.

use natgrad::noise::{MURMUR_FIRST, MURMUR_SECOND};

use crate::battery::{Battery, LIMIT};
use crate::stream::{Order, Words};

const COUNT: usize = 1 << 18;

/// A chi-squared sum of so many degrees of freedom, in standard errors (Wilson and Hilferty, 1931).
fn chi_errors(sum: f64, freedom: f64) -> f64 {
    let spread = 2.0 / (9.0 * freedom);
    ((sum / freedom).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// How far counts are from those of equally likely cells, in standard errors.
pub fn even_errors(counts: &[u32]) -> f64 {
    let wanted = counts.iter().map(|&count| f64::from(count)).sum::<f64>() / counts.len() as f64;
    let sum = counts.iter().map(|&count| (f64::from(count) - wanted).powi(2) / wanted).sum();
    chi_errors(sum, counts.len() as f64 - 1.0)
}

/// Each bit is set as often as not, and as often as not equal to one further up.
fn bits(words: &[u32], battery: &mut Battery) {
    let scale = (words.len() as f64).sqrt() / 2.0;
    let errors = |set: u32| (f64::from(set) - words.len() as f64 / 2.0) / scale;
    for distance in [0, 1, 8] {
        let mut set = [0u32; 32];
        for &word in words {
            let seen = if distance == 0 { word } else { word ^ word.rotate_right(distance) };
            for (bit, set) in set.iter_mut().enumerate() {
                *set += seen >> bit & 1;
            }
        }
        for (bit, &set) in set.iter().enumerate() {
            battery.add(errors(set), || format!("bit {bit}, and that {distance} above"));
        }
    }
}

/// Eight bits from any place of a word, and four from each of two words of one lane or of both, fall evenly into 256
/// cells.
fn cells(words: &[u32], battery: &mut Battery) {
    for place in (0..32).step_by(4) {
        let mut counts = [0u32; 256];
        words.iter().for_each(|word| counts[(word.rotate_right(place) & 255) as usize] += 1);
        battery.add(even_errors(&counts), || format!("bits from {place} on"));
        for distance in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 8192] {
            let mut counts = [0u32; 256];
            for at in (0..words.len() - distance).step_by(2) {
                let [x, y] = [words[at], words[at + distance]].map(|word| word.rotate_right(place) & 15);
                counts[(x | y << 4) as usize] += 1;
            }
            battery.add(even_errors(&counts), || format!("bits from {place} on, {distance} words apart"));
        }
    }
}

/// Ranks of 32 x 32 matrices of bits: full, one less, or fewer (Marsaglia and Tsay, 1985).
fn ranks(words: &[u32], battery: &mut Battery) {
    let probabilities = [0.288_788_1, 0.577_576_2, 0.133_635_7];
    let mut counts = [0u32; 3];
    for matrix in words.as_chunks::<32>().0 {
        let mut rows = *matrix;
        let mut rank = 0;
        for bit in 0..32 {
            if let Some(pivot) = (rank..32).find(|&row| rows[row] >> bit & 1 == 1) {
                rows.swap(rank, pivot);
                let row = rows[rank];
                rows[rank + 1..]
                    .iter_mut()
                    .filter(|other| **other >> bit & 1 == 1)
                    .for_each(|other| *other ^= row);
                rank += 1;
            }
        }
        counts[(32 - rank).min(2)] += 1;
    }
    let total = counts.iter().map(|&count| f64::from(count)).sum::<f64>();
    let parts = counts.iter().zip(probabilities).map(|(&count, probability)| {
        let wanted = total * probability;
        (f64::from(count) - wanted).powi(2) / wanted
    });
    battery.add(chi_errors(parts.sum(), 2.0), || "ranks".to_string());
}

/// Equal spacings between 2^12 sorted words as birthdays: Poisson with mean `m^3 / 4n`, here 4 for each set (Marsaglia's
/// test); and words that come again, of which two lanes of permutations would have too few.
fn birthdays(words: &[u32], battery: &mut Battery) {
    const BIRTHDAYS: usize = 1 << 12;
    let (mut equal, mut sets) = (0, 0);
    for set in words.as_chunks::<BIRTHDAYS>().0 {
        let mut days = *set;
        days.sort_unstable();
        let mut spacings: Vec<u32> = days.windows(2).map(|pair| pair[1] - pair[0]).collect();
        spacings.sort_unstable();
        equal += spacings.windows(2).filter(|pair| pair[0] == pair[1]).count();
        sets += 1;
    }
    let wanted = 4.0 * f64::from(sets);
    battery.add((equal as f64 - wanted) / wanted.sqrt(), || format!("{equal} equal spacings"));

    for lane in 0..2 {
        let mut own: Vec<u32> = words.iter().skip(lane).step_by(2).copied().collect();
        own.sort_unstable();
        let again = own.windows(2).filter(|pair| pair[0] == pair[1]).count() as f64;
        let wanted = (own.len() as f64).powi(2) / 2.0 / 2f64.powi(32);
        battery.add((again - wanted) / wanted.sqrt(), || format!("{again} words of lane {lane} again"));
    }
}

#[test]
fn words_are_uniform_in_every_order() {
    for order in [Order::Elements, Order::Steps, Order::Tensors] {
        let mut words = Vec::new();
        Words::new(order, 42).extend(&mut words, COUNT);
        let mut battery = Battery::default();
        bits(&words, &mut battery);
        cells(&words, &mut battery);
        ranks(&words, &mut battery);
        birthdays(&words, &mut battery);
        battery.check(&format!("{order:?}"));
    }
}

/// Weak generators fail: made on purpose here.
#[test]
fn weak_words_are_found() {
    const FEW: usize = 1 << 16;
    const MANY: u32 = 1 << 20;
    let worst = |test: fn(&[u32], &mut Battery), words: &[u32]| {
        let mut battery = Battery::default();
        test(words, &mut battery);
        battery.worst()
    };
    let mut words = Vec::new();
    Words::new(Order::Elements, 42).extend(&mut words, FEW);

    // One bit is set too often.
    let heavy = |word: &u32| if word.is_multiple_of(16) { word | 1 << 20 } else { *word };
    assert!(worst(bits, &words.iter().map(heavy).collect::<Vec<_>>()) > LIMIT);

    // Two lanes of two multiplications, keyed as murmur3's finalizer can be: elements whose indices differ by a power of
    // two are related, and a permutation has no word twice.
    let lane = |x: u32, key: [u32; 2]| {
        let x = x ^ key[0];
        let x = (x ^ x >> 16).wrapping_mul(MURMUR_FIRST) ^ key[1];
        let x = (x ^ x >> 13).wrapping_mul(MURMUR_SECOND);
        x ^ x >> 16
    };
    let keys = [[0x5ff0_2f4b, 0x2c3d_6a11], [0x9b1e_77c3, 0x41d0_93e5]];
    let permuted: Vec<u32> = (0..MANY / 2).flat_map(|x| keys.map(|key| lane(x, key))).collect();
    assert!(worst(cells, &permuted) > LIMIT);
    assert!(worst(birthdays, &permuted) < -LIMIT);

    // A shift register: every bit is a sum of others.
    let mut state = 1u32;
    let register: Vec<u32> = (0..FEW)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        })
        .collect();
    assert!(worst(ranks, &register) > LIMIT);
    assert!(worst(ranks, &words).abs() < LIMIT);
}
