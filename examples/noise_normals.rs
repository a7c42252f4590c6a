//! Draws normals of one grade through a compiled program and prints what is known of them: moments, tails, the
//! Kolmogorov-Smirnov distance, and correlations between elements, tensors, draws and steps.
//!
//! ```text
//! cargo run --release --example noise_normals -- --grade exact --draws 1e9
//! ```
//!
//! It fails where a statistic is so far off that chance does it less than once in 10^4 times.

#[path = "../tests/noise/sampler.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod sampler;
#[path = "../tests/noise/stats.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod stats;
#[path = "../tests/noise/study.rs"]
mod study;

use anyhow::ensure;
use clap::Parser;
use natgrad::compile::Target;
use natgrad::noise::Grade;
use natgrad::pjrt::{Client, Plugin, TrustedLibrary};

use study::Study;

/// Standard errors that a normal statistic exceeds with probability 1e-4.
const LIMIT: f64 = 3.891;
/// The same for the Kolmogorov-Smirnov distance, as a probability.
const RARE: f64 = 1e-4;

#[derive(Debug, Parser)]
#[command(about = "Draw normals of one grade through a compiled program, and print what is known of them")]
struct Args {
    /// The grade.
    #[arg(long, value_parser = grade)]
    grade: Grade,
    /// How many to draw, e.g. 1e9.
    #[arg(long, default_value_t = 1e9)]
    draws: f64,
    /// The seed of the run.
    #[arg(long, default_value_t = 42)]
    seed: u64,
}

fn grade(name: &str) -> Result<Grade, String> {
    let known = Grade::ALL.map(Grade::name).join(", ");
    Grade::ALL.into_iter().find(|grade| grade.name() == name).ok_or(format!("the grades are {known}"))
}

fn main() -> anyhow::Result<()> {
    let Args { grade, draws, seed } = Args::parse();
    let plugin = Plugin::load(&TrustedLibrary::at(natgrad::assets::cpu_plugin()?))?;
    let client = Client::create(&plugin, &Target::Cpu.client_options())?;
    let study = Study::of(&client, grade, seed, draws as usize, 1 << 20);
    println!("{} normals of grade {}, seed {seed}, on {}", study.count, grade.name(), client.platform_name());
    println!("{:45}{:>18}{:>18}{:>10}", "", "found", "wanted", "errors");
    let findings: Vec<_> = study.moments.iter().chain(&study.tails).chain(&study.correlations).collect();
    for finding in &findings {
        let (found, wanted, errors) = (finding.found, finding.wanted, finding.errors);
        let name = &finding.name;
        // Counts are whole.
        if wanted > 1000.0
            || name.starts_with("beyond")
            || name.starts_with("above")
            || name.starts_with("below")
        {
            println!("{name:45}{found:18.0}{wanted:18.1}{errors:+10.2}");
        } else {
            println!("{name:45}{found:18.7}{wanted:18}{errors:+10.2}");
        }
    }
    let (distance, probability) = study.kolmogorov;
    println!("Kolmogorov-Smirnov distance {distance:.3e}, p {probability:.4}");
    println!("largest magnitude {:.3}", study.largest);
    let worst = findings.iter().max_by(|a, b| a.errors.abs().total_cmp(&b.errors.abs()));
    if let Some(worst) = worst {
        println!("worst of {}: {}, {:+.2} standard errors", findings.len(), worst.name, worst.errors);
        ensure!(worst.errors.abs() < LIMIT, "{} is off by {:.2} standard errors", worst.name, worst.errors);
    }
    ensure!(probability > RARE, "the Kolmogorov-Smirnov distance is {distance:.3e}");
    println!("passed");
    Ok(())
}
