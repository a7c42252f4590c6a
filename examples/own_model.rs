//! A model of your own: do two digits show the same number?
//!
//! `cargo run --release --example own_model`

use std::error::Error;

use natgrad::assets;
use natgrad::data::{DataConfig, Examples};
use natgrad::ndarray::{Axis, arr1};
use natgrad::prelude::*;

/// One network reads both images, another compares what it saw.
#[derive(Debug)]
pub struct SameDigit {
    /// The share of hidden units that are dropped.
    pub dropout: f64,
}

impl Model for SameDigit {
    fn inputs(&self) -> Vec<Input> {
        ["left", "right"].map(|name| Input::numbers(name, [28, 28, 1])).to_vec()
    }

    fn task(&self) -> Task {
        Task::Classes
    }

    fn outputs<'b>(&self, net: &Network<'b>, inputs: &[Expr<'b>]) -> Expr<'b> {
        let first = Conv::new("first", 5, 8).stride(2).then(Activation::Relu);
        let second = Conv::new("second", 3, 16).stride(2).then(Activation::Relu);
        let read = |image| second.apply(net, first.apply(net, image)); // twice, with the same parameters
        let apart = (read(inputs[0]) - read(inputs[1])).square().flatten();
        let hidden = Linear::new("hidden", 32).then(Activation::Relu).apply(net, apart);
        Linear::new("out", 2).apply(net, Dropout::new(self.dropout).apply(net, hidden))
    }
}

/// Each digit beside one that is most often of its class, and beside one of another.
fn pairs(digits: &Examples) -> Result<Arrays, Box<dyn Error>> {
    let (images, classes) = digits.arrays()?;
    let count = digits.len();
    let mut sorted: Vec<usize> = (0..count).collect();
    sorted.sort_by_key(|&row| classes[[row]]);
    let places =
        [1, count / 2].into_iter().flat_map(|far| (0..count).map(move |at| (at, (at + far) % count)));
    let (left, right): (Vec<_>, Vec<_>) = places.map(|(at, other)| (sorted[at], sorted[other])).unzip();
    let same: Vec<bool> = left.iter().zip(&right).map(|(&l, &r)| classes[[l]] == classes[[r]]).collect();
    let [left, right] = [left, right].map(|rows| images.select(Axis(0), &rows));
    Ok(Arrays::named("left", &left).and("right", &right).labels(&arr1(&same)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let digits = DataConfig::default().load(assets::fetch)?;
    let (rule, test) = (Ivon { lr: 0.8, hess_init: 0.1, ..Ivon::default() }, pairs(&digits.test)?);
    let device = Device::cpu()?;
    let run = Run::new(SameDigit { dropout: 0.1 }, rule).data(pairs(&digits.train)?).epochs(8);
    let mut run = run.out("runs/same-digit").start(&device)?;
    run.fit(|record| println!("step {:4}  loss {:.3}", record.step, record.loss))?;
    if let Some(scores) = run.predict(test, At::Samples(32))?.scores {
        println!("over 32 samples: {scores}");
    }
    Ok(())
}
