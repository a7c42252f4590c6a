use std::path::PathBuf;

use natgrad_layers::{Activation, Gpt2, NamedModel, ResNet};
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use super::*;

fn tiny() -> Gpt2 {
    let activation = Activation::GeluTanh;
    Gpt2 { vocabulary: 5, context: 3, layers: 1, heads: 2, width: 4, bias: true, activation }
}

type Named = (String, Vec<usize>, Vec<f32>);
type Tensors = Vec<Named>;

/// Tensors of the model, with numbers that bf16 and f16 hold exactly.
fn tensors(model: &Gpt2, prefix: &str) -> Tensors {
    let mut count = 0.0;
    let mut next = || {
        count = (count + 0.25) % 16.0;
        count
    };
    let of = |param: natgrad_layers::Param| {
        let numbers = (0..param.shape.elements()).map(|_| next()).collect();
        (format!("{prefix}{}", param.name), param.shape.dims().to_vec(), numbers)
    };
    NamedModel::Gpt2(model.clone()).params().into_iter().map(of).collect()
}

fn write(folder: &tempfile::TempDir, tensors: &[Named], dtype: Dtype) -> PathBuf {
    write_as(folder, "model.safetensors", tensors, dtype)
}

fn write_as(folder: &tempfile::TempDir, name: &str, tensors: &[Named], dtype: Dtype) -> PathBuf {
    let bytes: Vec<Vec<u8>> = tensors
        .iter()
        .map(|(_, _, numbers)| {
            let each = |&number: &f32| match dtype {
                Dtype::BF16 => half::bf16::from_f32(number).to_le_bytes().to_vec(),
                Dtype::F16 => half::f16::from_f32(number).to_le_bytes().to_vec(),
                Dtype::F32 => number.to_le_bytes().to_vec(),
                other => panic!("{other:?}"),
            };
            numbers.iter().flat_map(each).collect()
        })
        .collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name.as_str(), TensorView::new(dtype, shape.clone(), bytes).unwrap())
    });
    let path = folder.path().join(name);
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    path
}

/// Writes the tensors into two files, and the index, as transformers' `save_pretrained` does.
fn write_shards(folder: &tempfile::TempDir, tensors: &Tensors) -> PathBuf {
    let (first, second) = tensors.split_at(tensors.len() / 2);
    let mut map = serde_json::Map::new();
    for (name, tensors) in SHARDS.into_iter().zip([first, second]) {
        write_as(folder, name, tensors, Dtype::F32);
        map.extend(tensors.iter().map(|(tensor, _, _)| (tensor.clone(), name.into())));
    }
    write_index(folder, serde_json::json!({"metadata": {"total_size": 1}, "weight_map": map}))
}

const SHARDS: [&str; 2] = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

fn write_index(folder: &tempfile::TempDir, index: serde_json::Value) -> PathBuf {
    let path = folder.path().join("model.safetensors.index.json");
    std::fs::write(&path, index.to_string()).unwrap();
    path
}

fn numbers(tensors: &Tensors) -> Vec<Vec<f32>> {
    tensors.iter().map(|(_, _, numbers)| numbers.clone()).collect()
}

#[test]
fn weights_of_each_type_are_read_with_and_without_prefix() {
    let folder = tempfile::tempdir().unwrap();
    let model = NamedModel::Gpt2(tiny());
    for (prefix, dtype) in [("", Dtype::F32), ("transformer.", Dtype::BF16), ("transformer.", Dtype::F16)] {
        let wanted = tensors(&tiny(), prefix);
        let mut stored = wanted.clone();
        stored.push(("lm_head.weight".to_string(), vec![5, 4], wanted[0].2.clone()));
        stored.push((format!("{prefix}h.0.attn.bias"), vec![1, 1, 3, 3], vec![1.0; 9]));
        stored.push((format!("{prefix}h.0.attn.masked_bias"), vec![], vec![-1e4]));
        let path = write(&folder, &stored, dtype);
        check(&path, &model).unwrap();
        assert_eq!(read(&path, &model).unwrap(), numbers(&wanted));
        assert_eq!(read(folder.path(), &model).unwrap(), numbers(&wanted));
    }
}

#[test]
fn what_was_exported_is_read_bit_for_bit() {
    for model in [
        NamedModel::Gpt2(tiny()),
        NamedModel::Gpt2(Gpt2 { bias: false, ..tiny() }),
        NamedModel::ResNet(ResNet {
            depth: 8,
            image: [8, 8, 1],
            classes: 2,
            width: Some(2),
            stem: None,
            residual_relu: false,
            outputs: 0,
            noise: None,
        }),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let weights: Vec<Vec<f32>> = model.initial_values(3).collect();
        let as_f64 = |values: &Vec<f32>| values.iter().map(|&value| value.into()).collect();
        let exported: Vec<Vec<f64>> = weights.iter().map(as_f64).collect();
        let written = export(&path, &model, &exported).unwrap();
        assert_eq!(read(&path, &model).unwrap(), weights);
        let beside = folder.path().join("config.json");
        let is_gpt2 = matches!(model, NamedModel::Gpt2(_));
        let files = if is_gpt2 { vec![path.clone(), beside.clone()] } else { vec![path.clone()] };
        assert_eq!(written, files);
        // A second time replaces both; what describes something else stays.
        export(&path, &model, &exported).unwrap();
        if is_gpt2 {
            std::fs::write(&beside, r#"{"batch": 3}"#).unwrap();
            let message = export(&path, &model, &exported).unwrap_err().to_string();
            let wanted = "it is there already and describes no GPT-2; choose another folder";
            assert_eq!(message, format!("cannot write {}: {wanted}", beside.display()));
            assert_eq!(std::fs::read_to_string(&beside).unwrap(), r#"{"batch": 3}"#);
            std::fs::remove_file(&beside).unwrap();
            std::fs::create_dir(&beside).unwrap();
            let message = export(&path, &model, &exported).unwrap_err().to_string();
            let wanted = "what is there already cannot be read: is a folder, but must be a file";
            assert_eq!(message, format!("cannot write {}: {wanted}", beside.display()));
        }
    }
}

#[test]
fn more_tokens_get_the_mean_and_more_positions_are_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let stored = tensors(&tiny(), "");
    let path = write(&folder, &stored, Dtype::F32);
    let model = NamedModel::Gpt2(Gpt2 { vocabulary: 7, context: 2, ..tiny() });
    let found = read(&path, &model).unwrap();
    let wanted = numbers(&stored);
    assert_eq!(found[0][..20], wanted[0]);
    for column in 0..4 {
        let mean = (0..5).map(|row| f64::from(wanted[0][4 * row + column])).sum::<f64>() / 5.0;
        let mean = mean as f32;
        assert_eq!([found[0][20 + column], found[0][24 + column]], [mean; 2]);
    }
    assert_eq!(found[1], wanted[1][..8]);
    assert_eq!(found[2..], wanted[2..]);
}

#[test]
fn weights_in_several_files_are_those_in_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut stored = tensors(&tiny(), "transformer.");
    stored.push(("lm_head.weight".to_string(), vec![5, 4], stored[0].2.clone()));
    let index = write_shards(&folder, &stored);
    stored.pop();
    let model = NamedModel::Gpt2(tiny());
    check(&index, &model).unwrap();
    assert_eq!(read(&index, &model).unwrap(), numbers(&stored));
    assert_eq!(read(folder.path(), &model).unwrap(), numbers(&stored));
    // Where a folder has one file of all weights as well, that counts.
    stored[0].2[0] = 0.5;
    stored[0].2[1] = -0.5;
    write(&folder, &stored, Dtype::F32);
    assert_eq!(read(folder.path(), &model).unwrap(), numbers(&stored));
    // What shapes do not tell is in the description beside the index.
    std::fs::write(folder.path().join("config.json"), r#"{"model_type": "gpt2", "n_head": 4}"#).unwrap();
    let message = check(&index, &model).unwrap_err().to_string();
    assert!(message.starts_with("`model.heads` is 2, but "), "{message}");
}

#[test]
fn an_index_that_does_not_fit_its_files_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let stored = tensors(&tiny(), "");
    let index = write_shards(&folder, &stored);
    let good: serde_json::Value = serde_json::from_slice(&std::fs::read(&index).unwrap()).unwrap();
    let refused = |path: &std::path::Path| {
        let message = check(path, &NamedModel::Gpt2(tiny())).unwrap_err().to_string();
        message.replace(&folder.path().display().to_string(), "FOLDER")
    };
    let with = |tensor: &str, value: serde_json::Value| {
        let mut changed = good.clone();
        changed["weight_map"][tensor] = value;
        refused(&write_index(&folder, changed))
    };
    let [first, second] = SHARDS;

    let outside = |name: &str| {
        format!(
            "cannot read the weights FOLDER/model.safetensors.index.json: it puts the tensor `wte.weight` in `{name}`, \
             but the files of an index must be in its folder"
        )
    };
    let absolute = folder.path().join(first).display().to_string();
    for name in ["../model.safetensors", "a/../../b.safetensors", ".", "..", "", "./a", "/etc/hostname"] {
        assert_eq!(with("wte.weight", name.into()), outside(name));
    }
    assert_eq!(with("wte.weight", absolute.into()), outside("FOLDER/model-00001-of-00002.safetensors"));

    let index = "FOLDER/model.safetensors.index.json";
    assert_eq!(
        with("wte.weight", "absent.safetensors".into()),
        format!(
            "cannot read the weights FOLDER/absent.safetensors: No such file or directory (os error 2); {index} puts \
             the tensor `wte.weight` there"
        )
    );
    assert_eq!(
        with("wte.weight", second.into()),
        format!("weights FOLDER/{first}: the tensor `wte.weight` is there, but {index} does not say so")
    );
    assert_eq!(
        with("more", second.into()),
        format!("weights FOLDER/{second}: the tensor `more` is missing, but {index} puts it there")
    );
    let unread = |reason: &str| format!("cannot read the weights {index}: {reason}");
    let malformed = "not an index of safetensors files: ";
    let number = with("wte.weight", 3.into());
    assert!(number.starts_with(&unread(malformed)) && number.contains("expected a string"), "{number}");
    let text = serde_json::json!({"weight_map": {}});
    assert_eq!(refused(&write_index(&folder, text)), unread("its `weight_map` has no tensors"));
    let text = serde_json::json!({"model_type": "gpt2"});
    let message = refused(&write_index(&folder, text));
    assert!(message.starts_with(&unread(malformed)) && message.contains("weight_map"), "{message}");

    // Headers of files are not believed more than that of one, and a tensor in none is missing.
    let mut fewer = good.clone();
    fewer["weight_map"].as_object_mut().unwrap().retain(|_, name| name == first);
    let message = refused(&write_index(&folder, fewer));
    assert!(message.starts_with(&format!("weights {index}: the tensor `h.0.")), "{message}");
    assert!(message.contains("is missing; the model needs it of the shape"), "{message}");
    write_index(&folder, good);
    let path = folder.path().join(second);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let message = refused(&folder.path().join("model.safetensors.index.json"));
    assert!(message.starts_with(&format!("weights FOLDER/{second}: the tensor `")), "{message}");
    assert!(message.contains("would be at"), "{message}");

    let empty = tempfile::tempdir().unwrap();
    let message = check(empty.path(), &NamedModel::Gpt2(tiny())).unwrap_err().to_string();
    let wanted = "the folder has neither model.safetensors nor model.safetensors.index.json, nor checkpoint.safetensors \
                  of a run";
    assert_eq!(message, format!("cannot read the weights {}: {wanted}", empty.path().display()));
}

/// What an error says after the file's name.
fn refused(change: impl FnOnce(&mut Tensors), model: &Gpt2) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut stored = tensors(&tiny(), "transformer.");
    change(&mut stored);
    let path = write(&folder, &stored, Dtype::F32);
    let message = read(&path, &NamedModel::Gpt2(model.clone())).unwrap_err().to_string();
    message.replace(&path.display().to_string(), "FILE")
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    let missing = "weights FILE: the tensor `wpe.weight` is missing; the model needs it of the shape [3,4]";
    assert_eq!(refused(|stored| drop(stored.remove(1)), &tiny()), missing);
    let shape =
        "weights FILE: the tensor `transformer.wpe.weight` has the shape [3, 4], but the model needs [4,4]";
    assert_eq!(refused(|_| {}, &Gpt2 { context: 4, ..tiny() }), shape);
    let shape =
        "weights FILE: the tensor `transformer.wte.weight` has the shape [5, 4], but the model needs [4,4]";
    assert_eq!(refused(|_| {}, &Gpt2 { vocabulary: 4, ..tiny() }), shape);
    let extra =
        "weights FILE: the tensor `h.1.ln_1.weight` of the shape [4] is none of the model's parameters";
    assert_eq!(
        refused(|stored| stored.push(("h.1.ln_1.weight".into(), vec![4], vec![1.0; 4])), &tiny()),
        extra
    );
    let bias = "weights FILE: the tensor `transformer.h.0.attn.c_attn.bias` is not zero, but the model has no such bias";
    assert_eq!(refused(|_| {}, &Gpt2 { bias: false, ..tiny() }), bias);
    let head = "weights FILE: the tensor `lm_head.weight` is not `wte.weight` again, but the model's output layer \
                is its embedding";
    assert_eq!(
        refused(|stored| stored.push(("lm_head.weight".into(), vec![5, 4], vec![1.0; 20])), &tiny()),
        head
    );
    let twice = "weights FILE: the tensor `wpe.weight` is there as `transformer.wpe.weight` too";
    assert_eq!(
        refused(|stored| stored.push(("wpe.weight".into(), vec![3, 4], vec![1.0; 12])), &tiny()),
        twice
    );
    let infinite = "weights FILE: the tensor `transformer.wte.weight` has inf at element 6";
    assert_eq!(refused(|stored| stored[0].2[6] = f32::INFINITY, &tiny()), infinite);
}

#[test]
fn a_description_beside_the_weights_is_heeded() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(&folder, &tensors(&tiny(), ""), Dtype::F32);
    let beside = folder.path().join("config.json");
    let with = |text: &str| {
        std::fs::write(&beside, text).unwrap();
        let found = check(&path, &NamedModel::Gpt2(tiny()));
        found.map_err(|error| error.to_string().replace(&beside.display().to_string(), "FILE"))
    };
    let usual = r#"{"model_type": "gpt2", "n_head": 2, "activation_function": "gelu_new"}"#;
    assert_eq!(with(usual), Ok(()));
    assert_eq!(with(r#"{"batch": 3}"#), Ok(()));
    assert_eq!(
        with(r#"{"model_type": "gpt2", "n_head": 1}"#).unwrap_err(),
        "`model.heads` is 2, but FILE has `n_head` 1"
    );
    assert_eq!(
        with(r#"{"model_type": "gpt2", "activation_function": "gelu"}"#).unwrap_err(),
        "`model.activation` is \"gelu-tanh\", but FILE has `activation_function` gelu"
    );
    assert_eq!(
        with(r#"{"model_type": "gpt2", "layer_norm_epsilon": 1e-6}"#).unwrap_err(),
        "cannot read the weights FILE: `layer_norm_epsilon` is 1e-6, but natgrad's GPT-2 is one with 0.00001"
    );
    std::fs::remove_file(&beside).unwrap();
    std::fs::create_dir(&beside).unwrap();
    let error = check(&path, &NamedModel::Gpt2(tiny())).unwrap_err().to_string();
    let wanted = format!("cannot read the weights {}: is a folder, but must be a file", beside.display());
    assert_eq!(error, wanted);
}

/// Neither a panic nor an allocation that the file's size does not warrant.
#[test]
fn headers_that_lie_are_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lies");
    let header = |json: &str| [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat();
    let tensor = |shape: &str, begin: u64, end: u64| {
        let text =
            format!(r#"{{"a": {{"dtype": "F32", "shape": {shape}, "data_offsets": [{begin}, {end}]}}}}"#);
        [header(&text), vec![0; 8]].concat()
    };
    for (bytes, wanted) in [
        (vec![1, 2, 3], "cut off: it has 3 bytes"),
        (u64::MAX.to_le_bytes().to_vec(), "its header would have 18446744073709551615"),
        ([1000u64.to_le_bytes().to_vec(), vec![b' '; 10]].concat(), "its header would have 1000"),
        (header("{"), "its header: "),
        (tensor("[274877906944]", 0, 1 << 40), "`a` would be at 0..1099511627776 of the file's 8 bytes"),
        (tensor("[1000000000000]", 0, 8), "its header: "),
        (tensor("[4294967296, 4294967296, 4294967296]", 0, 8), "its header: "),
        (tensor("[2]", 8, 0), "its header: "),
        (tensor("[1]", 0, 4), "4 bytes come after its last tensor"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let message = check(&path, &NamedModel::Gpt2(tiny())).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}, not {wanted}");
    }
    let message = check(&folder.path().join("absent"), &NamedModel::Gpt2(tiny())).unwrap_err().to_string();
    assert!(message.contains("absent"), "{message}");
}
