//! What of the host goes into the key of an executable.

/// The value of XLA_FLAGS as XLA reads it: the flags themselves, or the content of the file it names.
pub(super) fn xla_flags() -> String {
    let value = std::env::var_os("XLA_FLAGS").unwrap_or_default();
    let text = value.to_string_lossy();
    if text.is_empty() || text.trim_start().starts_with('-') {
        return text.into_owned();
    }
    // A file that cannot be read is XLA's to complain about; its name still tells it from others.
    crate::files::read_to_string(value.as_ref()).unwrap_or_else(|_| text.into_owned())
}

/// The processor's model and features, and how many threads XLA will use. XLA compiles for what the host can do, so
/// code from one host may not run on another; and it cuts loops into as many parts as it has threads.
pub(super) fn cpu() -> String {
    format!("{};threads={}", features(), threads())
}

/// The processor's model and features.
pub(super) fn features() -> String {
    match std::fs::read_to_string("/proc/cpuinfo") {
        Ok(text) => from_cpuinfo(&text),
        Err(_) => format!("{} {}", std::env::consts::ARCH, detected_features()),
    }
}

/// The processor's model.
pub(super) fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().filter_map(|line| line.split_once(':'));
    let model =
        model.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| *name == "model name");
    model.map_or(std::env::consts::ARCH, |(_, value)| value).to_owned()
}

/// Whether the processor multiplies matrices of halves (Intel's AMX).
pub(super) fn has_amx() -> bool {
    has_feature(&features(), "amx_bf16")
}

fn has_feature(features: &str, name: &str) -> bool {
    features.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|feature| feature == name)
}

/// The threads of XLA:CPU's pool: as many as NPROC says, else as this process may run on.
pub(super) fn threads() -> usize {
    let told = std::env::var("NPROC").ok().and_then(|count| count.parse().ok());
    told.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// The lines of Linux's `/proc/cpuinfo` that tell the model and the features of the first processor.
fn from_cpuinfo(text: &str) -> String {
    const TELLING: [&str; 13] = [
        "vendor_id",
        "cpu family",
        "model",
        "model name",
        "stepping",
        "flags",
        "Features",
        "CPU implementer",
        "CPU architecture",
        "CPU variant",
        "CPU part",
        "isa",
        "uarch",
    ];
    let first = text.split("\n\n").next().unwrap_or_default();
    let lines = first.lines().filter_map(|line| line.split_once(':'));
    let mut told: Vec<String> = lines
        .map(|(name, value)| (name.trim(), value.trim()))
        .filter(|(name, _)| TELLING.contains(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    told.insert(0, std::env::consts::ARCH.to_owned());
    told.join(";")
}

#[cfg(target_arch = "x86_64")]
fn detected_features() -> String {
    macro_rules! detected {
        ($($name:tt),*) => {
            [$((std::arch::is_x86_feature_detected!($name), $name)),*]
        };
    }
    join(&detected!(
        "sse3",
        "ssse3",
        "sse4.1",
        "sse4.2",
        "avx",
        "avx2",
        "fma",
        "f16c",
        "bmi1",
        "bmi2",
        "avx512f",
        "avx512bw",
        "avx512dq",
        "avx512vl",
        "avx512vnni",
        "avx512bf16",
        "avx512fp16"
    ))
}

#[cfg(target_arch = "aarch64")]
fn detected_features() -> String {
    macro_rules! detected {
        ($($name:tt),*) => {
            [$((std::arch::is_aarch64_feature_detected!($name), $name)),*]
        };
    }
    join(&detected!("neon", "fp16", "dotprod", "bf16", "i8mm", "sve", "sve2", "lse"))
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn detected_features() -> String {
    String::new()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn join(features: &[(bool, &str)]) -> String {
    let present: Vec<&str> = features.iter().filter(|(present, _)| *present).map(|(_, name)| *name).collect();
    present.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuinfo_gives_model_and_features_and_nothing_that_varies() {
        let first = "processor\t: 0\nmodel name\t: Some CPU\ncpu MHz\t\t: 2800.1\nflags\t\t: fpu avx2\n";
        let text = format!("{first}\n{}", first.replace("fpu avx2", "fpu"));
        let told = from_cpuinfo(&text);
        assert_eq!(told, format!("{};model name=Some CPU;flags=fpu avx2", std::env::consts::ARCH));
        assert_eq!(told, from_cpuinfo(&text.replace("2800.1", "1200.0")));
        assert_ne!(told, from_cpuinfo(&text.replace("avx2", "avx512f")));
        assert!(has_feature(&told, "avx2") && has_feature(&told, "fpu") && !has_feature(&told, "avx"));
    }
}
