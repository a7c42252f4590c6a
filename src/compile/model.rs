//! Devices that programs can be compiled for without being here, each described by a file of `targets/`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use natgrad_ir::DType;
use serde::Deserialize;

use super::Target;
use super::gpu::Gpu;
use crate::lower::ProductPrecision;

/// A model of device: what it is compiled for by, and its public figures.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceModel {
    /// What `--target` calls it, such as `cuda:h100`.
    pub name: String,
    /// The vendor's name with the memory that tells variants apart.
    pub about: String,
    /// What its plugin calls it ([`DeviceInfo::kind`](crate::pjrt::DeviceInfo::kind)).
    pub kind: String,
    platform: PlatformName,
    /// The name that the plugin knows one such device by, as a topology. None for the host's processor, which a
    /// client always has.
    pub topology: Option<String>,
    sources: BTreeMap<String, String>,
    memory_bytes: Option<Figure>,
    bandwidth: Option<Figure>,
    peak: Peak,
    /// What XLA asks of a graphics processor that is not here.
    pub(super) gpu: Option<Gpu>,
}

/// A number of public record.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Figure {
    value: f64,
    /// The name of one of the file's sources.
    source: String,
}

/// Floating-point operations a second; a multiplication and an addition count as two.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Peak {
    #[serde(default)]
    matrix: BTreeMap<String, Figure>,
    #[serde(default)]
    vector: BTreeMap<String, Figure>,
}

/// The platforms, by the names that the files have for them.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum PlatformName {
    Cpu,
    Cuda,
    Tpu,
}

/// The units of a device that do floating-point arithmetic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Those for products of matrices: tensor cores, matrix-multiply units.
    Matrix,
    /// Those for all else.
    Vector,
}

const FILES: [&str; 9] = [
    include_str!("../../targets/cpu.json"),
    include_str!("../../targets/cuda-h100.json"),
    include_str!("../../targets/cuda-h200.json"),
    include_str!("../../targets/cuda-a100.json"),
    include_str!("../../targets/cuda-l4.json"),
    include_str!("../../targets/cuda-b200.json"),
    include_str!("../../targets/tpu-v5e.json"),
    include_str!("../../targets/tpu-v5p.json"),
    include_str!("../../targets/tpu-v6e.json"),
];

static ALL: LazyLock<Vec<DeviceModel>> = LazyLock::new(|| {
    let read = |text: &&str| serde_json::from_str(text).expect("a test reads the files of targets/");
    FILES.iter().map(read).collect()
});

impl DeviceModel {
    /// Every model there is a file for.
    pub fn all() -> &'static [DeviceModel] {
        &ALL
    }

    /// The model that `--target` calls so.
    pub fn named(name: &str) -> Option<&'static DeviceModel> {
        ALL.iter().find(|model| model.name == name)
    }

    /// The model of a device that its plugin calls so.
    pub fn of_kind(kind: &str) -> Option<&'static DeviceModel> {
        ALL.iter().find(|model| model.kind == kind)
    }

    /// The kind of platform.
    pub fn target(&self) -> Target {
        match self.platform {
            PlatformName::Cpu => Target::Cpu,
            PlatformName::Cuda => Target::Gpu,
            PlatformName::Tpu => Target::Tpu,
        }
    }

    /// The bytes of its memory.
    pub fn memory_bytes(&self) -> Option<f64> {
        self.memory_bytes.as_ref().map(|figure| figure.value)
    }

    /// The bytes that its memory moves a second.
    pub fn bandwidth(&self) -> Option<f64> {
        self.bandwidth.as_ref().map(|figure| figure.value)
    }

    /// The most floating-point operations a second on operands of this type. In single precision, matrix units of
    /// accelerators are those that XLA takes at its default precision.
    pub fn peak(&self, unit: Unit, dtype: DType) -> Option<f64> {
        let rates = match unit {
            Unit::Matrix => &self.peak.matrix,
            Unit::Vector => &self.peak.vector,
        };
        rates.get(dtype.name()).map(|figure| figure.value)
    }

    /// What of [`DeviceModel::peak`] its matrix units do in single precision where products are as exact as this. GPUs multiply
    /// without tensor cores at `highest`, TPUs in several passes of bfloat16.
    pub fn exact_part(&self, precision: ProductPrecision) -> f64 {
        match (self.target(), precision) {
            (Target::Gpu, ProductPrecision::Highest) => {
                let [matrix, vector] = [Unit::Matrix, Unit::Vector].map(|unit| self.peak(unit, DType::F32));
                vector.zip(matrix).map_or(1.0, |(vector, matrix)| vector / matrix)
            }
            (Target::Tpu, ProductPrecision::Tf32) => 1.0 / 3.0,
            (Target::Tpu, ProductPrecision::Highest) => 1.0 / 6.0,
            (Target::Gpu, ProductPrecision::Default | ProductPrecision::Tf32)
            | (Target::Tpu, ProductPrecision::Default)
            | (Target::Cpu | Target::Other, _) => 1.0,
        }
    }

    /// Every figure: what it is, its value, and where it is from.
    pub fn figures(&self) -> impl Iterator<Item = (String, f64, &str)> {
        let rates = [("matrix", &self.peak.matrix), ("vector", &self.peak.vector)];
        let rates = rates.into_iter().flat_map(|(unit, rates)| {
            rates.iter().map(move |(dtype, figure)| (format!("{unit} {dtype} FLOP/s"), figure))
        });
        let memory = self.memory_bytes.iter().map(|figure| ("memory bytes".to_owned(), figure));
        let bandwidth = self.bandwidth.iter().map(|figure| ("memory bytes/s".to_owned(), figure));
        memory
            .chain(bandwidth)
            .chain(rates)
            .map(|(what, figure)| (what, figure.value, self.source(&figure.source)))
    }

    /// Where the properties that XLA is told are from.
    pub fn gpu_source(&self) -> Option<&str> {
        self.gpu.as_ref().map(|gpu| self.source(&gpu.source))
    }

    fn source(&self, name: &str) -> &str {
        self.sources.get(name).map_or("", String::as_str)
    }
}

/// What `--target` asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wanted {
    /// A device of the platform that is attached to this machine, by its index.
    Attached(Target, usize),
    /// A device of this model, which need not be here.
    Model(&'static DeviceModel),
}

impl Wanted {
    /// The kind of platform.
    pub fn target(self) -> Target {
        match self {
            Wanted::Attached(target, _) => target,
            Wanted::Model(model) => model.target(),
        }
    }
}

/// There is no such target.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no target `{0}`; known are:\n{list}", list = list())]
pub struct UnknownTarget(pub String);

impl std::str::FromStr for Wanted {
    type Err = UnknownTarget;

    fn from_str(name: &str) -> Result<Wanted, UnknownTarget> {
        match name {
            "cpu" => Ok(Wanted::Attached(Target::Cpu, 0)),
            "cuda" => Ok(Wanted::Attached(Target::Gpu, 0)),
            "tpu" => Ok(Wanted::Attached(Target::Tpu, 0)),
            _ => {
                let numbered = |(platform, number): (&str, &str)| match (platform, number.parse()) {
                    ("cuda", Ok(index)) => Some(Wanted::Attached(Target::Gpu, index)),
                    ("tpu", Ok(index)) => Some(Wanted::Attached(Target::Tpu, index)),
                    _ => None,
                };
                let attached = name.split_once(':').and_then(numbered);
                let wanted = attached.or_else(|| DeviceModel::named(name).map(Wanted::Model));
                wanted.ok_or_else(|| UnknownTarget(name.to_owned()))
            }
        }
    }
}

/// The targets, one a line.
pub fn list() -> impl fmt::Display {
    let line = |name: &str, about: &str| format!("  {name:<10} {about}");
    let models = ALL.iter().map(|model| line(&model.name, &model.about));
    let attached = [
        ("cuda", "the first NVIDIA GPU of this machine; cuda:1 the second"),
        ("tpu", "the first TPU of this machine"),
    ];
    let lines: Vec<String> = models.chain(attached.map(|(name, about)| line(name, about))).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_is_read_and_each_figure_has_its_source() {
        assert_eq!(DeviceModel::all().len(), FILES.len());
        for model in DeviceModel::all() {
            let name = &model.name;
            assert!(std::ptr::eq(DeviceModel::named(name).unwrap(), model), "{name}");
            assert!(std::ptr::eq(DeviceModel::of_kind(&model.kind).unwrap(), model), "{name}");
            let mut used: Vec<&str> = model.gpu_source().into_iter().collect();
            for (what, value, source) in model.figures() {
                assert!(value > 0.0 && source.len() > 20, "{name}: {what} is {value} by {source:?}");
                used.push(source);
            }
            used.sort_unstable();
            used.dedup();
            assert_eq!(used.len(), model.sources.len(), "{name}: {used:?}");
            for dtype in model.peak.matrix.keys().chain(model.peak.vector.keys()) {
                assert!(DType::ALL.iter().any(|known| known.name() == dtype), "{name}: {dtype}");
            }
            let (cpu, gpu) = (model.target() == Target::Cpu, model.target() == Target::Gpu);
            assert_eq!(model.topology.is_none(), cpu, "{name}");
            assert_eq!(model.gpu.is_some(), gpu, "{name}");
            assert_eq!(model.bandwidth().is_none() && model.memory_bytes().is_none(), cpu, "{name}");
        }
    }

    #[test]
    fn peaks_are_by_unit_and_type() {
        let h100 = DeviceModel::named("cuda:h100").unwrap();
        assert_eq!(h100.peak(Unit::Matrix, DType::BF16), Some(989.4e12));
        assert_eq!(h100.peak(Unit::Vector, DType::F32), Some(66.9e12));
        assert_eq!(h100.peak(Unit::Vector, DType::S32), None);
        assert_eq!(h100.bandwidth(), Some(3352.32e9));
        // Without tensor cores; with TensorFloat-32 they are those of the file.
        assert_eq!(h100.exact_part(ProductPrecision::Highest), 66.9e12 / 494.7e12);
        assert_eq!(h100.exact_part(ProductPrecision::Tf32), 1.0);
        let v5e = DeviceModel::named("tpu:v5e").unwrap();
        assert_eq!(v5e.exact_part(ProductPrecision::Highest), 1.0 / 6.0);
        let cpu = DeviceModel::named("cpu").unwrap();
        assert_eq!(cpu.exact_part(ProductPrecision::Highest), 1.0);
    }

    #[test]
    fn names_are_read_and_unknown_ones_answered_with_all() {
        let read = |name: &str| name.parse::<Wanted>();
        assert!(matches!(read("cpu"), Ok(Wanted::Attached(Target::Cpu, 0))));
        assert!(matches!(read("cuda"), Ok(Wanted::Attached(Target::Gpu, 0))));
        assert!(matches!(read("cuda:1"), Ok(Wanted::Attached(Target::Gpu, 1))));
        assert!(matches!(read("tpu:3"), Ok(Wanted::Attached(Target::Tpu, 3))));
        assert!(read("cpu:1").is_err() && read("cuda:-1").is_err());
        assert_eq!(read("tpu:v5e").unwrap().target(), Target::Tpu);
        let error = read("cuda:h1000").unwrap_err().to_string();
        for model in DeviceModel::all() {
            assert!(error.contains(&model.name), "{error}");
        }
        assert!(error.starts_with("there is no target `cuda:h1000`"), "{error}");
    }
}
