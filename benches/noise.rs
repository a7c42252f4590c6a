//! What noise costs over touching memory: of two arrays of 2^24 `f32`, their sum alone, and their sum plus normals.
//!
//! Beside the grades stands what JAX does by default: threefry2x32 with 20 rounds of one counter an element (Salmon et
//! al., "Parallel random numbers: as easy as 1, 2, 3", 2011; jax/_src/prng.py, `threefry_partitionable`), made normal
//! by the same quantile as the exact grade.
//!
//! All programs run in turns, so that a drift of the machine's speed meets each alike; the medians over all turns are
//! printed after criterion's own figures, in wall-clock time and in processor time of all threads.

use std::fs;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use natgrad::compile::Target;
use natgrad::lower::{Donation, Loops, to_stablehlo};
use natgrad::noise::{self, Grade, Key, Purpose, Stream};
use natgrad::pjrt::{Arg, Buffer, Client, ElementType, Executable, Plugin, TrustedLibrary};
use natgrad_ir::{Builder, DType, Module, Shape, TensorType, Value, verify};

const ELEMENTS: usize = 1 << 24;

/// What a program adds to the sum of its two arrays.
#[derive(Clone, Copy)]
enum Added {
    Nothing,
    Noise(Grade),
    Threefry,
}

impl Added {
    fn all() -> Vec<Added> {
        let grades = Grade::ALL.map(Added::Noise);
        [Added::Nothing].into_iter().chain(grades).chain([Added::Threefry]).collect()
    }

    fn name(self) -> &'static str {
        match self {
            Added::Nothing => "sum alone",
            Added::Noise(grade) => grade.name(),
            Added::Threefry => "threefry2x32",
        }
    }

    fn compile(self, client: &Client) -> Executable {
        let mut b = Builder::new("main");
        let ty = TensorType::new(DType::F32, [ELEMENTS]);
        let [x, y] = ["x", "y"].map(|name| b.param(name, ty.clone()));
        let seed = b.param("seed", TensorType::scalar(DType::U64));
        let count = b.param("count", TensorType::scalar(DType::U32));
        let sum = b.add(x, y);
        let draw = b.scalar(DType::U32, 0.0);
        let result = match self {
            Added::Nothing => sum,
            Added::Noise(grade) => {
                let keys = Stream { seed, purpose: Purpose::Training, count, draw }.keys(&mut b, 1, 1)[0];
                let noise =
                    Key::of(&mut b, keys, 0).normal(&mut b, grade, DType::F32, &Shape::from([ELEMENTS]));
                b.add(sum, noise)
            }
            Added::Threefry => {
                let seed = b.convert(seed, DType::U32);
                let word = threefry(&mut b, [seed, count]);
                let noise = noise::quantile(&mut b, word, DType::F32);
                b.add(sum, noise)
            }
        };
        let mut module = Module::new("noise");
        module.push(b.finish(&[result]).expect("a function"));
        let module = verify(module).expect("a sound module");
        let target = Target::of(client);
        let text =
            to_stablehlo(&module, &Donation::none(), target.lowering(Loops::Merged)).expect("StableHLO");
        client.compile(text.as_bytes(), &target.options(Loops::Merged)).expect("an executable")
    }
}

/// One word an element: both outputs of threefry2x32 at the element's index, folded into one.
fn threefry(b: &mut Builder, key: [Value; 2]) -> Value {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let parity = b.scalar(DType::U32, f64::from(0x1bd1_1bdau32));
    let third = b.xor(key[0], key[1]);
    let third = b.xor(third, parity);
    let keys = [key[0], key[1], third];
    let low = b.iota(DType::U32, [ELEMENTS], 0);
    let high = b.full_like(low, 0.0);
    let (mut x, mut y) = (b.add(high, keys[0]), b.add(low, keys[1]));
    for group in 0..5 {
        for rotation in ROTATIONS[group % 2] {
            x = b.add(x, y);
            let [up, down] = [rotation, 32 - rotation].map(|bits| b.full_like(y, f64::from(bits)));
            let (up, down) = (b.shl(y, up), b.shr(y, down));
            let rotated = b.or(up, down);
            y = b.xor(x, rotated);
        }
        x = b.add(x, keys[(group + 1) % 3]);
        y = b.add(y, keys[(group + 2) % 3]);
        y = b.add_const(y, (group + 1) as f64);
    }
    b.xor(x, y)
}

/// Processor time of the threads of this process, where the system tells it.
fn processor_time() -> Option<Duration> {
    let mut total = 0;
    for task in fs::read_dir("/proc/self/task").ok()? {
        let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        total += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(total))
}

struct Running {
    executables: Vec<Executable>,
    inputs: [Buffer; 4],
    /// Nanoseconds an element of each program: of the clock, and of the processor.
    turns: Vec<Vec<[f64; 2]>>,
}

impl Running {
    fn new() -> Running {
        let plugin = natgrad::assets::cpu_plugin().expect("the CPU plugin");
        let plugin = Plugin::load(&TrustedLibrary::at(plugin)).expect("a PJRT plugin");
        let client = Client::create(&plugin, &Target::Cpu.client_options()).expect("a client");
        let executables: Vec<Executable> =
            Added::all().into_iter().map(|added| added.compile(&client)).collect();
        let ones: Vec<u8> = [1.0f32; ELEMENTS].iter().flat_map(|one| one.to_ne_bytes()).collect();
        let array = || client.upload(ElementType::F32, &[ELEMENTS as i64], &ones).expect("a buffer");
        let seed = client.upload(ElementType::U64, &[], &7u64.to_ne_bytes()).expect("a buffer");
        let count = client.upload(ElementType::U32, &[], &3u32.to_ne_bytes()).expect("a buffer");
        let turns = vec![Vec::new(); executables.len()];
        Running { executables, inputs: [array(), array(), seed, count], turns }
    }

    /// Runs every program once, and answers how long this one took.
    fn turn(&mut self, wanted: usize) -> Duration {
        let mut own = Duration::ZERO;
        for (program, executable) in self.executables.iter().enumerate() {
            let (processor, begin) = (processor_time(), Instant::now());
            let outputs = executable.execute(self.inputs.iter().map(Arg::Keep)).expect("a sum");
            outputs[0].wait().expect("a finished sum");
            let took = begin.elapsed();
            let processor =
                processor_time().zip(processor).map_or(Duration::ZERO, |(end, start)| end - start);
            let each = |time: Duration| time.as_secs_f64() * 1e9 / ELEMENTS as f64;
            self.turns[program].push([each(took), each(processor)]);
            if program == wanted {
                own = took;
            }
        }
        own
    }

    /// The medians of each program, and of its differences from the sum alone within the same turn.
    fn report(&self) {
        println!("ns an element, medians of {} turns", self.turns[0].len());
        println!("{:14}{:>8}{:>12}{:>12}{:>12}", "", "clock", "over sum", "processor", "over sum");
        for (added, own) in Added::all().into_iter().zip(&self.turns) {
            let median = |which: usize, less: bool| {
                let mut all: Vec<f64> = own
                    .iter()
                    .zip(&self.turns[0])
                    .map(|(own, sum)| own[which] - if less { sum[which] } else { 0.0 })
                    .collect();
                all.sort_by(f64::total_cmp);
                all[all.len() / 2]
            };
            let [clock, over, processor, processor_over] =
                [(0, false), (0, true), (1, false), (1, true)].map(|(which, less)| median(which, less));
            println!("{:14}{clock:8.3}{over:12.3}{processor:12.3}{processor_over:12.3}", added.name());
        }
    }
}

fn drawing(c: &mut Criterion) {
    let mut running = Running::new();
    let mut group = c.benchmark_group("two arrays of 2^24 f32");
    group.sample_size(10);
    for (program, added) in Added::all().into_iter().enumerate() {
        group.bench_function(added.name(), |b| {
            b.iter_custom(|turns| (0..turns).map(|_| running.turn(program)).sum());
        });
    }
    group.finish();
    if !running.turns[0].is_empty() {
        running.report();
    }
}

criterion_group!(benches, drawing);
criterion_main!(benches);
