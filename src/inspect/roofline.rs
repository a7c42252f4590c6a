//! The least time that a program can take on a device: what it has to move, and what it has to compute.

use std::collections::BTreeMap;

use natgrad_hlo::work::Work;
use serde::{Deserialize, Serialize};

use super::kernel::{Kernel, StageCost};
use super::stage::Phase;

/// What a device can do at best.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceFigures {
    /// The device.
    pub name: String,
    /// Bytes a second between main memory and the processor.
    pub bandwidth: f64,
    /// Bytes a second between the processor and arrays that its caches hold, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
    /// Floating-point operations a second of matrix products, by the name of the operands' type: `f32`, `bf16`. Types
    /// that are not here are taken to run like `f32`, or without that like single operations.
    pub products: BTreeMap<String, f64>,
    /// Single operations a second, floating-point or integer.
    pub elementwise: f64,
    /// Of figures that were measured, when and how surely.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// A measurement of a device: each figure is the best of several rounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// The day and time, in UTC.
    pub date: String,
    /// How many rounds there were.
    pub rounds: usize,
    /// The worst round's figures, which end the interval of each.
    pub worst: Box<DeviceFigures>,
}

/// The least times of a program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Roofline {
    /// The device.
    pub device: DeviceFigures,
    /// The least times of its phases, in the order of a step.
    pub stages: Vec<Floor>,
    /// The sum of them, in seconds.
    pub seconds: f64,
}

/// The least time of a phase, in seconds: the sum over its kernels, which run one after another, of the larger of the
/// times to move and to compute.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Floor {
    /// The phase.
    pub name: Phase,
    /// To move what its kernels read and write.
    pub memory: f64,
    /// To compute what they compute.
    pub compute: f64,
    /// The least time.
    pub seconds: f64,
}

impl DeviceFigures {
    /// Floating-point operations a second in products of operands of a type, at best.
    pub fn product_rate(&self, ty: &str) -> f64 {
        let products = self.products.get(ty).or_else(|| self.products.get("f32"));
        products.copied().unwrap_or(self.elementwise)
    }

    /// The same with products of single precision at this part of their rate.
    #[must_use]
    pub fn with_exact_products(mut self, part: f64) -> DeviceFigures {
        if let Some(rate) = self.products.get_mut("f32") {
            *rate *= part;
        }
        self.measured = self.measured.map(|measured| Measured {
            worst: Box::new(measured.worst.with_exact_products(part)),
            ..measured
        });
        self
    }

    /// The most bytes a second that anything moves: in caches, where that is known.
    pub fn fastest_bytes(&self) -> f64 {
        self.cached.map_or(self.bandwidth, |cached| cached.max(self.bandwidth))
    }

    /// The seconds that arithmetic takes at best.
    fn compute(&self, work: &Work) -> f64 {
        let seconds = |(ty, flops): (&str, u64)| flops as f64 / self.product_rate(ty);
        let products: f64 = work.products().into_iter().map(seconds).sum();
        products + (work.elementwise as f64 + work.integers as f64) / self.elementwise
    }

    /// The seconds that so many bytes take at best.
    fn memory(&self, bytes: u64) -> f64 {
        bytes as f64 / self.bandwidth
    }
}

impl Roofline {
    /// The least times of a program of these kernels, with a floor for each of these phases.
    pub fn of(kernels: &[Kernel], stages: &[StageCost], device: &DeviceFigures) -> Roofline {
        let floor = |name: Phase| {
            let zero = Floor { name, memory: 0.0, compute: 0.0, seconds: 0.0 };
            kernels.iter().filter(|kernel| kernel.origin.phase == name).fold(zero, |sum, kernel| {
                let (memory, compute) = (device.memory(kernel.traffic.total()), device.compute(&kernel.work));
                Floor {
                    memory: sum.memory + memory,
                    compute: sum.compute + compute,
                    seconds: sum.seconds + memory.max(compute),
                    ..sum
                }
            })
        };
        let stages: Vec<Floor> = stages.iter().map(|cost| floor(cost.name)).collect();
        Roofline { seconds: stages.iter().map(|floor| floor.seconds).sum(), stages, device: device.clone() }
    }
}

impl Floor {
    /// What takes longer.
    pub fn bound(&self) -> &'static str {
        if self.seconds == 0.0 {
            "-"
        } else if self.memory >= self.compute {
            "memory"
        } else {
            "compute"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::{Origin, Stage, Traffic, stage_costs};

    fn kernel(phase: Phase, bytes: u64, work: Work) -> Kernel {
        Kernel {
            name: "k".to_owned(),
            computation: "main".to_owned(),
            does: "fusion kLoop".to_owned(),
            origin: Origin { phase, layer: String::new() },
            phases: [phase].into(),
            shape: "f32[]".to_owned(),
            runs: 1,
            runs_known: true,
            traffic: Traffic { read: bytes, written: 0 },
            work,
            inside: Vec::new(),
        }
    }

    #[test]
    fn a_floor_is_the_sum_of_the_larger_times_of_kernels() {
        let device = DeviceFigures {
            name: "toy".to_owned(),
            bandwidth: 100.0,
            cached: None,
            products: [("f32".to_owned(), 1000.0), ("bf16".to_owned(), 2000.0)].into(),
            elementwise: 10.0,
            measured: None,
        };
        let dots = |ty: &str, flops| Work { dots: [(ty.to_owned(), flops)].into(), ..Work::default() };
        let update = Phase::new(Stage::Update, false);
        let kernels = [
            // 3 seconds of memory against 2 of products.
            kernel(Phase::Forward, 300, dots("f32", 2000)),
            // 1 second of memory against 4 of products and 1 of single operations.
            kernel(Phase::Forward, 100, Work { elementwise: 6, integers: 4, ..dots("bf16", 8000) }),
            kernel(update, 200, Work { elementwise: 5, ..Work::default() }),
        ];
        let roofline = Roofline::of(&kernels, &stage_costs(&kernels), &device);
        let [forward, other] = roofline.stages.as_slice() else { panic!("{roofline:?}") };
        assert_eq!((forward.memory, forward.compute, forward.seconds), (4.0, 7.0, 8.0));
        assert_eq!((other.name, other.seconds, other.bound()), (update, 2.0, "memory"));
        assert_eq!((forward.bound(), roofline.seconds), ("compute", 10.0));
        // What the device has no figure for runs like f32.
        assert_eq!(device.compute(&dots("f16", 1000)), 1.0);
        let exact = device.with_exact_products(0.5);
        assert_eq!((exact.product_rate("f32"), exact.product_rate("bf16")), (500.0, 2000.0));
    }
}
