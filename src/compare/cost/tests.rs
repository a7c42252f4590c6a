//! Models of made-up times, of which the law is known.

use proptest::prelude::*;

use super::*;
use crate::compare::report::Report;
use crate::compare::{Interval, Work};

fn figures() -> DeviceFigures {
    DeviceFigures {
        name: "toy".to_string(),
        bandwidth: 2e10,
        cached: Some(8e10),
        products: [("f32".to_string(), 1.6e11), ("bf16".to_string(), 6.4e11)].into(),
        elementwise: 1e10,
        measured: None,
    }
}

fn work([calls, flops, bytes, drawn]: [f64; 4]) -> Work {
    Work { calls, flops: [("f32".to_string(), flops)].into(), bytes, drawn }
}

/// A row of a case.
fn row(case: usize, rule: &str, work: Work, milliseconds: f64) -> Row {
    let exactly = Interval { median: milliseconds, low: milliseconds, high: milliseconds };
    let json = serde_json::json!({
        "config": "toy", "variation": {"batch": case}, "rule": rule, "step_ms": exactly, "ratio": exactly, "work": work
    });
    serde_json::from_value(json).unwrap()
}

/// Two rules on perceptrons' work at several batches, in as many ms as `law` says. Were all calls of one step, bytes would follow from
/// the rest.
fn rows(batches: &[usize], law: impl Fn(&Work) -> f64) -> Vec<Row> {
    let rules = |(&batch, calls): (&usize, f64)| {
        let size = batch as f64;
        let adamw = work([calls, 1e7 * size, 6e7 + 1e5 * size, 0.0]);
        let ivon = work([calls, 1e7 * size, 8e7 + 1e5 * size, 2e6]);
        [("adamw", adamw), ("ivon", ivon)].map(|(rule, work)| row(batch, rule, work.clone(), law(&work)))
    };
    batches.iter().zip([1.0, 0.1, 0.2].into_iter().cycle()).flat_map(rules).collect()
}

/// So many ms at these rates: us a call, GF/s, GB/s, ns an element.
fn at([call, products, memory, drawn]: [f64; 4]) -> impl Fn(&Work) -> f64 {
    move |work| {
        let flops: f64 = work.flops.values().sum();
        1e-3 * call * work.calls
            + 1e-6 * flops / products
            + 1e-6 * work.bytes / memory
            + 1e-6 * drawn * work.drawn
    }
}

const BATCHES: [usize; 5] = [8, 32, 64, 256, 1024];

#[track_caller]
fn assert_is(cost: Cost, expected: f64) {
    let Cost::Found { value, low, high } = cost else { panic!("{cost:?} is not {expected}") };
    for found in [value, low, high] {
        assert!((found / expected - 1.0).abs() < 1e-5, "{found} is not {expected}");
    }
}

fn said(rows: Vec<Row>, model: &CostModel) -> String {
    let report = Report { rows, model: Some(model.clone()), ..Report::default() };
    let (text, markdown, html) = (report.text(), report.markdown(), report.html());
    let lines = report.cost_model().unwrap().0;
    for line in &lines {
        assert!(text.contains(line) && markdown.contains(line) && html.contains(line), "{line}");
    }
    lines.join("\n")
}

#[test]
fn costs_within_the_bounds_are_found_again() {
    let rows = rows(&BATCHES, at([500.0, 120.0, 30.0, 0.4]));
    let model = CostModel::fit(&rows, &figures()).unwrap();
    assert!(matches!(model.verdict, ModelFit::Fits { off, .. } if off < 1e-5), "{model:?}");
    let costs = model.costs.clone().unwrap();
    assert_is(costs.us_per_call, 500.0);
    assert_is(costs.gflops["f32"], 120.0);
    assert_is(costs.gbytes_per_second, 30.0);
    assert_is(costs.ns_per_drawn, 0.4);
    assert!(said(rows, &model).contains("products and convolutions of f32: 120.0 GF/s (120.0 to 120.0)"));
}

#[test]
fn types_reach_the_same_part_of_what_each_can() {
    let mut rows = rows(&BATCHES, at([500.0, 80.0, 30.0, 0.4]));
    for (batch, rule) in [(8, "adamw"), (64, "ivon"), (1024, "ivon")] {
        let halves = Work {
            flops: [("bf16".to_string(), 1e7 * f64::from(batch))].into(),
            ..work([1.0, 0.0, 4e7, 1e6])
        };
        let milliseconds = at([500.0, 320.0, 30.0, 0.4])(&halves);
        rows.push(row(10_000 + batch as usize, rule, halves, milliseconds));
    }
    let costs = CostModel::fit(&rows, &figures()).unwrap().costs.unwrap();
    assert_is(costs.gflops["f32"], 80.0);
    assert_is(costs.gflops["bf16"], 320.0);
}

#[test]
fn a_rate_above_what_was_measured_is_none() {
    // Products at a rate that the device does not have, in steps that mostly move bytes.
    let rows = rows(&[1, 2, 4, 8, 16], at([0.0, 1183.0, 20.0, 0.4]));
    let model = CostModel::fit(&rows, &figures()).unwrap();
    assert!(matches!(model.verdict, ModelFit::Fits { .. }), "{model:?}");
    let costs = model.costs.as_ref().unwrap();
    assert_eq!(costs.gflops["f32"], Cost::AtBest { measured: 160.0 });
    assert_eq!(costs.us_per_call, Cost::NotDetermined, "it costs nothing");
    let said = said(rows, &model);
    assert!(
        said.contains("f32: not determined by these cases, at the 160.0 GF/s that were measured"),
        "{said}"
    );
    assert!(!said.contains("1183"), "{said}");
}

#[test]
fn rates_far_above_what_was_measured_are_no_fit() {
    let rows = rows(&BATCHES, at([0.0, 1183.0, 400.0, 0.0]));
    let model = CostModel::fit(&rows, &figures()).unwrap();
    assert!(matches!(model.verdict, ModelFit::DoesNotFit { .. }), "{model:?}");
}

#[test]
fn another_law_does_not_fit() {
    // Twice the batch takes four times as long.
    let rows =
        rows(&BATCHES, |work| (work.flops["f32"] / 1e9).powi(2) * if work.drawn > 0.0 { 11.0 } else { 10.0 });
    let model = CostModel::fit(&rows, &figures()).unwrap();
    let ModelFit::DoesNotFit { worst, off } = model.verdict else { panic!("{model:?}") };
    assert!(off > FAR && model.costs.is_none() && model.trusted().is_empty(), "{model:?}");
    let json = serde_json::to_value(&model).unwrap();
    assert!(json.get("costs").is_none() && json["verdict"]["kind"] == "does_not_fit", "{json}");
    let case = format!("{} {}", rows[worst].case(), rows[worst].rule);
    let said = said(rows, &model);
    let told = format!("does not fit: the worst case, {case}, is off by {}", crate::report::percent(off));
    assert!(said.contains(&told) && said.contains("Do not use it"), "{said}");
    assert!(!said.contains("Fitted to the rows"), "{said}");
}

#[test]
fn fewer_works_than_terms_are_no_model() {
    let law = at([500.0, 120.0, 30.0, 0.4]);
    assert_eq!(CostModel::fit(&[], &figures()), None);
    assert_eq!(CostModel::fit(&rows(&[8], &law), &figures()), None, "one case");
    let few = rows(&[8, 64], &law);
    let model = CostModel::fit(&few, &figures()).unwrap();
    assert_eq!(model.verdict, ModelFit::TooFew { works: 2, terms: 4 });
    assert!(model.costs.is_none() && model.predictions.is_empty() && model.error.is_none());
    assert!(said(few, &model).starts_with("No model of the cost"));
    // The same work again and again tells nothing new.
    let same: Vec<Row> =
        (0..9).map(|case| row(case, "ivon", work([1.0, 1e9, 1e8, 1e6]), 5.0 + case as f64)).collect();
    let verdict = CostModel::fit(&same, &figures()).unwrap().verdict;
    assert_eq!(verdict, ModelFit::TooFew { works: 0, terms: 4 });
}

#[test]
fn a_term_that_only_one_case_has_is_not_predicted_from_the_others() {
    let law = at([500.0, 120.0, 30.0, 0.4]);
    let mut rows = rows(&BATCHES, &law);
    rows.iter_mut().skip(1).for_each(|row| row.work.as_mut().unwrap().drawn = 0.0);
    rows[0].work.as_mut().unwrap().drawn = 1e6;
    assert_eq!(CostModel::fit(&rows, &figures()).unwrap().verdict, ModelFit::TooFew { works: 0, terms: 4 });
}

#[test]
fn what_cannot_be_told_apart_is_not_determined() {
    // Twice the batch is twice of everything, so nothing tells what takes the time.
    let rows: Vec<Row> = BATCHES
        .iter()
        .map(|&batch| {
            let work = work([batch as f64, 1e9 * batch as f64, 1e8 * batch as f64, 0.0]);
            row(batch, "adamw", work.clone(), at([500.0, 120.0, 30.0, 0.4])(&work))
        })
        .collect();
    let costs = CostModel::fit(&rows, &figures()).unwrap().costs.unwrap();
    let found = [costs.us_per_call, costs.gflops["f32"], costs.gbytes_per_second];
    assert!(!found.iter().any(|cost| matches!(cost, Cost::Found { .. })), "{found:?}");
    assert_eq!(costs.ns_per_drawn, Cost::Absent);
}

#[test]
fn what_one_case_decides_is_not_determined() {
    // Noise's cost is 0.2 ns in one case and 4 in the others.
    let (some, more) = (at([0.0, 120.0, 30.0, 0.2]), at([0.0, 120.0, 30.0, 4.0]));
    let rows = rows(&BATCHES, |work| if work.flops["f32"] == 1e7 * 8.0 { some(work) } else { more(work) });
    let model = CostModel::fit(&rows, &figures()).unwrap();
    assert!(model.costs.is_none_or(|costs| costs.ns_per_drawn == Cost::NotDetermined));
}

/// Powers of ten, and nothing.
fn amount(least: i32, most: i32) -> impl Strategy<Value = f64> {
    prop_oneof![1 => Just(0.0), 6 => (f64::from(least)..f64::from(most)).prop_map(|power| 10_f64.powf(power))]
}

proptest! {
    #[test]
    fn no_rate_is_above_its_bound_and_nothing_is_nan(
        rows in prop::collection::vec(
            (0_usize..8, amount(-2, 1), amount(3, 13), amount(3, 11), amount(0, 9), -4.0..5.0),
            0..16,
        ),
        peaks in [9.0..13.0, 9.0..13.0, 9.0..13.0, 9.0..13.0],
    ) {
        let [f32s, memory, cached, elementwise] = peaks.map(|power: f64| 10_f64.powf(power));
        let measured = DeviceFigures {
            name: "toy".to_string(),
            bandwidth: memory,
            cached: Some(cached),
            products: [("f32".to_string(), f32s)].into(),
            elementwise,
            measured: None,
        };
        let rows: Vec<Row> = rows
            .into_iter()
            .map(|(case, calls, flops, bytes, drawn, power): (_, _, _, _, _, f64)| {
                row(case, "ivon", work([calls, flops, bytes, drawn]), 10_f64.powf(power))
            })
            .collect();
        if let Some(model) = CostModel::fit(&rows, &measured) {
            let numbers = model.predictions.iter().map(|(_, predicted)| *predicted).chain(model.error);
            prop_assert!(numbers.into_iter().all(f64::is_finite), "{model:?}");
            if let Some(costs) = &model.costs {
                let rates = costs.gflops.values().map(|&cost| (cost, f32s / 1e9));
                let rates = rates.chain([(costs.gbytes_per_second, memory.max(cached) / 1e9)]);
                let others = [costs.us_per_call, costs.ns_per_drawn].map(|cost| (cost, f64::INFINITY));
                for (cost, bound) in rates.chain(others) {
                    match cost {
                        Cost::Found { value, low, high } => {
                            prop_assert!(0.0 <= low && low <= value && value <= high && high <= bound, "{cost:?}");
                            prop_assert!(high.is_finite(), "{cost:?}");
                        }
                        Cost::AtBest { measured } => prop_assert_eq!(measured, bound),
                        Cost::NotDetermined | Cost::Absent => {}
                    }
                }
            }
            // JSON has no NaN, so what comes back is what was.
            let json = serde_json::to_string(&model).unwrap();
            prop_assert!(!json.contains("null"), "{json}");
            let said = said(rows, &model);
            prop_assert!(!said.contains("NaN") && !said.contains("inf"), "{said}");
        }
    }
}
