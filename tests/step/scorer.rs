//! Texts scored token by token: as the interpreter predicts each token after what its window shows of the text before it.

use natgrad::data::{DataConfig, Examples, Taught, TokenType, Tokens};
use natgrad::pjrt::Buffer;
use natgrad::posterior::{Posterior, Scorer, WeightsAt};
use natgrad::rule::{Ivon, NamedRule};
use natgrad::step::{Extent, Slot, StateKind};
use natgrad_ir::interp::Tensor;
use natgrad_ir::{DType, TensorType};
use natgrad_layers::{Gpt2, NamedModel};

use crate::device::{DEVICE, download};
use crate::kit::{Setup, Values, floats, interpret, numbers};

const CONTEXT: usize = 4;
const VOCABULARY: usize = 7;
const TEXT: [u16; 11] = [6, 1, 4, 4, 0, 3, 5, 2, 6, 6, 1];
/// Log-probabilities are up to 5 here, whose unit in the last place is 4.8e-7; some hundred roundings come before.
const TOLERANCE: f64 = 5e-6;

fn setup(dtype: DType) -> Setup {
    let gpt2 = Gpt2 {
        vocabulary: VOCABULARY,
        context: CONTEXT,
        layers: 2,
        heads: 2,
        width: 8,
        ..Default::default()
    };
    let ivon = Ivon { hess_init: 0.5, ess: Some(2.0), ..Ivon::default() };
    Setup { dtype, ..Setup::new(NamedModel::Gpt2(gpt2), NamedRule::Ivon(ivon)) }
}

fn text() -> Tokens {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.bin");
    std::fs::write(&path, TEXT.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
    let ty = TensorType::new(DType::U32, [CONTEXT]);
    let taught = Taught {
        features: ty.clone(),
        labels: ty,
        classes: VOCABULARY,
        class_names: Vec::new(),
        table: None,
        tokenizer: None,
    };
    let folder = folder.path().to_path_buf();
    let data =
        DataConfig::TokenBins { folder, dtype: TokenType::Uint16, context: CONTEXT, vocabulary: VOCABULARY };
    match data.open_to_predict(&path, &taught).unwrap() {
        Examples::Tokens(tokens) => tokens,
        _ => panic!("no tokens"),
    }
}

/// The probabilities of all tokens after those of the text up to `last`, of which the window begins at `first`.
fn predict(exact: &Setup, parameters: &[Vec<f64>], first: usize, last: usize) -> Vec<f64> {
    let next = exact.recipe().next(CONTEXT).unwrap().unwrap();
    let mut seen: Vec<u32> = TEXT[first..=last].iter().map(|&token| token.into()).collect();
    seen.resize(CONTEXT, 0);
    let mut given: Values = parameters
        .iter()
        .enumerate()
        .map(|(param, numbers)| {
            let slot = Slot::State(StateKind::MEAN, param);
            (slot, Tensor::from_f64s(next.interface.ty(slot), numbers).unwrap())
        })
        .collect();
    let position = Tensor::from_u32s([], &[(last - first) as u32]).unwrap();
    given.insert(Slot::Features(0, Extent::Batch), Tensor::from_u32s([1, CONTEXT], &seen).unwrap());
    given.insert(Slot::Position, position);
    floats(&interpret(&next, &given), Slot::Next).iter().map(|log| log.exp()).collect()
}

fn entropy(p: &[f64]) -> f64 {
    -p.iter().map(|p| p * p.ln()).sum::<f64>()
}

#[test]
fn tokens_are_scored_after_what_their_window_shows() {
    let (single, exact) = (setup(DType::F32), setup(DType::F64));
    let recipe = single.recipe();
    let interface = recipe.interface(1).unwrap();
    // Numbers that single precision holds; the Hessian is the initial one.
    let state = |slot: Slot| -> Option<(TensorType, Vec<u8>)> {
        let ty = interface.ty(slot);
        let elements = ty.shape.elements();
        let numbers = match slot {
            Slot::State(StateKind::MEAN, param) => numbers(5, param, elements, 1.0),
            Slot::State(StateKind::HESS, _) => vec![0.5; elements],
            _ => return None,
        };
        Some((ty.clone(), natgrad::compile::bytes::to_bytes(ty.dtype, &numbers)))
    };
    let tensors: Vec<(String, (TensorType, Vec<u8>))> =
        interface.state().into_iter().filter_map(|slot| Some((interface.name(slot), state(slot)?))).collect();
    let values = recipe.values(2, 4);
    let posterior = Posterior::new(&DEVICE, &recipe, values.clone(), |name| {
        let (_, (ty, bytes)) = tensors.iter().find(|(known, _)| known == name)?;
        Some((ty, bytes.as_slice()))
    })
    .unwrap();
    let host = |buffers: &[&Buffer]| -> Vec<Vec<f64>> {
        let of = |(param, buffer): (usize, &&Buffer)| {
            download(buffer, &interface.ty(Slot::State(StateKind::MEAN, param))).to_f64s()
        };
        buffers.iter().enumerate().map(of).collect()
    };
    let means: Vec<&Buffer> =
        (0..interface.params.len()).map(|param| posterior.state(StateKind::MEAN, param).unwrap()).collect();
    let samples: Vec<Vec<Vec<f64>>> = (0..3)
        .map(|sample| host(&posterior.sample(9, sample).unwrap().unwrap().iter().collect::<Vec<_>>()))
        .collect();
    let text = text();
    let state = |kind, param| posterior.state(kind, param);
    let over = WeightsAt::Samples { values: &values, seed: 9, count: 3 };
    let mut nlls = Vec::new();
    for rows in [1, 2] {
        let scorer = Scorer::new(&DEVICE, &recipe, rows).unwrap().unwrap();
        for (at, sets) in [(WeightsAt::Mean, vec![host(&means)]), (over, samples.clone())] {
            for stride in 1..=CONTEXT {
                let found = scorer.score(&state, &text, stride, at).unwrap();
                assert_eq!(found.len(), TEXT.len() - 1);
                for token in 1..TEXT.len() {
                    // The window in which this token is among the last `stride`, or the first window.
                    let window = token.saturating_sub(CONTEXT).div_ceil(stride);
                    let each: Vec<Vec<f64>> =
                        sets.iter().map(|set| predict(&exact, set, window * stride, token - 1)).collect();
                    let count = each.len() as f64;
                    let p: Vec<f64> = (0..VOCABULARY)
                        .map(|other| each.iter().map(|p| p[other]).sum::<f64>() / count)
                        .collect();
                    let own = p[TEXT[token] as usize];
                    let wanted = [
                        own.ln(),
                        p.iter().copied().fold(0.0, f64::max),
                        p.iter().filter(|&&other| other > own).count() as f64,
                        entropy(&p),
                        each.iter().map(|p| entropy(p)).sum::<f64>() / count,
                    ];
                    let found = [&found.logs, &found.largest, &found.ahead, &found.entropy, &found.aleatoric]
                        .map(|list| list[token - 1]);
                    for (found, wanted) in found.iter().zip(wanted) {
                        let apart = (found - wanted).abs();
                        assert!(apart < TOLERANCE, "{apart:e} at token {token}, stride {stride}, {at:?}");
                    }
                }
                nlls.push(-found.logs.iter().sum::<f64>());
            }
        }
    }
    // The stride and the samples matter: the checks above could fail.
    assert!((nlls[0] - nlls[3]).abs() > 1e-3 && (nlls[0] - nlls[4]).abs() > 1e-3, "{nlls:?}");
}
