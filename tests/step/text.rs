//! Text token by token: what is kept of the tokens before gives what reading them anew gives, and stays in its place.

use std::collections::BTreeSet;

use natgrad::compile::{Compiled, stablehlo};
use natgrad::inspect::Stage;
use natgrad::pjrt::{Arg, Buffer};
use natgrad::posterior::{Choice, Generator, PredictorError, Prompt};
use natgrad::rule::{Ivon, NamedRule};
use natgrad::step::{Extent, Slot, StateKind};
use natgrad_ir::DType;
use natgrad_ir::interp::Tensor;
use natgrad_layers::{Gpt2, NamedModel};

use crate::device::{DEVICE, download, lowering, upload};
use crate::hlo::{compile, faults, natgrads_own, summary};
use crate::kit::{Setup, Values, floats, interpret, numbers};

const CONTEXT: usize = 8;
const TEXT: [u32; CONTEXT] = [6, 1, 4, 4, 0, 3, 5, 2];

fn setup(dtype: DType) -> Setup {
    let gpt2 = Gpt2 {
        vocabulary: 7,
        context: CONTEXT,
        layers: 2,
        heads: 2,
        width: 8,
        bias: false,
        ..Default::default()
    };
    Setup { dtype, ..Setup::new(NamedModel::Gpt2(gpt2), NamedRule::Ivon(Ivon::default())) }
}

/// Parameters that single precision holds exactly; places count more than tokens, or the likeliest token is always the same.
fn parameters(setup: &Setup, seed: u64) -> Values {
    let interface = setup.recipe().interface(1).unwrap();
    let of = |param: usize| {
        let slot = Slot::State(StateKind::MEAN, param);
        let ty = interface.ty(slot);
        let bound = if interface.params[param].name == "wpe.weight" { 8.0 } else { 1.0 };
        let numbers = numbers(seed, param, ty.shape.elements(), bound);
        (slot, Tensor::from_f64s(ty, &numbers).unwrap())
    };
    (0..interface.params.len()).map(of).collect()
}

/// The inputs that are the same for every set of parameters: tokens, and the position of the last that counts.
fn text(tokens: &[u32], position: usize) -> Values {
    let tokens = Tensor::from_u32s([1, tokens.len()], tokens).unwrap();
    let position = Tensor::from_u32s([], &[position as u32]).unwrap();
    [(Slot::Features(0, Extent::Batch), tokens), (Slot::Position, position)].into()
}

/// Runs a program and takes the next token's log-probabilities from what it gives; the rest is what it keeps.
fn run(compiled: &Compiled, kept: &Values, donated: Vec<(Slot, Buffer)>) -> (Vec<f64>, Vec<(Slot, Buffer)>) {
    let kept: Vec<(Slot, Buffer)> = kept.iter().map(|(&slot, tensor)| (slot, upload(tensor))).collect();
    let mut donated: Vec<_> = donated.into_iter().map(|(slot, buffer)| (slot, Some(buffer))).collect();
    let outputs = compiled.run(|slot| {
        if let Some((_, buffer)) = donated.iter_mut().find(|(known, _)| *known == slot) {
            return buffer.take().map(Arg::Donate);
        }
        kept.iter().find(|(known, _)| *known == slot).map(|(_, buffer)| Arg::Keep(buffer))
    });
    let (next, cache): (Vec<_>, Vec<_>) =
        outputs.unwrap().into_iter().partition(|(slot, _)| *slot == Slot::Next);
    let ty = compiled.program.interface.ty(Slot::Next);
    (download(&next[0].1, &ty).to_f64s(), cache)
}

fn distance(found: &[f64], wanted: &[f64]) -> f64 {
    assert_eq!(found.len(), wanted.len());
    let apart = found.iter().zip(wanted).map(|(x, y)| (x - y).abs());
    apart.map(|x| if x.is_nan() { f64::INFINITY } else { x }).fold(0.0, f64::max)
}

/// The interpreter reads the text anew for each position, in double precision. Log-probabilities are up to 5 here, with
/// units in the last place of 4.8e-7 and 8.9e-16; some hundred roundings come before: the tolerances are 10 and 100 units.
#[test]
fn a_text_read_token_by_token_has_the_interpreters_probabilities() {
    let exact = setup(DType::F64);
    let next = exact.recipe().next(CONTEXT).unwrap().unwrap();
    let wanted: Vec<Vec<f64>> = (0..CONTEXT)
        .map(|at| {
            let mut given = parameters(&exact, 5);
            given.extend(text(&TEXT, at));
            floats(&interpret(&next, &given), Slot::Next)
        })
        .collect();
    for (dtype, tolerance) in [(DType::F64, 1e-13), (DType::F32, 5e-6)] {
        let setup = setup(dtype);
        let (recipe, parameters) = (setup.recipe(), parameters(&setup, 5));
        let next = DEVICE.compile(recipe.next(CONTEXT).unwrap().unwrap()).unwrap();
        let extend = DEVICE.compile(recipe.extend(CONTEXT).unwrap().unwrap()).unwrap();
        for read in [1, 3, 7] {
            let mut padded = TEXT;
            padded[read..].fill(0);
            let mut given = parameters.clone();
            given.extend(text(&padded, read - 1));
            let (mut found, mut cache) = run(&next, &given, Vec::new());
            for at in read..=CONTEXT {
                let apart = distance(&found, &wanted[at - 1]);
                assert!(apart < tolerance, "{dtype} {apart:e} after {at} tokens, {read} read at once");
                if at < CONTEXT {
                    given.extend(text(&TEXT[at..=at], at));
                    (found, cache) = run(&extend, &given, cache);
                }
            }
        }
    }
    assert!(distance(&wanted[3], &wanted[2]) > 0.1, "the same token at another position");
}

/// Where they are donated; a copy of them is made where they are not.
#[test]
fn keys_and_values_are_replaced_in_place() {
    let setup = setup(DType::F32);
    let program = setup.recipe().extend(CONTEXT).unwrap().unwrap();
    let executable = compile(&stablehlo(&program, lowering()).unwrap(), &natgrads_own());
    assert_eq!(faults(&summary(&executable), &program, &[Stage::Extend], false), BTreeSet::new());

    let compiled = DEVICE.compile(program).unwrap();
    let interface = &compiled.program.interface;
    let tensor = |slot: Slot| {
        let ty = interface.ty(slot);
        let numbers = numbers(9, 0, ty.shape.elements(), 1.0);
        Tensor::from_f64s(ty, &numbers).unwrap()
    };
    let cache: Values = interface.cached().into_iter().map(|slot| (slot, tensor(slot))).collect();
    assert_eq!(cache.len(), 4);
    let mut given = parameters(&setup, 5);
    given.extend(text(&[3], 2));
    let address = |buffers: &[(Slot, Buffer)]| -> Vec<usize> {
        buffers.iter().map(|(_, buffer)| buffer.address().unwrap()).collect()
    };
    let donated: Vec<(Slot, Buffer)> = cache.iter().map(|(&slot, tensor)| (slot, upload(tensor))).collect();
    let before = address(&donated);
    let (_, after) = run(&compiled, &given, donated);
    assert_eq!(address(&after), before);
    for (slot, buffer) in &after {
        let (found, held) = (download(buffer, &interface.ty(*slot)).to_f64s(), floats(&cache, *slot));
        // [2 heads, 4 numbers, 8 positions]: those of position 2 alone are new.
        let changed: Vec<usize> = (0..64).filter(|&at| found[at] != held[at]).collect();
        assert_eq!(changed, [2, 10, 18, 26, 34, 42, 50, 58]);
    }
}

/// Whatever is kept, and by how many sets of parameters, the next token has the probabilities that reading all that is
/// seen gives it; also where the text is longer than the context, and where several tokens came at once.
#[test]
fn a_text_being_written_is_as_if_it_were_read_anew() {
    let setup = setup(DType::F32);
    let recipe = setup.recipe();
    let set = |seed: u64| -> Vec<Buffer> { parameters(&setup, seed).values().map(upload).collect() };
    for seeds in [&[5][..], &[5, 6, 7]] {
        let sets = seeds.iter().map(|&seed| set(seed)).collect();
        let generator = Generator::new(&DEVICE, &recipe, sets, 100).unwrap().unwrap();
        for at_once in [1, 3, 8, 11] {
            let mut tokens: Vec<u32> = TEXT.into_iter().cycle().take(at_once).collect();
            let mut text = generator.text(tokens.clone());
            for token in [2, 2, 6, 0, 1, 5, 3, 3, 4, 1] {
                let wanted = generator.next(&tokens).unwrap();
                for _ in 0..2 {
                    let apart = distance(&text.predict().unwrap(), &wanted);
                    assert!(apart < 5e-6, "{apart:e} after {tokens:?}");
                }
                if token == 0 {
                    tokens.push(4);
                    text.push(4);
                }
                tokens.push(token);
                text.push(token);
            }
        }
    }
}

/// The likeliest token each time.
#[test]
fn a_text_is_written_as_if_it_were_read_anew_for_each_token() {
    let setup = setup(DType::F32);
    let sets = vec![parameters(&setup, 5).values().map(upload).collect()];
    let generator = Generator::new(&DEVICE, &setup.recipe(), sets, 100).unwrap().unwrap();
    let choice = Choice { temperature: 0.0, top_k: None };
    let mut wanted = vec![6];
    for _ in 0..12 {
        wanted.push(choice.choose(&generator.next(&wanted).unwrap(), 0.0));
    }
    let mut found = vec![6];
    let prompt = Prompt { tokens: &[6], count: 12, choice, vocabulary: 7, end: None, seed: 0 };
    let mut told = |token| -> Result<(), PredictorError> {
        found.push(token);
        Ok(())
    };
    generator.generate(&prompt, &mut told).unwrap();
    assert_eq!(found, wanted);
    assert!(found.iter().collect::<BTreeSet<_>>().len() > 2, "{found:?}");
}
