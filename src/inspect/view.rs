//! A report as text.

use super::kernel::StageCost;
use super::memory::{Assigned, Memory};
use super::report::{About, Report, optimizer_bytes};
use super::roofline::{DeviceFigures, Roofline};
use super::stage::Phase;
use super::titled::{Align, Titled, grouped};
use super::verdict::Verdict;
use crate::report::prefix;

/// Buffers that are listed at most.
const LISTED: usize = 20;

impl Report {
    /// What was inspected, in a line.
    pub fn title(&self) -> String {
        self.about.title()
    }

    /// All that is reported of the program itself.
    pub fn text(&self) -> String {
        [
            self.title(),
            self.verdict_text(),
            self.stage_text(),
            self.kernel_text(),
            self.memory_text(),
            self.roofline_text(),
        ]
        .concat()
    }

    /// The verdicts.
    pub fn verdict_text(&self) -> String {
        let mut table =
            Titled::new("verdicts", &[("", Align::Left), ("promise", Align::Left), ("found", Align::Left)]);
        for Verdict { name, pass, detail } in &self.verdicts {
            let mark = if *pass { "pass" } else { "FAIL" };
            table.row(vec![mark.to_owned(), name.words().to_owned(), detail.clone()]);
        }
        table.to_string()
    }

    /// The costs of the program's phases, beside AdamW's.
    pub fn stage_text(&self) -> String {
        let columns = [
            ("stage", Align::Left),
            ("kernels", Align::Right),
            ("in others", Align::Right),
            ("bytes read", Align::Right),
            ("bytes written", Align::Right),
            ("flops", Align::Right),
            ("of dots", Align::Right),
            ("of convolutions", Align::Right),
            ("integer operations", Align::Right),
            ("adamw's kernels", Align::Right),
            ("bytes", Align::Right),
        ];
        let mut table = Titled::new("stages", &columns);
        let of = |stages: &[StageCost], phase: Phase| stages.iter().find(|cost| cost.name == phase).cloned();
        for phase in self.phases() {
            let own = of(&self.stages, phase);
            let adamw = self.adamw.as_ref().and_then(|adamw| of(&adamw.stages, phase));
            let number = |cost: &Option<StageCost>, of: &dyn Fn(&StageCost) -> u64| {
                cost.as_ref().map_or_else(|| "-".to_owned(), |cost| grouped(of(cost)))
            };
            table.row(vec![
                phase.to_string(),
                number(&own, &|cost| cost.kernels),
                number(&own, &|cost| cost.shared),
                number(&own, &|cost| cost.traffic.read),
                number(&own, &|cost| cost.traffic.written),
                number(&own, &|cost| cost.flops),
                number(&own, &|cost| cost.work.dot_flops()),
                number(&own, &|cost| cost.work.convolution_flops()),
                number(&own, &|cost| cost.work.integers),
                number(&adamw, &|cost| cost.kernels),
                number(&adamw, &|cost| cost.bytes),
            ]);
        }
        let parameters = self.about.parameters.max(1) as f64;
        let mut text = table.to_string();
        text += &format!("  optimizer: {:.1} bytes a parameter", self.optimizer_bytes_per_parameter());
        if let Some(adamw) = &self.adamw {
            text += &format!(", adamw {:.1}", optimizer_bytes(&adamw.stages) as f64 / parameters);
        }
        text.push('\n');
        text.extend(self.notes().iter().map(|note| format!("  {note}\n")));
        text
    }

    /// What the counts leave out.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let loops = self.kernels.iter().filter(|kernel| !kernel.runs_known).count();
        if loops > 0 {
            notes.push(format!(
                "{loops} kernels are in loops whose rounds are an input; they count as one round"
            ));
        }
        let unknown: u64 = self.stages.iter().map(|cost| cost.work.unknown).sum();
        if unknown > 0 {
            notes.push(format!(
                "{unknown} calls of code that is not HLO have operations that are not counted"
            ));
        }
        notes
    }

    /// The phases of the program and of AdamW's, in the order of a step.
    pub(super) fn phases(&self) -> Vec<Phase> {
        let adamw = self.adamw.iter().flat_map(|adamw| &adamw.stages);
        let mut phases: Vec<Phase> = self.stages.iter().chain(adamw).map(|cost| cost.name).collect();
        phases.sort_unstable();
        phases.dedup();
        phases
    }

    /// The kernels, in the order of execution.
    pub fn kernel_text(&self) -> String {
        let columns = [
            ("kernel", Align::Left),
            ("does", Align::Left),
            ("stage", Align::Left),
            ("layer", Align::Left),
            ("stages inside", Align::Left),
            ("runs", Align::Right),
            ("bytes read", Align::Right),
            ("bytes written", Align::Right),
            ("flops", Align::Right),
        ];
        let mut table = Titled::new(format!("kernels ({})", self.kernels.len()), &columns);
        for kernel in &self.kernels {
            let inside: Vec<&str> = kernel.phases.iter().map(|phase| phase.name()).collect();
            table.row(vec![
                kernel.name.clone(),
                kernel.does.clone(),
                kernel.origin.phase.to_string(),
                kernel.origin.layer.clone(),
                inside.join(" "),
                if kernel.runs_known { kernel.runs.to_string() } else { "?".to_owned() },
                grouped(kernel.traffic.read),
                grouped(kernel.traffic.written),
                grouped(kernel.work.flops()),
            ]);
        }
        table.to_string()
    }

    /// Memory, and what lives in it when it is fullest.
    pub fn memory_text(&self) -> String {
        let mut columns = vec![("memory", Align::Left), ("bytes", Align::Right)];
        if self.adamw.is_some() {
            columns.push(("adamw's", Align::Right));
        }
        let mut table = Titled::new("memory", &columns);
        let others = self.adamw.as_ref().map(|adamw| adamw.memory.sizes());
        for (at, (name, bytes)) in self.memory.sizes().into_iter().enumerate() {
            let mut cells = vec![name.to_owned(), grouped(bytes)];
            cells.extend(others.map(|others| grouped(others[at].1)));
            table.row(cells);
        }
        let Memory { live, temporaries, fullest_at, .. } = &self.memory;
        let near = match (self.memory.share_of_assigned(), self.memory.assigned) {
            (Some(share), Some(Assigned { temporaries, .. })) => {
                format!(", {:.1} % of the {} that XLA assigned", 100.0 * share, grouped(temporaries))
            }
            _ => String::new(),
        };
        let title = format!(
            "temporaries when they take most, at {fullest_at}: {} buffers, {} bytes{near}",
            live.len(),
            grouped(*temporaries)
        );
        let columns = [
            ("buffer", Align::Left),
            ("shape", Align::Left),
            ("bytes", Align::Right),
            ("stage", Align::Left),
            ("layer", Align::Left),
            ("until", Align::Left),
        ];
        let mut buffers = Titled::new(title, &columns);
        for buffer in live.iter().take(LISTED) {
            buffers.row(vec![
                buffer.name.clone(),
                buffer.shape.clone(),
                grouped(buffer.bytes),
                buffer.origin.phase.to_string(),
                buffer.origin.layer.clone(),
                buffer.until.clone(),
            ]);
        }
        let mut text = format!("{table}{buffers}");
        if live.len() > LISTED {
            let rest: u64 = live.iter().skip(LISTED).map(|buffer| buffer.bytes).fold(0, u64::saturating_add);
            text += &format!("  and {} more of {} bytes\n", live.len() - LISTED, grouped(rest));
        }
        text
    }

    /// The least times of the program's phases, beside AdamW's.
    pub fn roofline_text(&self) -> String {
        let Some(roofline) = &self.roofline else {
            return "\nroofline: the figures of this device are not known\n".to_owned();
        };
        let device = &roofline.device;
        let rates: Vec<String> = device
            .product_rates()
            .map(|(ty, rate)| format!("{rate} in products of {ty}"))
            .chain([format!("{} else", device.elementwise_rate())])
            .collect();
        let title =
            format!("least times on {}: {}, {}", device.name, device.memory_rates(), rates.join(", "));
        let columns = [
            ("stage", Align::Left),
            ("bytes", Align::Right),
            ("flops", Align::Right),
            ("flops a byte", Align::Right),
            ("moving", Align::Right),
            ("computing", Align::Right),
            ("at least", Align::Right),
            ("bound by", Align::Left),
            ("adamw", Align::Right),
        ];
        let mut table = Titled::new(title, &columns);
        let floor = |roofline: &Roofline, phase: Phase| {
            roofline.stages.iter().find(|floor| floor.name == phase).copied()
        };
        let adamws = self.adamw.as_ref().and_then(|adamw| adamw.roofline.as_ref());
        for phase in self.phases() {
            let own = floor(roofline, phase);
            let cost = self.stages.iter().find(|cost| cost.name == phase);
            let adamw = adamws.and_then(|roofline| floor(roofline, phase));
            let number = |of: &dyn Fn(&StageCost) -> String| cost.map_or_else(|| "-".to_owned(), of);
            let time = |seconds: Option<f64>| seconds.map_or_else(|| "-".to_owned(), |it| si(it, "s"));
            table.row(vec![
                phase.to_string(),
                number(&|cost| grouped(cost.bytes)),
                number(&|cost| grouped(cost.flops)),
                number(&|cost| per_byte(cost.flops, cost.bytes)),
                time(own.map(|floor| floor.memory)),
                time(own.map(|floor| floor.compute)),
                time(own.map(|floor| floor.seconds)),
                own.map_or("-", |floor| floor.bound()).to_owned(),
                time(adamw.map(|floor| floor.seconds)),
            ]);
        }
        let total: u64 = self.stages.iter().map(|cost| cost.bytes).fold(0, u64::saturating_add);
        let flops: u64 = self.stages.iter().map(|cost| cost.flops).fold(0, u64::saturating_add);
        table.row(vec![
            "all".to_owned(),
            grouped(total),
            grouped(flops),
            per_byte(flops, total),
            si(roofline.stages.iter().map(|floor| floor.memory).sum(), "s"),
            si(roofline.stages.iter().map(|floor| floor.compute).sum(), "s"),
            si(roofline.seconds, "s"),
            String::new(),
            adamws.map_or_else(|| "-".to_owned(), |adamw| si(adamw.seconds, "s")),
        ]);
        let surely = self.surely().map(|line| format!("  {line}\n")).unwrap_or_default();
        format!("{table}{surely}  {FROM_MEMORY}\n")
    }
}

impl Report {
    /// How surely the least time of the whole is known, where the device was measured in several rounds.
    pub(super) fn surely(&self) -> Option<String> {
        let roofline = self.roofline.as_ref()?;
        let measured = roofline.device.measured.as_ref()?;
        let worst = Roofline::of(&self.kernels, &self.stages, &measured.worst).seconds;
        let (date, rounds) = (&measured.date, measured.rounds);
        let (best, worst) = (si(roofline.seconds, "s"), si(worst, "s"));
        Some(format!(
            "The device was measured on {date} in {rounds} rounds: all takes {best} by the best of each, and {worst} by the worst. \
             `--measure` measures it anew."
        ))
    }
}

/// What least times leave out.
pub(super) const FROM_MEMORY: &str =
    "Times to move are from and to main memory: what stays in a cache takes less, and so may the whole.";

/// Operations for each byte that is moved.
pub(super) fn per_byte(flops: u64, bytes: u64) -> String {
    match bytes {
        0 => "-".to_owned(),
        bytes => format!("{:.2}", flops as f64 / bytes as f64),
    }
}

impl DeviceFigures {
    /// A figure, with its interval where it was measured in several rounds.
    fn rate(&self, of: impl Fn(&DeviceFigures) -> Option<f64>, unit: &str) -> String {
        let best = of(self).unwrap_or(0.0);
        match self.measured.as_ref().and_then(|measured| of(&measured.worst)) {
            Some(worst) => format!("{} ({} in the worst round)", si(best, unit), si(worst, unit)),
            None => si(best, unit),
        }
    }

    /// How fast memory is.
    pub(super) fn memory_rates(&self) -> String {
        let cached = self.cached.map(|_| format!(", {} in caches", self.rate(|it| it.cached, "B/s")));
        self.rate(|it| Some(it.bandwidth), "B/s") + &cached.unwrap_or_default()
    }

    /// How fast products are, by the types of their operands.
    pub(super) fn product_rates(&self) -> impl Iterator<Item = (&str, String)> {
        self.products.keys().map(|ty| (ty.as_str(), self.rate(|it| it.products.get(ty).copied(), "flop/s")))
    }

    /// How fast the rest is.
    pub(super) fn elementwise_rate(&self) -> String {
        self.rate(|it| Some(it.elementwise), "op/s")
    }
}

impl About {
    /// What was inspected, in a line.
    pub fn title(&self) -> String {
        let parameters = grouped(self.parameters);
        // Its functions say themselves how exact their products are.
        let is_linked = self.config.pointer("/model/kind").is_some_and(|kind| kind == "stablehlo");
        let own = if is_linked {
            " but those of the model's own functions, which are as JAX wrote them"
        } else {
            ""
        };
        let products = self.products().map_or_else(String::new, |how| format!(", products in {how}{own}"));
        format!(
            "{} of {}, {parameters} trained parameters, for {}{products}\n",
            self.program, self.rule, self.device
        )
    }

    /// How exact products are on devices where `step.precision` tells (`xla/xla_data.proto`, `PrecisionConfig`).
    fn products(&self) -> Option<&'static str> {
        let platform = self.device.split(':').next()?;
        let step = self.config.get("step")?;
        let field = |name: &str, default: &'static str| {
            step.get(name).map_or(default.into(), |value| value.as_str().unwrap_or(default).to_owned())
        };
        Some(match (platform, field("compute", "f32").as_str(), field("precision", "default").as_str()) {
            ("cuda" | "tpu", "bf16", _) => "bf16",
            ("cuda", _, "highest") | ("tpu", _, "highest") => "single precision",
            ("cuda", _, _) => "TensorFloat-32 where the GPU has it",
            ("tpu", _, "tf32") => "three passes of bf16",
            ("tpu", _, _) => "one pass of bf16",
            _ => return None,
        })
    }
}

/// A number with three digits and the prefix of its unit.
pub(super) fn si(value: f64, unit: &str) -> String {
    if value == 0.0 {
        return format!("0 {unit}");
    }
    let (scale, prefix) = prefix(value).unwrap_or((1e-9, "n"));
    let scaled = value / scale;
    // Counts of bytes or operations.
    let is_whole = scale == 1.0 && scaled.fract() == 0.0;
    let digits = if scaled.abs() >= 100.0 || is_whole {
        0
    } else if scaled.abs() >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$} {prefix}{unit}")
}

#[cfg(test)]
mod tests {
    use super::{per_byte, si};

    #[test]
    fn what_moves_nothing_has_no_operations_a_byte() {
        assert_eq!([per_byte(24, 0), per_byte(3, 2)], ["-", "1.50"]);
    }

    #[test]
    fn numbers_have_three_digits_and_a_prefix() {
        let cases = [
            (0.0, "0 s"),
            (1.234e-7, "123 ns"),
            (0.05, "50.0 ms"),
            (3.35e12, "3.35 Ts"),
            (1e-11, "0.01 ns"),
            (24.0, "24 s"),
        ];
        for (value, text) in cases {
            assert_eq!(si(value, "s"), text);
        }
    }
}
