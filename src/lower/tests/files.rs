//! What shaping and lowering make of small programs: the files of `src/lower/files/`, one idea each.
//! [`natgrad_ir::testing::files`] says how to add one. Beside the steps that it knows, the first line may ask
//!
//! - `pass NAME` for one of the passes that shape a program, and `shape` for all of them;
//! - `sums` for large sums of bfloat16 apart, with what is left without use taken away;
//! - `turned` for products with turned operands, and `wide` for bfloat16 in single precision, which round otherwise;
//! - `lower chosen` or `lower merged` for StableHLO, by [`Loops`], with `barrier` behind it where results are stored by
//!   [`Materialization::Barrier`], and with `donate 0 to 1` for each parameter that gives its memory to an output.

use std::path::Path;

use natgrad_ir::Verified;
use natgrad_ir::pass::{run, run_one};
use natgrad_ir::testing::{ActError, act, files, same};

use super::super::halves::WIDE;
use super::super::shape::{SHAPING, shape};
use super::super::sums::APART;
use super::super::weight_gradient::TURNED;
use super::super::{Donation, Loops, Lowering, Materialization, ProductPrecision, to_stablehlo};

#[test]
fn what_is_made_is_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lower/files");
    files::check_files(&folder, made).unwrap_or_else(|errors| panic!("{errors}"));
}

fn made(line: &str, module: Verified) -> Result<String, ActError> {
    let mut module = module;
    for step in line.split(" then ") {
        let words: Vec<&str> = step.split_whitespace().collect();
        module = match words[..] {
            ["turned"] => run_one(&TURNED, &module)?,
            ["wide"] => run_one(&WIDE, &module)?,
            ["sums"] => same(step, &module, run(run_one(&APART, &module)?)?)?,
            ["shape"] => same(step, &module, shape(&module)?)?,
            ["lower", ref how @ ..] => {
                let (lowering, donation) = manner(how).ok_or_else(|| ActError::Unknown(step.to_string()))?;
                return to_stablehlo(&module, &donation, lowering)
                    .map_err(|error| ActError::Other(error.to_string()));
            }
            _ => act(step, module, SHAPING)?,
        };
    }
    Ok(module.module().to_string())
}

/// How to lower, and what is donated, by the words behind `lower`.
fn manner(words: &[&str]) -> Option<(Lowering, Donation)> {
    let (&loops, mut rest) = words.split_first()?;
    let loops = match loops {
        "chosen" => Loops::Chosen,
        "merged" => Loops::Merged,
        _ => return None,
    };
    let (mut lowering, mut donation) = (Lowering::chosen(Materialization::Call), Donation::none());
    lowering.loops = loops;
    loop {
        rest = match rest {
            [] => return Some((lowering, donation)),
            ["barrier", rest @ ..] => {
                lowering.materialization = Materialization::Barrier;
                rest
            }
            [precision @ ("tf32" | "highest"), rest @ ..] => {
                let tf32 = *precision == "tf32";
                lowering.precision = if tf32 { ProductPrecision::Tf32 } else { ProductPrecision::Highest };
                rest
            }
            ["donate", param, "to", output, rest @ ..] => {
                donation = donation.donate(param.parse().ok()?, output.parse().ok()?);
                rest
            }
            _ => return None,
        };
    }
}
