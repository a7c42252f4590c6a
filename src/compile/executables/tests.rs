use super::*;
use crate::compile::{Cache, testing};
use crate::step::Recipe;

fn config() -> crate::config::RunConfig {
    let json = serde_json::json!({"model": {"kind": "mlp", "sizes": [2, 3, 2]}, "data": {"kind": "csv", "path": "x.csv"}, "batch": 4});
    crate::config::RunConfig::from_json("the test", json).unwrap()
}

fn device(folder: &Path) -> Device {
    let client = testing::client();
    Device::at(client, 0, Cache::open(folder), Loops::Chosen).unwrap()
}

fn start(target: Target) -> Program {
    let config = config();
    let recipe: Recipe = config.recipe(target.state_plan());
    recipe.start().unwrap()
}

fn executables(folder: &Path) -> Executables {
    let compiler = Compiler::Attached(device(folder));
    let mut executables = Executables::empty(&compiler, config().to_json()).unwrap();
    executables.add(&compiler, start(compiler.target())).unwrap();
    executables
}

#[test]
fn a_file_tells_what_it_holds_and_every_damage_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("start.natgrad");
    let made = executables(folder.path());
    let size = made.write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    assert_eq!(bytes.len() as u64, size);
    let read = Executables::read(&path).unwrap();
    assert_eq!((read.header(), &read.code), (made.header(), &made.code));
    let facts = &read.header().programs[0];
    assert_eq!(facts.name, "start");
    let mean = &facts.inputs[0];
    assert_eq!((&*mean.name, &*mean.ty, mean.becomes), ("mean/layers.0.weight", "f32[2,3]", Some(0)));

    let damage = |bytes: &[u8]| file::decode(bytes).err();
    for length in [0, 1, 7, 8, 11, 51, 52, 100, bytes.len() / 2, bytes.len() - 1] {
        let found = damage(&bytes[..length]);
        let is_right = matches!(found, Some(FileDamage::Truncated { .. }))
            || (length == 0 && found == Some(FileDamage::NotExecutables));
        assert!(is_right, "{length}: {found:?}");
    }
    for place in (0..bytes.len()).step_by(97).chain(0..60) {
        let mut changed = bytes.clone();
        changed[place] ^= 0x41;
        assert!(damage(&changed).is_some(), "{place}");
    }
    assert_eq!(damage(&[&bytes[..], b"x"].concat()), Some(FileDamage::Overlong));
    let mut newer = bytes.clone();
    newer[8] = 9;
    assert_eq!(damage(&newer), Some(FileDamage::OtherVersion { found: 9 }));
}

#[test]
fn what_is_not_in_the_file_is_not_compiled() {
    let folder = tempfile::tempdir().unwrap();
    let cold = folder.path().join("cold");
    let given = device(&cold).with_executables(executables(folder.path())).unwrap();
    let compiled = given.compile(start(Target::Cpu)).unwrap();
    assert!(matches!(compiled.outcome, crate::compile::CacheOutcome::Given { .. }));
    let draw = config().recipe(Target::Cpu.state_plan()).draw().unwrap();
    let error = given.compile(draw).unwrap_err();
    assert!(matches!(&error, DeviceError::NotGiven { program, .. } if program == "draw"), "{error}");
    let entries = std::fs::read_dir(&cold).unwrap().flatten();
    let kept = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with("plugin-"));
    assert_eq!(kept.count(), 0, "nothing is written to the cache");
}

#[test]
fn another_device_is_refused_with_what_differs_first() {
    let folder = tempfile::tempdir().unwrap();
    let made = executables(folder.path());
    let refused = |change: &dyn Fn(&mut ExecutablesHeader), wanted: &str| {
        let mut other = made.clone();
        change(&mut other.header);
        let told = device(folder.path()).with_executables(other).unwrap_err().to_string();
        assert!(told.contains(wanted), "{told}");
    };
    refused(
        &|header| (header.platform, header.target) = ("cuda".to_owned(), "cuda:h100".to_owned()),
        "for the target cuda:h100, and here it is cpu: name the device with --target",
    );
    refused(&|header| header.device = "another".to_owned(), "for the device another, and here it is cpu");
    refused(&|header| header.plugin.sha256 = "00".repeat(32), "SHA-256 000000000000), and here it is");
    refused(&|header| header.libraries = "cuDNN 9".to_owned(), "for the driver and libraries cuDNN 9, and");
    let flags = "for XLA_FLAGS --xla_a=1, and here it is none";
    refused(&|header| header.xla_flags = vec!["--xla_a=1".to_owned()], flags);
    let host = |change: &dyn Fn(&mut HostFacts), wanted: &str| {
        refused(&|header| change(header.host.as_mut().unwrap()), wanted);
    };
    host(&|host| host.threads += 1, "the environment variable NPROC sets it");
    host(&|host| host.features.push_str(" zzz"), "(zzz), and here it is ");
    refused(&|header| header.host = None, "for the processor none");
}
