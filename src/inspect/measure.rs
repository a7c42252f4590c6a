//! What the device at hand can do at best, by three small programs.

use std::time::Instant;

use natgrad_ir::{BuildErrors, Builder, DType, DotDims, Module, TensorType, Value, Violations, verify};

use super::roofline::DeviceFigures;
use crate::compile::bytes::element_type;
use crate::lower::{Donation, LowerError, Lowering, Materialization, to_stablehlo};
use crate::pjrt::{self, Arg, Client, CompileOptions};

/// Why a device could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A program was built wrongly.
    #[error("building a program to measure with: {0}")]
    Build(#[from] BuildErrors),
    /// A program breaks an invariant of the IR.
    #[error("building a program to measure with: {0}")]
    Invalid(#[from] Violations),
    /// A program could not be lowered.
    #[error("lowering a program to measure with: {0}")]
    Lower(#[from] LowerError),
    /// The device failed.
    #[error(transparent)]
    Pjrt(#[from] pjrt::Error),
}

/// Elements of the array that is read and written: no cache holds both.
const STREAMED: usize = 1 << 25;
/// Rows of square matrices.
const ROWS: usize = 1024;
/// Elements that are computed on, which caches hold.
const COMPUTED: usize = 1 << 17;
/// Multiplications and additions of each of them: so few that a processor has several elements' under way.
const ROUNDS: usize = 16;
/// Runs, of which the fastest counts: others may have been held up.
const RUNS: usize = 5;

impl DeviceFigures {
    /// Measures the first device of a client: how fast it adds one to a large array, multiplies matrices of each type,
    /// and computes on a small array. Takes a second or two on a processor of a few cores.
    ///
    /// # Errors
    /// See [`MeasureError`].
    pub fn measure(client: &Client, options: &CompileOptions) -> Result<DeviceFigures, MeasureError> {
        let array = |elements| TensorType::new(DType::F32, [elements]);
        let streaming = fastest(client, options, &array(STREAMED), |b, x| b.add_const(x, 1.0))?;
        let computing = fastest(client, options, &array(COMPUTED), |b, x| {
            (0..ROUNDS).fold(x, |y, _| {
                let product = b.mul(y, x);
                b.add(product, x)
            })
        })?;
        let mut products = std::collections::BTreeMap::new();
        for dtype in [DType::F32, DType::BF16] {
            let ty = TensorType::new(dtype, [ROWS, ROWS]);
            let dims = DotDims { lhs_contract: vec![1], rhs_contract: vec![0], ..DotDims::default() };
            let seconds = fastest(client, options, &ty, |b, x| b.dot(x, x, dims.clone()))?;
            let flops = 2.0 * (ROWS as f64).powi(3);
            products.insert(dtype.name().to_owned(), flops / seconds);
        }
        Ok(DeviceFigures {
            name: format!("this {}, as measured", client.platform_name()),
            bandwidth: 2.0 * array(STREAMED).size_bytes() as f64 / streaming,
            products,
            elementwise: (2 * COMPUTED * ROUNDS) as f64 / computing,
        })
    }
}

/// The least seconds that a program of one operand takes, called and awaited.
fn fastest(
    client: &Client,
    options: &CompileOptions,
    ty: &TensorType,
    compute: impl FnOnce(&mut Builder, Value) -> Value,
) -> Result<f64, MeasureError> {
    let mut b = Builder::new("main");
    let operand = b.param("x", ty.clone());
    let result = compute(&mut b, operand);
    let mut module = Module::new("measure");
    module.push(b.finish(&[result])?);
    let donation = Donation { aliases: vec![None] };
    let text = to_stablehlo(&verify(module)?, &donation, Lowering::chosen(Materialization::Barrier))?;
    let executable = client.compile(text.as_bytes(), options)?;
    let dims: Vec<i64> = ty.shape.dims().iter().map(|&dim| dim as i64).collect();
    let operand = client.upload(element_type(ty.dtype), &dims, &vec![0; ty.size_bytes()])?;
    let mut least = f64::INFINITY;
    for _ in 0..RUNS {
        let begin = Instant::now();
        let outputs = executable.execute([Arg::Keep(&operand)])?;
        outputs.iter().try_for_each(|output| output.wait())?;
        least = least.min(begin.elapsed().as_secs_f64());
    }
    Ok(least)
}
