//! Entries of the cache of executables: whatever is wrong with one is found.

use natgrad::compile::{Cache, CacheOutcome, Device, MissReason};
use natgrad::config::RunConfig;
use natgrad::step::StatePlan;

use crate::mutate::{Random, survive};

#[test]
fn entries() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, device) = (Cache::open(folder.path()), Device::cpu().unwrap());
    let model = "model={\"kind\": \"linear\", \"inputs\": 2, \"classes\": 2}".to_string();
    let config = RunConfig::load(None, &[model]).unwrap();
    let predict = || config.recipe(StatePlan::Explicit).predict(2).unwrap();
    device.compile_in(&cache, predict()).unwrap();
    let path = cache.entries().unwrap()[0].path.clone();
    let whole = std::fs::read(&path).unwrap();

    // By the checksum, and by what loads it.
    for seed in 0..10 {
        std::fs::write(&path, Random::new(seed).mutate(&whole)).unwrap();
        let is_whole = std::fs::read(&path).unwrap() == whole;
        let outcome = device.compile_in(&cache, predict()).unwrap().outcome;
        let is_hit = matches!(outcome, CacheOutcome::Hit { .. });
        let is_damaged = matches!(outcome, CacheOutcome::Miss { reason: MissReason::Damaged(_), .. });
        assert!(is_hit == is_whole && is_damaged != is_whole, "{seed}: {outcome:?}");
    }
    let head = whole[..400.min(whole.len())].to_vec();
    survive("entries", &[whole.clone(), head.clone()], move |bytes| {
        let bytes = if bytes.len() < 2 * head.len() {
            [bytes, &whole[head.len()..]].concat()
        } else {
            bytes.to_vec()
        };
        std::fs::write(&path, &bytes).unwrap();
        let is_other =
            cache.entries().unwrap()[0].about.as_ref().is_err_and(|reason| reason.contains("version"));
        assert_eq!(cache.verify().unwrap().is_empty(), bytes == whole || is_other);
    });
}
