//! The rates of products and convolutions on this machine: `cargo run --release -p natgrad-onednn --example rates`.

use std::time::Instant;

use natgrad_onednn::{Convolution, Element, Error, Library, Pass, Product, TrustedLibrary, Window};

/// Images, their side and features, the window's side, features of the outputs, and the step.
const SHAPES: [[usize; 6]; 9] = [
    [128, 32, 16, 3, 16, 1],
    [128, 32, 16, 3, 32, 2],
    [128, 16, 32, 3, 32, 1],
    [128, 8, 64, 3, 64, 1],
    [16, 56, 64, 3, 64, 1],
    [16, 56, 64, 1, 256, 1],
    [16, 56, 256, 1, 64, 1],
    [16, 14, 256, 3, 256, 1],
    [16, 224, 3, 7, 64, 2],
];

const ROUNDS: usize = 15;

/// Rows, inputs and outputs of layers.
const LAYERS: [[usize; 3]; 8] = [
    [50, 784, 512],
    [256, 784, 1024],
    [256, 1024, 1024],
    [1024, 384, 384],
    [1024, 384, 1536],
    [1024, 1536, 384],
    [256, 768, 3072],
    [256, 768, 50257],
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = natgrad_assets::fetch(natgrad_assets::Asset::OneDnn)?;
    let onednn = Library::open(&TrustedLibrary::at(path))?;
    let threads = std::thread::available_parallelism()?.get();
    println!("oneDNN {}, {threads} threads: milliseconds, GF/s", onednn.version());
    for element in [Element::F32, Element::Bf16] {
        for [rows, inputs, outputs] in LAYERS {
            let forward = Product { element, rows, depth: inputs, columns: outputs, is_turned: false };
            let backward = Product { element, rows, depth: outputs, columns: inputs, is_turned: true };
            for (name, of) in [("forward", forward), ("inputs' gradient", backward)] {
                let [left, right, mut result] = of.bytes().ok_or("sizes")?.map(|bytes| vec![0_u8; bytes]);
                let seconds = rounds(|| onednn.multiply(&of, &left, &right, &mut result, threads, &share))?;
                let rate = 2.0 * of.products() as f64 / seconds / 1e9;
                println!(
                    "{element:?} {rows} x {inputs} x {outputs}, {name}: {:.2} ms, {rate:.0}",
                    1e3 * seconds
                );
            }
        }
    }
    for element in [Element::F32, Element::Bf16] {
        for [examples, side, inputs, window, outputs, stride] in SHAPES {
            for pass in [Pass::Forward, Pass::Images, Pass::Kernel] {
                let moved = Window {
                    sides: [window; 2],
                    strides: [stride; 2],
                    low: [(window - 1) / 2; 2],
                    dilation: [1; 2],
                };
                let places = side.div_ceil(stride);
                let (images, results) = ([examples, side, side, inputs], [examples, places, places, outputs]);
                let of = Convolution::new(pass, element, images, moved, results);
                let name = onednn.implementation(&of).unwrap_or_else(|| "refused".to_owned());
                if !onednn.is_fast(&of) {
                    println!("{of:?}: {name}");
                    continue;
                }
                let ms = 1e3 * median(onednn, &of, threads)?;
                let rate = 2.0 * of.products() as f64 / ms / 1e6;
                println!(
                    "{element:?} {examples} x {side} x {side} x {inputs} to {outputs}, window {window}, step {stride}, {pass:?}: \
                     {ms:.2} ms, {rate:.0}, {name}"
                );
            }
        }
    }
    Ok(())
}

/// The median of some rounds, in seconds.
fn median(
    library: &'static Library,
    of: &Convolution,
    threads: usize,
) -> Result<f64, Box<dyn std::error::Error>> {
    let bytes = |elements: usize| vec![0_u8; elements * of.element.size_bytes()];
    let (left, right, mut result) = match of.pass {
        Pass::Forward => (bytes(of.images()), bytes(of.kernel()), bytes(of.results())),
        Pass::Images => (bytes(of.results()), bytes(of.kernel()), bytes(of.images())),
        Pass::Kernel => (bytes(of.images()), bytes(of.results()), bytes(of.kernel())),
    };
    Ok(rounds(|| library.convolve(of, &[&left, &right], &mut [&mut result], threads, &share))?)
}

/// The median of some rounds, in seconds.
fn rounds(mut work: impl FnMut() -> Result<(), Error>) -> Result<f64, Error> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        work()?;
        times.push(begin.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times[ROUNDS / 2])
}

/// Does pieces of work on all processors.
fn share(pieces: usize, work: &(dyn Fn(usize) -> Result<(), String> + Sync)) -> Result<(), String> {
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get());
    let next = std::sync::atomic::AtomicUsize::new(0);
    let all = || loop {
        match next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            piece if piece < pieces => work(piece)?,
            _ => return Ok(()),
        }
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(all)).collect();
        let own = all();
        let others = helpers.into_iter().map(|helper| helper.join().expect("a thread"));
        others.fold(own, Result::and)
    })
}
