use super::*;
use crate::compile::Damage;
use crate::compile::testing::{self, DOUBLE, f32s};
use crate::pjrt::{Arg, ElementType};
use std::fs;

fn doubles(client: &Client, executable: &Executable) {
    let input = client.upload(ElementType::F32, &[4], &f32s(&[1.0, 2.0, 3.0, 4.0])).unwrap();
    let outputs = executable.execute([Arg::Donate(input)]).unwrap();
    assert_eq!(outputs[0].to_host().unwrap(), f32s(&[2.0, 4.0, 6.0, 8.0]));
}

/// Compiles and runs the test program, and tells why it was compiled; None for a hit.
fn compile(cache: &Cache, client: &Client, options: &CompileOptions) -> Option<MissReason> {
    let (executable, outcome) = cache.compile(client, DOUBLE, options).unwrap();
    doubles(client, &executable);
    match outcome {
        CacheOutcome::Hit { load_seconds, compile_seconds } => {
            assert!(compile_seconds.is_some());
            assert!(load_seconds > 0.0);
            None
        }
        CacheOutcome::Given { .. } => panic!("a cache is no file of executables"),
        CacheOutcome::Miss { reason, compile_seconds } => {
            assert!(compile_seconds > 0.0);
            Some(reason)
        }
    }
}

#[test]
fn the_second_time_is_a_hit() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path().join("made/here"));
    let client = testing::client();
    let options = CompileOptions::new();
    assert_eq!(compile(&cache, &client, &options), Some(MissReason::Absent));
    assert_eq!(compile(&cache, &client, &options), None);
    assert_eq!(compile(&cache, &testing::client(), &options), None);
    let other = options.clone().flag("xla_cpu_enable_fast_min_max", false);
    assert_eq!(compile(&cache, &client, &other), Some(MissReason::OtherOptions));

    let dumps = folder.path().join("dumps");
    let dumping = options.flag("xla_dump_to", dumps.to_str().unwrap());
    assert_eq!(compile(&cache, &client, &dumping), Some(MissReason::DumpsWanted));
    assert!(fs::read_dir(dumps).unwrap().next().is_some());
}

#[test]
fn a_gpu_keeps_in_the_cache_what_it_tried_out() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, options) = (Cache::open(folder.path()), CompileOptions::new().flag("xla_a", 1));
    assert_eq!(cache.with_autotuning(Target::Cpu, &options), options);
    assert!(!folder.path().join("autotuning").exists());
    let with = cache.with_autotuning(Target::Gpu, &options);
    let flags: Vec<_> = with.flags().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(flags, ["xla_a", "xla_gpu_per_fusion_autotune_cache_dir"]);
    assert!(folder.path().join("autotuning").is_dir());
    // It is none of the entries, and goes with them.
    assert_eq!(cache.entries().unwrap().len(), 0);
    cache.clear().unwrap();
    assert!(!folder.path().join("autotuning").exists());
}

/// A flag that XLA does not know is an error of every program.
#[test]
fn the_plugin_for_gpus_knows_where_autotuning_is_kept() {
    let Some(path) = crate::assets::look(crate::assets::Asset::CudaCompiler).unwrap() else {
        let line = "SKIPPED: cuda13 is not installed (natgrad plugin install cuda13 --compile-only)\n";
        return io::Write::write_all(&mut io::stderr(), line.as_bytes()).unwrap();
    };
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path());
    let plugin = pjrt::Plugin::load(&pjrt::TrustedLibrary::at(path)).unwrap();
    let model = crate::compile::DeviceModel::named("cuda:h100").unwrap();
    let device = crate::compile::AheadDevice::open(model, &plugin, cache.clone()).unwrap();
    let compile = |options: &CompileOptions| {
        device.topology().compile(DOUBLE.as_bytes(), &cache.with_autotuning(Target::Gpu, options))
    };
    compile(&CompileOptions::new()).unwrap();
    assert!(compile(&CompileOptions::new().flag("xla_gpu_no_such_flag", 1)).is_err());
}

#[test]
fn damaged_entries_are_told_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path());
    let client = testing::client();
    let options = CompileOptions::new();
    assert_eq!(compile(&cache, &client, &options), Some(MissReason::Absent));
    let key = cache.key(&client, DOUBLE, &options).unwrap();
    let path = cache.entry_path(&key);
    let good = fs::read(&path).unwrap();
    let size = good.len() as u64;
    let changed = |at: usize, bits: u8| {
        let mut file = good.clone();
        file[at] ^= bits;
        file
    };
    // An entry that is whole, but whose executable the plugin cannot read.
    let elsewhere = folder.path().join("elsewhere");
    let note = entry::read_note(&path).unwrap().unwrap();
    assert_eq!((note.program.as_str(), note.target.as_str()), ("double", "cpu"));
    entry::write(&elsewhere, &key, &note, b"no executable").unwrap();
    let unloadable = fs::read(elsewhere).unwrap();

    let damaged = [
        (Vec::new(), Damage::Truncated { wanted: 88, found: 0 }),
        (good[..40].to_vec(), Damage::Truncated { wanted: 88, found: 40 }),
        (good[..good.len() - 1].to_vec(), Damage::Truncated { wanted: size, found: size - 1 }),
        (b"something else".to_vec(), Damage::NotAnEntry),
        (changed(0, 1), Damage::NotAnEntry),
        (changed(8, 3), Damage::OtherVersion { found: 1 }),
        (changed(20, 1), Damage::WrongKey),
        (changed(51, 128), Damage::Truncated { wanted: size + (1 << 63), found: size }),
        (changed(60, 1), Damage::Corrupt),
        (changed(87, 1), Damage::BadNote),
        (changed(88, 1), Damage::Corrupt),
        (changed(good.len() - 1, 128), Damage::Corrupt),
        ([&good[..], b"x"].concat(), Damage::Overlong),
    ];
    for (file, damage) in damaged {
        fs::write(&path, file).unwrap();
        assert_eq!(compile(&cache, &client, &options), Some(MissReason::Damaged(damage)));
        assert_eq!(compile(&cache, &client, &options), None, "after {damage}");
    }
    fs::write(&path, unloadable).unwrap();
    let reason = compile(&cache, &client, &options);
    assert!(matches!(reason, Some(MissReason::NotLoadable(_))), "{reason:?}");
    assert_eq!(compile(&cache, &client, &options), None);

    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let reason = compile(&cache, &client, &options);
    assert!(matches!(reason, Some(MissReason::Unreadable(_))), "{reason:?}");
}

#[test]
fn a_folder_that_cannot_be_written_does_not_stop_anyone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    fs::write(&file, "").unwrap();
    let cache = Cache::open(file.join("below"));
    let client = testing::client();
    let reason = compile(&cache, &client, &CompileOptions::new());
    assert!(matches!(reason, Some(MissReason::Absent | MissReason::Unreadable(_))), "{reason:?}");
}

#[test]
fn programs_that_do_not_compile_are_errors_and_leave_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path());
    let (client, options) = (testing::client(), CompileOptions::new());
    assert!(cache.compile(&client, "module { what }", &options).is_err());
    assert!(!cache.entry_path(&cache.key(&client, "module { what }", &options).unwrap()).exists());
}

#[test]
fn writers_at_the_same_time_leave_a_whole_entry() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path());
    let client = testing::client();
    let options = CompileOptions::new();
    let key = cache.key(&client, DOUBLE, &options).unwrap();
    let note = cache.with_parts(&client, DOUBLE, &options, Note::of).unwrap().compiled_in(0.5);
    let executable = testing::compile(&client, DOUBLE).serialize().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..25 {
                    entry::write(&cache.entry_path(&key), &key, &note, &executable).unwrap();
                    let file = entry::read(&cache.entry_path(&key)).unwrap().unwrap();
                    let (found, _) = entry::check(&file, &key.to_string()).unwrap();
                    assert_eq!(found, &executable[..]);
                }
            });
        }
    });
    assert_eq!(compile(&cache, &client, &options), None);
    // The entry and the plugin's hash, and no file left half-way.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
}

#[test]
fn the_reason_for_a_miss_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path());
    let (client, options) = (testing::client(), CompileOptions::new());
    let of = |change: &dyn Fn(&mut KeyParts<'_>)| {
        cache
            .with_parts(&client, DOUBLE, &options, |parts| {
                let mut parts = *parts;
                change(&mut parts);
                (CacheKey::of(&parts), Note::of(&parts))
            })
            .unwrap()
    };
    let (_, own) = of(&|_| {});
    let keep =
        |(key, note): (CacheKey, Note)| entry::write(&cache.entry_path(&key), &key, &note, b"x").unwrap();
    assert_eq!(reason::absent(&cache, &own), MissReason::Absent);
    keep(of(&|parts| parts.stablehlo = "module @other {}"));
    assert_eq!(reason::absent(&cache, &own), MissReason::Absent);
    keep(of(&|parts| parts.plugin_sha256 = [7; 32]));
    assert_eq!(reason::absent(&cache, &own), MissReason::OtherPlugin);
    keep(of(&|parts| parts.xla_flags = "--xla_a=1"));
    assert_eq!(reason::absent(&cache, &own), MissReason::OtherOptions);
    keep(of(&|parts| parts.host_cpu = "another"));
    assert_eq!(reason::absent(&cache, &own), MissReason::OtherMachine);
    keep(of(&|parts| parts.libraries = "CUDA 13.1"));
    assert_eq!(reason::absent(&cache, &own), MissReason::OtherMachine);
    let names: Vec<String> =
        cache.entries().unwrap().into_iter().map(|entry| entry.about.unwrap().program).collect();
    assert_eq!(names, ["double", "double", "double", "double", "other"]);
}

#[test]
fn what_was_not_used_for_longest_is_dropped_and_damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path().join("made"));
    assert_eq!(cache.prune(0).unwrap(), Removed::default());
    let (client, options) = (testing::client(), CompileOptions::new());
    let path = |number: usize| cache.folder().join(format!("{number:064x}.executable"));
    let write = |number: usize| {
        let text = format!("module @p{number} {{}}");
        let (key, note) = cache
            .with_parts(&client, &text, &options, |parts| (CacheKey::of(parts), Note::of(parts)))
            .unwrap();
        entry::write(&cache.entry_path(&key), &key, &note, &[0; 1000]).unwrap();
        let file = fs::File::options().append(true).open(cache.entry_path(&key)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(number as u64)).unwrap();
        cache.entry_path(&key)
    };
    let files: Vec<_> = (0..4).map(write).collect();
    let size = fs::metadata(&files[0]).unwrap().len();
    assert_eq!(cache.verify().unwrap(), []);
    // Used: it is the last to go.
    assert!(entry::read(&files[0]).unwrap().is_some());
    fs::write(path(9), "x").unwrap();
    let [(wrong, reason)] = &cache.verify().unwrap()[..] else { panic!() };
    assert_eq!((wrong, reason.as_str()), (&path(9), "it is not a cache entry"));
    fs::remove_file(path(9)).unwrap();

    let left = cache.folder().join(format!("{}left", crate::files::UNFINISHED));
    fs::write(&left, "half").unwrap();
    fs::File::options().append(true).open(&left).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(cache.prune(2 * size + 1).unwrap(), Removed { entries: 2, bytes: 2 * size });
    let kept: Vec<bool> = files.iter().map(|file| file.exists()).collect();
    assert_eq!((kept, left.exists()), (vec![true, false, false, true], false));
    assert_eq!(cache.clear().unwrap(), Removed { entries: 2, bytes: 2 * size });
    assert_eq!(fs::read_dir(cache.folder()).unwrap().count(), 0);
}

#[test]
fn the_limit_is_kept_at_each_insert() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::open(folder.path());
    let (client, options) = (testing::client(), CompileOptions::new());
    assert_eq!(compile(&cache, &client, &options), Some(MissReason::Absent));
    let size = cache.entries().unwrap()[0].size;
    // Room for one and a half.
    let cache = cache.with_max(Size(size * 3 / 2));
    let other = options.clone().flag("xla_cpu_enable_fast_min_max", false);
    assert_eq!(compile(&cache, &client, &other), Some(MissReason::OtherOptions));
    assert_eq!((compile(&cache, &client, &other), cache.entries().unwrap().len()), (None, 1));
    // Room for none: nothing is written, and nothing that is there dropped for it.
    let cache = cache.with_max(Size(10));
    assert_eq!(compile(&cache, &client, &options), Some(MissReason::OtherOptions));
    assert_eq!(cache.entries().unwrap().len(), 1);
}

#[test]
#[cfg(unix)]
fn entries_are_as_readable_as_other_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let usual = folder.path().join("usual");
    fs::write(&usual, "").unwrap();
    let cache = Cache::open(folder.path().join("cache"));
    compile(&cache, &testing::client(), &CompileOptions::new());
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode();
    for file in fs::read_dir(cache.folder()).unwrap() {
        assert_eq!(mode(&file.unwrap().path()), mode(&usual));
    }
}
