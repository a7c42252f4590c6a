use std::collections::HashSet;
use std::sync::Mutex;

use super::{Call, Called};
use crate::testing::{client, plugin};
use crate::{Arg, CompileOptions, ElementType};

/// A program that calls `name` on four numbers, with a factor.
fn program(name: &str) -> String {
    format!(
        r#"func.func @main(%x: tensor<2x2xf32>) -> tensor<2x2xf32> {{
          %y = stablehlo.custom_call @{name}(%x) {{api_version = 4 : i32,
            backend_config = {{how = "rows", factors = array<i64: 3, 5>}}}}
            : (tensor<2x2xf32>) -> tensor<2x2xf32>
          return %y : tensor<2x2xf32>
        }}"#
    )
}

fn run(name: &str) -> Result<Vec<f32>, crate::Error> {
    let client = client();
    let executable = client.compile(program(name).as_bytes(), &CompileOptions::new())?;
    // As the cache of programs does it.
    let executable = client.deserialize(&executable.serialize()?)?;
    let x = [1.0_f32, 2.0, 3.0, 4.0].map(f32::to_ne_bytes);
    let x = client.upload(ElementType::F32, &[2, 2], x.as_flattened())?;
    let bytes = executable.execute([Arg::Keep(&x)])?[0].to_host()?;
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_ne_bytes(*bytes)).collect())
}

/// Multiplies each row by its factor.
struct Scale;

impl Called for Scale {
    fn call(mut call: Call<'_>) -> Result<(), String> {
        assert_eq!((call.text("how")?, call.arguments[0].dims), ("rows", &[2_i64, 2][..]));
        assert!(call.numbers("how").is_err() && call.text("none").is_err());
        let factors = call.numbers("factors")?;
        let x = call.arguments[0].bytes;
        let rows: Vec<Mutex<&mut [u8]>> = call.results[0].bytes.chunks_mut(8).map(Mutex::new).collect();
        call.threads.each(2, &|row| {
            let mut y = rows[row].lock().unwrap();
            for (y, x) in y.as_chunks_mut::<4>().0.iter_mut().zip(x[8 * row..].as_chunks::<4>().0) {
                *y = (f32::from_ne_bytes(*x) * factors[row] as f32).to_ne_bytes();
            }
            Ok(())
        })
    }
}

/// Refuses.
struct Refuse;

impl Called for Refuse {
    fn call(call: Call<'_>) -> Result<(), String> {
        call.threads.each(3, &|piece| if piece == 1 { Err("no such row".to_owned()) } else { Ok(()) })
    }
}

/// Panics on whichever thread.
struct Panic;

impl Called for Panic {
    fn call(call: Call<'_>) -> Result<(), String> {
        call.threads.each(8, &|piece| panic!("in piece {piece}"))
    }
}

/// Shares work with all threads, many times.
struct Share;

impl Called for Share {
    fn call(call: Call<'_>) -> Result<(), String> {
        assert!(call.threads.count() >= 1);
        for _ in 0..500 {
            let seen = Mutex::new(HashSet::new());
            call.threads.each(13, &|piece| {
                let is_new = seen.lock().unwrap().insert(piece);
                if is_new { Ok(()) } else { Err(format!("piece {piece} twice")) }
            })?;
            assert_eq!(seen.into_inner().unwrap().len(), 13);
        }
        call.threads.each(0, &|_| Err("there is none".to_owned()))?;
        Scale::call(call)
    }
}

#[test]
fn a_program_calls_a_function_with_operands_results_and_attributes() {
    plugin().register::<Scale>("test.scale").unwrap();
    assert_eq!(run("test.scale").unwrap(), [3.0, 6.0, 15.0, 20.0]);
}

#[test]
fn every_piece_of_shared_work_is_done_once() {
    plugin().register::<Share>("test.share").unwrap();
    assert_eq!(run("test.share").unwrap(), [3.0, 6.0, 15.0, 20.0]);
}

#[test]
fn errors_and_panics_fail_the_run_with_their_words() {
    plugin().register::<Refuse>("test.refuse").unwrap();
    let error = run("test.refuse").unwrap_err().to_string();
    assert!(error.contains("no such row"), "{error}");
    plugin().register::<Panic>("test.panic").unwrap();
    let error = run("test.panic").unwrap_err().to_string();
    assert!(error.contains("a panic: in piece"), "{error}");
}

#[test]
fn a_function_that_nobody_told_of_is_named() {
    let error = run("test.unknown").unwrap_err().to_string();
    assert!(error.contains("test.unknown"), "{error}");
}

#[test]
fn a_name_means_one_function() {
    plugin().register::<Scale>("test.once").unwrap();
    plugin().register::<Scale>("test.once").unwrap();
    let error = plugin().register::<Refuse>("test.once").unwrap_err().to_string();
    assert!(error.contains("the name means another function already"), "{error}");
}
