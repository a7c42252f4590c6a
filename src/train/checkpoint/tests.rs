use natgrad_ir::{DType, TensorType};
use safetensors::SafeTensors;

use super::*;
use crate::train::seal;

/// A bit that is flipped: the byte, and the bit in it.
type Flip = (usize, u8);

fn tensor(name: &str, numbers: &[f32]) -> HostTensor {
    let bytes = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    HostTensor { name: name.to_string(), ty: TensorType::new(DType::F32, [numbers.len()]), bytes }
}

fn small() -> Checkpoint {
    let step = HostTensor {
        name: "step".to_string(),
        ty: TensorType::scalar(DType::U32),
        bytes: 10u32.to_ne_bytes().to_vec(),
    };
    let header = Header {
        validated: Validated::default(),
        conditions: Conditions::default(),
        version: 1,
        step: 10,
        total_steps: 30,
        seconds: 1.5,
        labels: Some(60),
        table: None,
        class_names: vec!["cat".to_string()],
        source: Source::default(),
        config: serde_json::json!({"seed": 3}),
    };
    Checkpoint { header, tensors: vec![tensor("hess/w", &[0.5, 2.0]), tensor("mean/w", &[1.0, -3.0]), step] }
}

fn refused(folder: &Path) -> String {
    let error = Checkpoint::load(folder).unwrap_err().to_string();
    let path = folder.join(FILE_NAME);
    assert!(error.starts_with(&format!("cannot read {}: ", path.display())), "{error}");
    assert!(error.ends_with("Take a copy of the file, or train anew: this one is not used"), "{error}");
    error
}

#[test]
fn every_flipped_bit_and_every_cut_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = small().save(folder.path()).unwrap();
    assert_eq!(Checkpoint::load(folder.path()).unwrap(), small());
    let whole = std::fs::read(&path).unwrap();
    let flips = (0..whole.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit)));
    for (byte, bit) in flips.collect::<Vec<Flip>>() {
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << bit;
        std::fs::write(&path, &damaged).unwrap();
        refused(folder.path());
    }
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        refused(folder.path());
    }
    std::fs::write(&path, [&whole[..], b"\0"].concat()).unwrap();
    refused(folder.path());
}

#[test]
fn a_checkpoint_without_a_checksum_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = small().save(folder.path()).unwrap();
    let file = std::fs::read(&path).unwrap();
    // The same file, as an older natgrad wrote it.
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&file).unwrap();
    let mut notes = metadata.metadata().clone().unwrap();
    notes.remove(seal::KEY).unwrap();
    let old = safetensors::serialize(tensors.tensors(), Some(notes)).unwrap();
    std::fs::write(&path, old).unwrap();
    assert_eq!(Checkpoint::load(&path).unwrap(), small());
}

#[test]
fn what_contradicts_itself_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let saved = |change: fn(&mut Checkpoint)| {
        let mut checkpoint = small();
        change(&mut checkpoint);
        checkpoint.save(folder.path()).unwrap();
        refused(folder.path())
    };
    let wanted = "its header says step 11, but its tensor `step` says 10";
    assert!(saved(|checkpoint| checkpoint.header.step = 11).contains(wanted));
    let wanted = "its header says step 10, but a run of only 9 steps";
    assert!(saved(|checkpoint| checkpoint.header.total_steps = 9).contains(wanted));
    for (number, name) in [(f32::NAN, "NaN"), (f32::INFINITY, "inf"), (f32::NEG_INFINITY, "-inf")] {
        let mut checkpoint = small();
        checkpoint.tensors[0] = tensor("hess/w", &[0.5, number]);
        checkpoint.save(folder.path()).unwrap();
        let wanted =
            format!("the tensor `hess/w` has {name} at element 1, counted from 0, but must be finite");
        assert!(refused(folder.path()).contains(&wanted));
    }
}

/// A run begins anew from it, and nothing else can be done with it.
#[test]
fn the_checkpoint_of_a_start_has_no_state() {
    let folder = tempfile::tempdir().unwrap();
    let mut start = small();
    start.header.step = 0;
    start.tensors.clear();
    start.save(folder.path()).unwrap();
    let loaded = Checkpoint::load(folder.path()).unwrap();
    assert!(loaded.is_of_start() && loaded == start && !small().is_of_start());
    let (file, folder) = (folder.path().join(FILE_NAME), folder.path().display());
    let wanted = format!(
        "cannot read {}: its run has begun, but none of its steps is saved yet: wait for a checkpoint, or go on by natgrad train \
         --resume {folder}",
        file.display()
    );
    assert_eq!(loaded.must_have_state(&file).unwrap_err().to_string(), wanted);
    small().must_have_state(&file).unwrap();
}
