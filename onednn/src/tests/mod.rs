//! The library against sums written out.

mod convolutions;
mod products;

use std::sync::OnceLock;

use half::bf16;

use crate::{Element, Library, TrustedLibrary};

fn library() -> &'static Library {
    static OPENED: OnceLock<&'static Library> = OnceLock::new();
    OPENED.get_or_init(|| {
        let path = natgrad_assets::fetch(natgrad_assets::Asset::OneDnn).unwrap();
        Library::open(&TrustedLibrary::at(path)).unwrap()
    })
}

/// Small integers, which every type has exactly.
fn numbers(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|index| ((index * 7 + seed) * 13 % 11) as f64 - 5.0).collect()
}

fn bytes(element: Element, values: &[f64]) -> Vec<u8> {
    match element {
        Element::F32 => values.iter().flat_map(|&value| (value as f32).to_ne_bytes()).collect(),
        Element::Bf16 => values.iter().flat_map(|&value| bf16::from_f64(value).to_ne_bytes()).collect(),
    }
}

fn values(element: Element, bytes: &[u8]) -> Vec<f64> {
    match element {
        Element::F32 => bytes.as_chunks().0.iter().map(|bytes| f32::from_ne_bytes(*bytes).into()).collect(),
        Element::Bf16 => bytes.as_chunks().0.iter().map(|bytes| bf16::from_ne_bytes(*bytes).into()).collect(),
    }
}

/// A thread for each piece.
fn share(pieces: usize, work: &(dyn Fn(usize) -> Result<(), String> + Sync)) -> Result<(), String> {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..pieces).map(|piece| scope.spawn(move || work(piece))).collect();
        all.into_iter().try_for_each(|thread| thread.join().unwrap())
    })
}

#[test]
fn another_library_is_told_from_it() {
    let error = Library::open(&TrustedLibrary::at("libnatgrad-has-none.so.9")).unwrap_err().to_string();
    assert!(error.contains("libnatgrad-has-none.so.9"), "{error}");
    let error = Library::open(&TrustedLibrary::at("libm.so.6")).unwrap_err().to_string();
    assert!(error.contains("has no function dnnl_version"), "{error}");
    assert!(library().version().starts_with("3."));
}
