//! What a comparison ran on.

/// The processor, how many of its threads this process may run on, and its memory.
pub fn machine() -> String {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_string())
    };
    let processor =
        field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| std::env::consts::ARCH.to_string());
    let threads = format!("{threads} thread{}", if threads == 1 { "" } else { "s" });
    let kilobytes = field(&read("/proc/meminfo"), "MemTotal");
    let kilobytes = kilobytes.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
    match kilobytes {
        Some(kilobytes) => {
            format!("{processor}, {threads}, {:.0} GiB of memory", kilobytes / 1024.0 / 1024.0)
        }
        None => format!("{processor}, {threads}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_machine_has_a_thread() {
        assert!(super::machine().contains(" thread"), "{}", super::machine());
    }
}
