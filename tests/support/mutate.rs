//! Bytes changed by chance, and the watch over what is made of them: no panic, no end without end, no memory that the
//! bytes do not have.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::time::Duration;

/// How many mutations of everything are tried, unless the environment says otherwise.
const MUTATIONS: u64 = 300;
/// The longest that one of them may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How much address space may be taken beside what the tests have anyway.
const ROOM: u64 = 8 << 30;

/// How many mutations to try: `NATGRAD_MUTATIONS`, or some hundred.
pub fn mutations() -> u64 {
    let told = std::env::var("NATGRAD_MUTATIONS").ok();
    told.map_or(MUTATIONS, |count| count.parse().expect("NATGRAD_MUTATIONS must be a number"))
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`, or 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }

    /// A part of so many bytes.
    fn part(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let most = (length - start).min(64);
        start..start + self.below(most + 1)
    }

    /// The bytes with one to four changes.
    pub fn mutate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..1 + self.below(4) {
            self.change(&mut bytes);
        }
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len());
        let part = self.part(bytes.len());
        match self.below(8) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = self.next() as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.drain(part)),
            4 => {
                let repeated = bytes[part].repeat(1 + self.below(20));
                bytes.splice(at..at, repeated);
            }
            5 => {
                let other = self.part(bytes.len());
                let copy = bytes[other].to_vec();
                bytes.splice(part, copy);
            }
            6 => {
                let numbers: [u64; 8] =
                    [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];
                let number = numbers[self.below(numbers.len())];
                let size = 1 << self.below(4);
                let new = if self.below(2) == 0 {
                    number.to_le_bytes()
                } else {
                    number.rotate_right(8).to_be_bytes()
                };
                let end = (at + size).min(bytes.len());
                bytes.splice(at..end, new[..size].iter().copied());
            }
            _ => {
                let words: [&str; 14] = [
                    "-1",
                    "0",
                    "1e999",
                    "NaN",
                    "18446744073709551616",
                    "99999999999999",
                    "1152921504606846976",
                    "null",
                    "[[[[[[[[",
                    "{\"a\":",
                    "\"",
                    ",",
                    "\n",
                    "\u{feff}",
                ];
                let word = words[self.below(words.len())];
                // In the place of digits, where there are some.
                let digits = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                bytes.splice(at..at + digits, word.bytes());
            }
        }
    }
}

/// Gives mutations of the originals to `read`, which may refuse them, but nothing else.
pub fn survive(what: &str, originals: &[Vec<u8>], read: impl FnMut(&[u8]) + Send + 'static) {
    survive_times(mutations(), what, originals, read);
}

/// As [`survive`], so many mutations.
pub fn survive_times(
    times: u64,
    what: &str,
    originals: &[Vec<u8>],
    mut read: impl FnMut(&[u8]) + Send + 'static,
) {
    let before = address_space();
    let (sender, receiver) = mpsc::channel();
    let (originals, what) = (originals.to_vec(), what.to_string());
    let label = what.clone();
    let worker = std::thread::spawn(move || {
        for seed in 0..times {
            let mut random = Random::new(seed.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ label.len() as u64);
            let original = &originals[random.below(originals.len())];
            let bytes = random.mutate(original);
            if catch_unwind(AssertUnwindSafe(|| read(&bytes))).is_err() {
                let start = String::from_utf8_lossy(&bytes[..bytes.len().min(2000)]).into_owned();
                panic!("{label}: mutation {seed} of {} bytes: {start}", bytes.len());
            }
            sender.send(seed).ok();
        }
    });
    let mut last = None;
    loop {
        match receiver.recv_timeout(PATIENCE) {
            Ok(seed) => last = Some(seed),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: no end after mutation {last:?}"),
        }
    }
    if let Err(cause) = worker.join() {
        std::panic::resume_unwind(cause);
    }
    if let (Some(before), Some(after)) = (before, address_space()) {
        let taken = after.saturating_sub(before);
        assert!(taken < ROOM, "{what}: {taken} bytes of address space were taken");
    }
}

/// The most address space that the process has had, on Linux.
fn address_space() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
