use super::*;
use natgrad_ir::{DType, TensorType};

use crate::init::Param;
use crate::models::named::NamedModel;

fn of(depth: usize, image: [usize; 3], classes: usize) -> ResNet {
    ResNet { depth, image, classes, width: None, stem: None, residual_relu: false, outputs: 0, noise: None }
}

fn params(model: &ResNet) -> Vec<Param> {
    (model as &dyn Model).params()
}

fn count(model: &ResNet) -> usize {
    params(model).iter().map(|param| param.shape.elements()).sum()
}

/// Channels that are normalized: a batch norm has two parameters for each, a filter response norm three.
fn channels(model: &ResNet) -> usize {
    let taus = params(model).into_iter().filter(|param| param.name.ends_with(".tau"));
    taus.map(|param| param.shape.elements()).sum()
}

/// The authors' networks, as their code counts them.
#[test]
fn parameters_are_as_many_as_the_authors() {
    assert_eq!(count(&of(20, [32, 32, 3], 10)), 274_042);
    assert_eq!(count(&of(50, [224, 224, 3], 1000)), 25_583_592);
    let wide = ResNet { stem: Some(Stem::Small), residual_relu: true, ..of(18, [32, 32, 3], 10) };
    assert_eq!(count(&wide), 11_178_762);
}

/// torchvision's networks have a batch norm where these have a filter response norm.
#[test]
fn four_stages_differ_from_torchvisions_by_one_parameter_a_channel() {
    for (depth, published) in
        [(18, 11_689_512), (34, 21_797_672), (50, 25_557_032), (101, 44_549_160), (152, 60_192_808)]
    {
        let model = of(depth, [224, 224, 3], 1000);
        assert_eq!(count(&model), published + channels(&model), "depth {depth}");
    }
}

/// He et al. have 0.27 million: no convolution has a bias, and shortcuts have no parameters.
#[test]
fn three_stages_differ_from_he_et_al_by_biases_and_shortcuts() {
    let model = of(20, [32, 32, 3], 10);
    let of_shortcuts = 16 * 32 + 32 * 64;
    let biases = channels(&model);
    let shortcut_channels = 32 + 64;
    let he = 269_722;
    let batch_norms = 2 * (channels(&model) - shortcut_channels);
    assert_eq!(count(&model), he - batch_norms + 3 * channels(&model) + biases + of_shortcuts);
}

#[test]
fn parameters_are_named_in_torchvisions_way() {
    let lines = |model: ResNet| -> Vec<String> {
        let params = params(&model).into_iter();
        params.filter(|p| !p.name.ends_with(".beta")).map(|p| format!("{}{}", p.name, p.shape)).collect()
    };
    let small = lines(ResNet { width: Some(2), ..of(8, [9, 8, 3], 4) });
    insta::assert_snapshot!(small.join("\n"));
    let large = lines(of(50, [224, 224, 3], 1000));
    insta::assert_snapshot!(large[..18].join("\n"));
}

#[test]
fn kernels_start_as_the_authors() {
    let first = |depth| params(&of(depth, [64, 64, 3], 10))[0].init;
    assert_eq!(first(20), Init::Uniform { bound: 27f64.powf(-0.5) });
    assert_eq!(first(50), Init::Normal { std: (2.0f64 / (7 * 7 * 64) as f64).sqrt() });
}

#[test]
fn configurations_are_checked() {
    let parse = serde_json::from_str::<ResNet>;
    let text = r#"{"depth": 20, "image": [32, 32, 3], "classes": 10}"#;
    assert_eq!(parse(text).unwrap(), of(20, [32, 32, 3], 10));
    assert_eq!(
        serde_json::to_string(&parse(text).unwrap()).unwrap(),
        r#"{"depth":20,"image":[32,32,3],"classes":10,"residual_relu":false}"#
    );
    let unknown = parse(r#"{"depth": 20, "image": [32, 32, 3], "classes": 10, "norm": "batch"}"#);
    assert!(unknown.unwrap_err().to_string().starts_with("unknown field `norm`"));
    let good = of(20, [32, 32, 3], 10);
    good.validate().unwrap();
    for (model, wanted) in [
        (
            of(21, [32, 32, 3], 10),
            "depth is 21, but must be 18, 34, 50, 101 or 152, or 6n+2 from 8 to 1202, such as 20, 32, 44 or 56",
        ),
        (
            of(20, [32, 0, 3], 10),
            "image is [32, 0, 3], but must be height, width and channels from 1 to 65536",
        ),
        (of(20, [32, 32, 3], 1), "classes is 1, but must be from 2 to 65536"),
        (ResNet { width: Some(0), ..good }, "width is 0, but must be from 1 to 65536"),
    ] {
        assert_eq!(model.validate().unwrap_err().to_string(), wanted);
    }
}

#[test]
fn every_depth_builds_in_every_type() {
    for depth in [8, 18, 50] {
        let model = NamedModel::ResNet(ResNet { width: Some(2), ..of(depth, [17, 12, 3], 4) });
        for compute in [DType::F32, DType::BF16] {
            let (loss, _) = model.loss_function(3, DType::F32, compute, None).unwrap();
            natgrad_ir::verify::verify_function(&loss).unwrap();
            let gradient = natgrad_ir::grad::value_and_grad(&loss, &[0, 1]).unwrap();
            natgrad_ir::verify::verify_function(&gradient).unwrap();
        }
        let predict = model.predict_function(3, DType::F64).unwrap();
        assert_eq!(predict.signature().results, [TensorType::new(DType::F64, [3, 4])]);
    }
}
