//! Writes the words that noise is made of, without end, for test batteries: raw little-endian `u32`, two an element.
//!
//! ```text
//! cargo run --release --example noise_stream -- --order tensors --seed 1 | dieharder -a -g 200
//! ```

use std::io::{ErrorKind, Write};

use clap::{Parser, ValueEnum};
use natgrad::noise::{Purpose, plain};

/// In which order the elements of a run's noise are visited.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    /// The 2^26 elements of one tensor, then the same of the next step.
    Elements,
    /// The 64 elements of a small tensor, then the same of the next step.
    Steps,
    /// Element 0 of each of 32 tensors, then element 1 of each, to 2^16 elements; then the next step.
    Tensors,
}

#[derive(Debug, Parser)]
#[command(about = "Write the words that noise is made of: raw little-endian u32, two an element")]
struct Args {
    /// In which order elements are visited.
    #[arg(long, value_enum)]
    order: Order,
    /// The seed of the run.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Words gathered before they are written.
const CHUNK: usize = 1 << 16;

fn main() -> anyhow::Result<()> {
    let Args { order, seed } = Args::parse();
    let (tensors, elements) = match order {
        Order::Elements => (1, 1 << 26),
        Order::Steps => (1, 64),
        Order::Tensors => (32, 1 << 16),
    };
    let mut out = std::io::stdout().lock();
    let mut chunk: Vec<u8> = Vec::with_capacity(4 * CHUNK + 8);
    for step in 0..=u32::MAX {
        let root = plain::root(seed, Purpose::Training, step, 0);
        let keys: Vec<[u32; 4]> = (0..tensors).map(|tensor| plain::key(root, tensor)).collect();
        for element in 0..elements {
            for &key in &keys {
                for word in plain::words(key, element) {
                    chunk.extend(word.to_le_bytes());
                }
                if chunk.len() >= 4 * CHUNK {
                    match out.write_all(&chunk) {
                        // Whoever reads has seen enough.
                        Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                        written => written?,
                    }
                    chunk.clear();
                }
            }
        }
    }
    Ok(())
}
