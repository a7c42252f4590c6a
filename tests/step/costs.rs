//! Bytes and flops of a perceptron's step on XLA:CPU, as computed by hand.

use natgrad::compile::{Target, stablehlo};
use natgrad::inspect::{About, HloModule, Node, Optimized, Phase, Report, Stage, StageCost, Traffic};
use natgrad::lower::Loops;
use natgrad::rule::{AdamW, Ivon, NamedRule};
use natgrad_layers::{Activation, NamedModel};

use crate::device::lowering;
use crate::hlo::{compile, mlp, natgrads_own, step};

const ROWS: u64 = 32;
const SIZES: [u64; 3] = [8, 16, 4];
/// Bytes of a number.
const F32: u64 = 4;

fn model() -> NamedModel {
    mlp(&SIZES.map(|size| size as usize), Activation::Relu)
}

fn optimized(model: NamedModel, rule: NamedRule, rows: usize) -> Optimized {
    let program = step(model, rule, rows);
    let text = stablehlo(&program, lowering()).unwrap();
    let executable = compile(&text, &natgrads_own());
    let module = HloModule::decode(&executable.optimized_hlo().unwrap()).unwrap();
    Optimized { program, module, assigned: executable.memory_stats().ok().map(Into::into) }
}

pub fn report(model: NamedModel, rule: NamedRule, rows: usize) -> Report {
    let own = optimized(model.clone(), rule.clone(), rows);
    let adamw = optimized(model, NamedRule::Adamw(AdamW::default()), rows);
    let interface = &own.program.interface;
    let about = About {
        natgrad: "test".to_owned(),
        program: "step".to_owned(),
        rule: rule.name().to_owned(),
        device: "cpu".to_owned(),
        parameters: interface.trained().map(|param| interface.params[param].shape.elements() as u64).sum(),
        config: serde_json::Value::Null,
    };
    // Round figures of no device.
    let figures = natgrad::inspect::DeviceFigures {
        name: "a round device".to_owned(),
        bandwidth: 1e9,
        cached: None,
        products: [("f32".to_owned(), 1e11)].into(),
        elementwise: 1e10,
        measured: None,
    };
    Report::of(about, &own, Some(&adamw), Some(&figures), Target::Cpu.outputs(Loops::Merged))
}

fn cost(report: &Report, phase: Phase) -> &StageCost {
    report.stages.iter().find(|cost| cost.name == phase).unwrap()
}

#[test]
fn what_flows_between_stages_is_what_they_are_for() {
    let report = report(model(), NamedRule::Ivon(Ivon::default()), ROWS as usize);
    let [inputs, hidden, classes] = SIZES;
    let parameters = F32 * (inputs * hidden + hidden + hidden * classes + classes);
    let (update, resample) = (Node::Phase(update()), Node::Phase(Phase::new(Stage::Resample, false)));
    let [forward, backward] = [Phase::Forward, Phase::Backward].map(Node::Phase);
    let edge = |from: Node, to: Node| {
        let edge = report.edges.iter().find(|edge| (edge.from, edge.to) == (from, to));
        edge.map_or((0, 0), |edge| (edge.arrays, edge.bytes))
    };
    // The sample; the backward pass needs the weight that gradients pass through.
    assert_eq!(edge(Node::State, forward), (4, parameters));
    assert_eq!(edge(Node::State, backward), (1, F32 * hidden * classes));
    assert_eq!(edge(Node::Data, forward), (2, ROWS * (F32 * inputs + F32)));
    // One loop replaces all state of a parameter, and counts as the stage that comes last in it.
    assert_eq!(edge(backward, resample), (4, parameters));
    // Mean, momentum, Hessian and sample.
    assert_eq!(edge(Node::State, resample), (16, 4 * parameters));
    assert_eq!(edge(resample, Node::State), (16, 4 * parameters));
    // XLA counts once, where the keys of the next step's noise need it, of which each loop reads two words of 64 bits.
    let key = Node::Phase(Phase::new(Stage::Key, false));
    assert_eq!(edge(Node::State, key), (1, F32));
    assert_eq!(edge(key, Node::State), (1, F32));
    assert_eq!(edge(key, resample), (8, 8 * 2 * F32));
    // The rate, and what corrects the momentum for its start.
    assert_eq!(edge(update, resample), (2, 2 * F32));
    // The loss and the count of correct rows.
    assert_eq!(edge(forward, Node::Results), (2, 2 * F32));
}

fn update() -> Phase {
    Phase::new(Stage::Update, false)
}

#[test]
fn flops_of_a_step_are_those_computed_by_hand() {
    let report = report(model(), NamedRule::Ivon(Ivon::default()), ROWS as usize);
    let [inputs, hidden, classes] = SIZES;
    let (activations, logits) = (ROWS * hidden, ROWS * classes);

    let forward = cost(&report, Phase::Forward);
    assert_eq!(forward.work.dot_flops(), 2 * ROWS * (inputs * hidden + hidden * classes));
    // Adding a bias and comparing with zero; adding the other bias.
    let layers = 2 * activations + logits;
    // Row maxima; shifted logits; exponentials; sums of those and of the label's.
    let normalization = (logits - ROWS) + logits + logits + 2 * (logits - ROWS);
    // Logarithms, less the label's logit, summed, over the rows; and which logits are the largest, at labels, counted.
    let loss = 2 * ROWS + (ROWS - 1) + 1;
    let correct = logits + ROWS + (ROWS - 1);
    assert_eq!(forward.work.elementwise, layers + normalization + loss + correct);
    // Which class is the label; which ones are before it, and of these the largest; whether there is such a class, and both.
    assert_eq!(forward.work.integers, logits + 2 * logits + 2 * ROWS);
    assert_eq!(forward.flops, forward.work.dot_flops() + forward.work.elementwise);

    let backward = cost(&report, Phase::Backward);
    // Both weights, and the hidden activations.
    assert_eq!(backward.work.dot_flops(), 2 * ROWS * (inputs * hidden + 2 * hidden * classes));
    // One over the sums; times the exponentials, less one at the label; sums for both biases; the rectifier's sign, from
    // its result.
    let by_hand = ROWS + 2 * logits + (ROWS - 1) * (classes + hidden) + activations;
    assert_eq!((backward.work.elementwise, backward.work.integers), (by_hand, 0));

    // Fields of a hash, each of two lanes: 4 keys' exclusive ors, 3 products, 3 foldings of 2 operations in 2 lanes,
    // and the sum of 4 halves of words; the scalars of the keys are counted too.
    let resample = cost(&report, Phase::new(Stage::Resample, false));
    assert!(resample.work.integers / report.about.parameters >= 4 + 2 * 3 + 2 * 3 * 2 + 4);
}

#[test]
fn bytes_of_a_step_are_those_computed_by_hand() {
    let report = report(model(), NamedRule::Ivon(Ivon::default()), ROWS as usize);
    let [inputs, hidden, classes] = SIZES;
    let (activations, logits) = (ROWS * hidden, ROWS * classes);
    let parameters = inputs * hidden + hidden + hidden * classes + classes;
    assert_eq!(report.about.parameters, parameters);
    let numbers = |read: u64, written: u64| Traffic { read: F32 * read, written: F32 * written };

    // Truth values take a byte.
    let with_truth = |truth_read: u64, truth_written: u64, traffic: Traffic| Traffic {
        read: truth_read + traffic.read,
        written: truth_written + traffic.written,
    };

    let kernels = [
        numbers(ROWS * inputs + inputs * hidden, activations), // the first layer's product
        numbers(activations + hidden + 1, activations),        // its bias and rectifier
        numbers(activations + hidden * classes, logits),       // the second layer's product
        numbers(logits + classes, logits),                     // its bias
        numbers(logits + 1, ROWS),                             // row maxima, from a starting value
        numbers(logits + ROWS, logits),                        // shifted logits
        numbers(logits, logits),                               // their exponentials
        with_truth(0, logits, numbers(ROWS, 0)),               // which logits are the labels'
        with_truth(logits, 0, numbers(logits + ROWS + 1, ROWS)), // shifted logits of labels
        numbers(logits + 1, ROWS),                             // sums of exponentials
        numbers(3 * ROWS + 2, 2), // the loss, and how many labels are the first class of the largest logits
    ];
    let sum = kernels.into_iter().fold(Traffic::default(), Traffic::plus);
    assert_eq!(cost(&report, Phase::Forward).traffic, sum);

    let kernels = [
        numbers(ROWS + 1, ROWS),                                   // one over the sums
        with_truth(logits, 0, numbers(logits + ROWS + 1, logits)), // the logits' gradient
        numbers(logits + hidden * classes, activations),           // the activations'
        numbers(activations + logits, hidden * classes),           // the second weight's
        numbers(logits + 1, classes),                              // the second bias's
        numbers(2 * activations + 1, activations),                 // through the rectifier
        numbers(ROWS * inputs + activations, inputs * hidden),     // the first weight's
        numbers(activations + 1, hidden),                          // the first bias's
    ];
    let sum = kernels.into_iter().fold(Traffic::default(), Traffic::plus);
    assert_eq!(cost(&report, Phase::Backward).traffic, sum);

    // One loop for all state of a tensor: of the gradient, mean, momentum, hess and sample. And its scalars, of which its key
    // has four numbers, and those of the schedule and of what corrects the momentum for its start.
    let optimizer = 5 + 4;
    assert_eq!(F32 * optimizer, 36);
    let (per_tensor, schedule, debias) = (6 + 4, (1 + 1) + (2 + 1) + (9 + 2), 3 + 1);
    let scalars = 4 * per_tensor + schedule + debias;
    let bytes = cost(&report, update()).bytes + cost(&report, Phase::new(Stage::Resample, false)).bytes;
    assert_eq!(bytes, F32 * (optimizer * parameters + scalars));

    // AdamW: of the gradient, both moments and parameters; at most ten scalars a tensor, and those of the schedule.
    let adamw = report.adamw.as_ref().unwrap();
    let bytes = adamw.stages.iter().find(|cost| cost.name == update()).unwrap().bytes;
    let optimizer = 4 + 3;
    assert_eq!(F32 * optimizer, 28);
    let most = F32 * (optimizer * parameters + 4 * 10 + schedule + debias);
    assert!((F32 * optimizer * parameters..most).contains(&bytes), "{bytes}");
    // The model's passes are the same.
    for phase in [Phase::Forward, Phase::Backward] {
        assert_eq!(adamw.stages.iter().find(|cost| cost.name == phase), Some(cost(&report, phase)));
    }
}

/// The sum of what lives at the fullest time against XLA's own buffer assignment, in which the least buffer, such as a
/// scalar, takes 64 bytes.
#[test]
fn temporaries_are_those_that_xla_assigns() {
    for (sizes, rows) in [(&[32usize, 64, 16] as &[usize], 128), (&[784, 1024, 1024, 10], 256)] {
        for rule in [NamedRule::Ivon(Ivon::default()), NamedRule::Adamw(AdamW::default())] {
            let optimized = optimized(mlp(sizes, Activation::Relu), rule.clone(), rows);
            let memory = natgrad::inspect::Memory::of(&optimized.module, optimized.assigned);
            let whole: u64 = memory.live.iter().map(|buffer| buffer.bytes.next_multiple_of(64)).sum();
            let share = whole as f64 / memory.assigned.unwrap().temporaries as f64;
            assert!((0.99..=1.01).contains(&share), "{} {sizes:?}: {share} {memory:#?}", rule.name());
            let live: u64 = memory.live.iter().map(|buffer| buffer.bytes).sum();
            assert_eq!(live, memory.temporaries);
            let assigned = memory.assigned.unwrap();
            assert_eq!((memory.arguments, memory.aliased), (assigned.arguments, assigned.aliased));
        }
    }
}
