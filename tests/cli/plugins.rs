//! `natgrad plugin`, and files that are no plugin for this machine.

use std::io::Write;

use natgrad::assets::{self, Asset};

use crate::support::{Bench, PLUGIN, exists, run};

#[test]
fn the_plugin_is_listed() {
    let bench = Bench::new();
    let text = bench.redact(&bench.ok(&["plugin"]).stdout);
    assert!(text.starts_with("installed in [cache]:\n") || std::env::var_os("NATGRAD_PJRT_PLUGIN").is_some());
    assert!(text.contains(&bench.redact(&PLUGIN.display().to_string())), "{text}");
    let rows: Vec<(&str, &str)> =
        text.lines().filter_map(|line| line.strip_prefix("  ")?.split_once("  ")).collect();
    let value = |name: &str| rows.iter().find(|row| row.0 == name).map(|row| row.1.trim());
    for name in ["compile StableHLO", "cache executables", "print optimized HLO"] {
        assert_eq!(value(name), Some("yes"), "{text}");
    }
    assert!(value("PJRT API").is_some_and(|version| version.starts_with("0.")), "{text}");
    assert!(value("device 0").is_some() && value("platform").is_some(), "{text}");
}

/// What `natgrad plugin install cuda13 --compile-only` fetched compiles, and does not run.
#[test]
fn what_a_set_to_compile_with_lacks_is_listed_with_the_command() {
    let is_whole = assets::look(Asset::CudaPlugin).unwrap().is_some();
    let compiler = assets::look(Asset::CudaCompiler).unwrap();
    let Some(compiler) = compiler.filter(|_| !is_whole) else {
        let line = "SKIPPED: cuda13 is not installed to compile with alone (natgrad plugin install cuda13 --compile-only)\n";
        return std::io::stderr().write_all(line.as_bytes()).unwrap();
    };
    let bench = Bench::cold();
    let text = bench.ok(&["plugin"]).stdout;
    let (_, listed) = text.split_once(&format!("{}\n", compiler.display())).unwrap();
    let rows: Vec<&str> = listed.lines().take_while(|line| line.starts_with("  ")).collect();
    assert_eq!(rows[0], "  to compile with; to run programs:");
    let row = |name: &str| rows.iter().find_map(|row| row.trim_start().strip_prefix(name)).unwrap().trim();
    assert!(!row("driver").is_empty(), "{text}");
    let libraries = row("cudart, cuBLAS, cuDNN, nvJitLink, NVRTC");
    assert!(libraries.starts_with("not installed; `natgrad plugin install cuda13` fetches them"), "{text}");
}

#[test]
fn files_that_are_no_plugin_are_wrong_input() {
    let bench = Bench::cold();
    // The start of an ELF file for a machine that this is not, by e_machine at byte 18.
    let (machine, name) = if cfg!(target_arch = "aarch64") { (62u16, "x86_64") } else { (183, "aarch64") };
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16] = 3;
    elf[18..20].copy_from_slice(&machine.to_le_bytes());
    std::fs::write(bench.path("other.so"), elf).unwrap();
    bench.write("empty.so", "");
    std::fs::write(bench.path("wheel.whl"), b"PK\x03\x04").unwrap();
    let plugin = std::fs::read(&*PLUGIN).unwrap();
    std::fs::write(bench.path("half.so"), &plugin[..plugin.len() / 2]).unwrap();

    let other = format!("the file is an ELF file for {name}, and should be a PJRT plugin built for");
    let cases = [
        ("none.so", "NATGRAD_PJRT_PLUGIN=none.so: No such file"),
        (".", "NATGRAD_PJRT_PLUGIN=.: it is not a file"),
        ("table.csv", "the file is a text file, and should be a PJRT plugin built for"),
        ("empty.so", "the file is empty"),
        ("wheel.whl", "the file is a zip archive (a wheel that still has to be unpacked?)"),
        ("other.so", &other),
        ("half.so", "it is cut off"),
    ];
    for command in [&["train", "run.json", "--out", "out"][..], &["plugin"]] {
        for (file, wanted) in cases {
            let outcome = run(bench.command(command).env("NATGRAD_PJRT_PLUGIN", file));
            assert_eq!(outcome.code, Some(2), "{file}: {outcome:?}");
            assert!(outcome.stderr.starts_with("error: NATGRAD_PJRT_PLUGIN"), "{file}: {outcome:?}");
            assert!(outcome.stderr.contains(wanted), "{file}: {outcome:?}");
            assert!(
                outcome.stderr.contains("unset it to use natgrad's own CPU plugin"),
                "{file}: {outcome:?}"
            );
        }
    }
    assert!(!exists(&bench.path("out/config.json")));
}

/// A shared library of this machine that is whole, but no plugin.
#[test]
#[cfg(target_os = "linux")]
fn a_library_that_is_no_plugin_is_wrong_input() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc =
        maps.lines().find_map(|line| line.split_whitespace().nth(5).filter(|path| path.contains("/libc")));
    let bench = Bench::cold();
    let mut command = bench.command(&["train", "run.json", "--out", "out"]);
    let outcome = run(command.env("NATGRAD_PJRT_PLUGIN", libc.unwrap()));
    assert_eq!(outcome.code, Some(2), "{outcome:?}");
    let wanted = "the library has no function GetPjrtApi, so it is not a PJRT plugin";
    assert!(outcome.stderr.contains(wanted), "{outcome:?}");
}

/// A signal ends the process: flags that XLA:CPU takes, and over which it throws an exception in this program.
#[test]
#[cfg(unix)]
fn where_xla_ends_the_process_the_last_word_names_program_and_flags() {
    use std::os::unix::process::ExitStatusExt;
    let bench = Bench::cold();
    let flags = "--xla_cpu_use_onednn=true --xla_cpu_experimental_onednn_custom_call=true";
    let set = [
        "--set",
        "model={\"kind\": \"resnet\", \"depth\": 8, \"image\": [8, 8, 3], \"classes\": 10}",
        "--set",
        "step.linear=xla",
        "--set",
        "batch=2",
        "--set",
        "step.samples=1",
        "--set",
        "length={\"steps\": 1}",
        "--set",
        "data={\"kind\": \"fashion-mnist\"}",
    ];
    let command = [&["train", "--dry-run"][..], &set].concat();
    let output = bench.command(&command).env("XLA_FLAGS", flags).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(6), "SIGABRT: {said}");
    assert!(
        said.contains("natgrad: the process ends while XLA was serializing program step with "),
        "{said}"
    );
    assert!(said.contains(&format!("XLA_FLAGS={flags}")), "{said}");
    assert!(said.contains("xla_cpu_use_multi_output_fusion=true"), "{said}");
    assert!(said.contains("Try it without XLA_FLAGS"), "{said}");
}
