//! Opening devices, and runs on another device than a client's first.

use natgrad::compile::{Cache, CacheOutcome, Device, OpenError};
use natgrad::lower::Loops;
use natgrad::pjrt::{Arg, Client, OptionValue};
use natgrad::step::StepPlan;
use natgrad::train::{CallData, CallRows, HostTensor, Session};
use natgrad_ir::{DType, TensorType};

use crate::device::{DEVICE, upload};
use crate::kit::{Setup, numbers};
use crate::runs::{ivon, setup};

fn small() -> Setup {
    Setup { dtype: DType::F32, ..setup(ivon(), StepPlan::default()) }
}

/// The processor as two devices.
fn two_devices() -> Client {
    let options = [("cpu_device_count".to_owned(), OptionValue::Int(2))];
    Client::create(DEVICE.client().plugin(), &options).unwrap()
}

/// The state after two steps, and whether all programs came from the cache.
fn run(device: &Device) -> (Vec<HostTensor>, bool) {
    let setup = small();
    let mut session = Session::new(device, &setup.recipe(), setup.rows, &setup.hypers(), setup.seed).unwrap();
    let cached = session.programs().all(|program| matches!(program.outcome, CacheOutcome::Hit { .. }));
    let means: Vec<Vec<f64>> = (0..4)
        .map(|param| numbers(setup.seed ^ 1, param, setup.model.params()[param].shape.elements(), 1.0))
        .collect();
    session.begin(&means, &[]).unwrap();
    for step in 0..2 {
        let (features, labels) = setup.bytes(step);
        let rows = CallRows::Given { features: &features, labels: &labels };
        session.step(CallData { rows, steps: 1, noise: &[], further_noise: &[] }).unwrap().wait().unwrap();
    }
    (session.state_to_host().unwrap(), cached)
}

#[test]
fn steps_on_the_second_device_give_the_numbers_of_the_first() {
    let (client, folder) = (two_devices(), tempfile::tempdir().unwrap());
    let device = |index| Device::at(client.clone(), index, Cache::open(folder.path()), Loops::Merged);
    let [first, second] = [0, 1].map(|index| device(index).unwrap());
    assert_eq!((first.kind(), second.kind()), ("cpu", "cpu"));
    let (wanted, _) = run(&first);
    // Each device has its own executables, also in the cache.
    for cached in [false, true] {
        assert_eq!(run(&second), (wanted.clone(), cached));
    }
}

#[test]
fn programs_of_a_device_take_no_buffers_of_another() {
    let (client, folder) = (two_devices(), tempfile::tempdir().unwrap());
    let device = |index| Device::at(client.clone(), index, Cache::open(folder.path()), Loops::Merged);
    let [first, second] = [0, 1].map(|index| device(index).unwrap());
    let setup = small();
    let start = second.compile(setup.recipe().start().unwrap()).unwrap();
    let inputs = setup.inputs(&start.program);
    let runs_with = |device: &Device| {
        start.run(|slot| {
            let tensor = &inputs[&slot];
            let bytes = crate::device::bytes(tensor);
            Some(Arg::Donate(device.upload(tensor.ty(), &bytes).unwrap()))
        })
    };
    assert!(runs_with(&first).is_err());
    assert!(runs_with(&second).is_ok());
}

#[test]
fn a_device_that_is_not_there_is_an_error_that_says_which_are() {
    let folder = tempfile::tempdir().unwrap();
    let error = Device::at(two_devices(), 2, Cache::open(folder.path()), Loops::Merged).unwrap_err();
    assert!(matches!(error, OpenError::NoSuchDevice { index: 2, .. }), "{error:?}");
    let text = "there is no device 2 of platform cpu: there are 2, from device 0 on, of kind cpu";
    assert_eq!(error.to_string(), text);
}

#[test]
fn devices_that_are_open_share_their_runtime() {
    let [one, other] = [Device::from_env().unwrap(), Device::open(DEVICE.client().plugin().path()).unwrap()];
    let setup = small();
    let start = other.compile(setup.recipe().start().unwrap()).unwrap();
    let inputs = setup.inputs(&start.program);
    let outputs = start.run(|slot| {
        let tensor = &inputs[&slot];
        Some(Arg::Donate(one.upload(tensor.ty(), &crate::device::bytes(tensor)).unwrap()))
    });
    assert!(outputs.is_ok(), "{outputs:?}");
    // Another client's buffers do not fit.
    assert!(start.run(|slot| Some(Arg::Donate(upload(&inputs[&slot])))).is_err());
}

#[test]
fn a_file_that_is_no_plugin_is_told() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let error = Device::open(file).unwrap_err();
    assert!(matches!(error, OpenError::Plugin(_)), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(file) && text.contains("the file is a text file"), "{text}");
    let missing = Device::open("none.so").unwrap_err().to_string();
    assert!(missing.contains("none.so") && missing.contains("No such file"), "{missing}");
}

/// Devices that this machine may have or lack; where it has none, an error says so.
#[test]
fn accelerators_are_opened_or_told_to_be_absent() {
    if std::env::var_os("NATGRAD_PJRT_PLUGIN").is_some() {
        return;
    }
    // Where a machine does not list its devices, libtpu waits for a TPU for minutes.
    let tpu = std::path::Path::new("/sys/bus/pci/devices").exists().then(|| Device::tpu(0));
    for opened in [Device::cuda(0)].into_iter().chain(tpu) {
        match opened {
            Ok(device) => {
                let x = device.upload_numbers(&TensorType::new(DType::F32, [1]), &[2.0]).unwrap();
                assert_eq!(x.to_host().unwrap(), 2.0_f32.to_ne_bytes());
            }
            Err(
                error @ (OpenError::NotInstalled { .. }
                | OpenError::CompileOnly
                | OpenError::Cuda(_)
                | OpenError::NoGpu(_)
                | OpenError::NoTpu(_)
                | OpenError::NoTpuAttached),
            ) => {
                assert!(error.to_string().contains("install") || error.to_string().contains("name its model"))
            }
            Err(other) => panic!("{other:?}"),
        }
    }
}
