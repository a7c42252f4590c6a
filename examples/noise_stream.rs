//! Writes the words that noise is made of, without end, for test batteries: raw little-endian `u32`, two an element.
//!
//! ```text
//! cargo run --release --example noise_stream -- --order tensors --seed 1 | dieharder -a -g 200
//! ```

#[path = "../tests/noise/stream.rs"]
mod stream;

use std::io::{ErrorKind, Write};

use clap::Parser;

use stream::{Order, Words};

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
    let mut stream = Words::new(order, seed);
    let mut out = std::io::stdout().lock();
    let (mut words, mut bytes) = (Vec::new(), Vec::new());
    loop {
        words.clear();
        bytes.clear();
        stream.extend(&mut words, CHUNK);
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        match out.write_all(&bytes) {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
}
