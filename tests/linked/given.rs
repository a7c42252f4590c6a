//! What models are given and tell beside parameters, one input and labels.

use natgrad::config::RunConfig;
use natgrad::step::{Metric, StepPlan};
use natgrad::train::StepScalars;

use super::*;

/// A copy of the perceptron's folder.
pub fn copy() -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder("mlp")).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
    }
    copy
}

/// A copy with a loss alone, without a task.
fn loss_alone() -> tempfile::TempDir {
    let copy = copy();
    for file in ["predict.mlir", "squared_gradients.mlir", "hessian_vector.mlir"] {
        std::fs::remove_file(copy.path().join(file)).unwrap();
    }
    change(&copy, "model.json", "\"task\": \"classes\"", "\"task\": null");
    let prediction = "\"prediction\": {\"shape\": [8, 3], \"type\": \"f32\"}";
    change(&copy, "model.json", prediction, "\"prediction\": null");
    copy
}

/// Changes a file of a copy.
fn change(copy: &tempfile::TempDir, file: &str, from: &str, to: &str) {
    let text = std::fs::read_to_string(copy.path().join(file)).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(copy.path().join(file), text.replacen(from, to, 1)).unwrap();
}

/// The recorded input and labels of the perceptron.
fn recorded() -> (Vec<u8>, Vec<u8>) {
    let (model, recorded) = (Stablehlo::open(folder("mlp")).unwrap(), Recorded::of("mlp"));
    let model: &dyn Model = &model;
    let x = recorded.input("input/x", &model.features(DType::F32)[0]);
    (x, recorded.input("input/y", &model.labels(DType::F32)))
}

/// What the steps of one call tell, and the parameters after it: plain gradient descent at rate 1.
fn steps(
    model: &Stablehlo,
    plan: StepPlan,
    features: &[Vec<u8>],
    labels: &[u8],
) -> (Vec<StepScalars>, Vec<Vec<f64>>) {
    let linked = model.linked().unwrap();
    let rule = Sgd { lr: 1.0, momentum: 0.0, weight_decay: 0.0, ..Sgd::default() };
    let recipe = Recipe { plan, ..Recipe::new(model, &rule) };
    let values = recipe.values(linked.rows, 1);
    let mut session = Session::new(&DEVICE, &recipe, linked.rows, &values, 0).unwrap();
    session.begin(linked.values.as_ref().unwrap(), &[]).unwrap();
    let rows = CallRows::Given { features, labels };
    let data = CallData { rows, steps: plan.per_call as usize, noise: &[], further_noise: &[] };
    let scalars = session.step(data).unwrap().wait().unwrap();
    let state = session.state_to_host().unwrap();
    let means = state.iter().filter(|tensor| tensor.name.starts_with("mean/"));
    (scalars, means.map(natgrad::train::HostTensor::numbers).collect())
}

fn one_step(model: &Stablehlo, features: &[Vec<u8>], labels: &[u8]) -> (f64, Vec<Vec<f64>>) {
    let (scalars, means) = steps(model, StepPlan::default(), features, labels);
    (scalars[0].loss(), means)
}

/// A folder with a loss alone takes all of its inputs as such, and its step is the same.
#[test]
fn a_loss_is_enough() {
    let (x, y) = recorded();
    let wanted = one_step(&Stablehlo::open(folder("mlp")).unwrap(), std::slice::from_ref(&x), &y);
    let copy = loss_alone();
    let labelled = Stablehlo::open(copy.path()).unwrap();
    assert_eq!(one_step(&labelled, std::slice::from_ref(&x), &y), wanted);
    change(&copy, "model.json", "\"labels\": \"y\"", "\"labels\": null");
    let alone = Stablehlo::open(copy.path()).unwrap();
    assert_eq!(one_step(&alone, &[x, y], &[]), wanted);
    let rule = Sgd::default();
    let recipe = Recipe::new(&alone, &rule);
    let data = recipe.interface(8).unwrap().data(Extent::Batch);
    assert_eq!(data, [0, 1].map(|input| Slot::Features(input, Extent::Batch)));
    assert!(recipe.predict(8).unwrap_err().to_string().contains("comes without `predict.mlir`"));
}

/// MLIR's generic form is taken too, with properties in brackets or as it was before there were any, and read as the pretty one.
#[test]
fn the_generic_form_is_as_good() {
    let (x, y) = recorded();
    let wanted = one_step(&Stablehlo::open(folder("mlp")).unwrap(), std::slice::from_ref(&x), &y);
    let (copy, module) = (copy(), "loss_and_gradient.mlir");
    std::fs::copy(folder("generic").join(module), copy.path().join(module)).unwrap();
    assert_eq!(one_step(&Stablehlo::open(copy.path()).unwrap(), std::slice::from_ref(&x), &y), wanted);
    let text = std::fs::read_to_string(copy.path().join(module)).unwrap();
    let (head, rest) = text.split_once("\"func.func\"() <{arg_attrs").unwrap();
    let (entries, rest) = rest.split_once("}> ({\n").unwrap();
    let (body, rest) = rest.split_once("\n  }) : () -> ()").unwrap();
    let older = format!("{head}\"func.func\"() ({{\n{body}\n  }}) {{arg_attrs{entries}}} : () -> (){rest}");
    std::fs::write(copy.path().join(module), older).unwrap();
    assert_eq!(one_step(&Stablehlo::open(copy.path()).unwrap(), &[x], &y), wanted);
    change(&copy, module, "{natgrad.name = \"parameter/unused\"}", "{}");
    let error = Linked::open(copy.path()).unwrap_err();
    assert!(error.contains("parameter 6 of `main` has no attribute `natgrad.name`"), "{error}");
    change(&copy, module, "sym_name = \"main\"", "sym_name = \"other\"");
    assert!(Linked::open(copy.path()).unwrap_err().contains("no function `main`"));
}

/// Any number that the loss gives beside itself is told by its name: the mean over micro-batches.
#[test]
fn metrics_are_told_by_name() {
    let (x, y) = recorded();
    let (copy, module) = (copy(), "loss_and_gradient.mlir");
    let result =
        "tensor<f32> {natgrad.name = \"metric/double\"}, tensor<i32> {natgrad.name = \"metric/two\"}";
    change(&copy, module, "-> (tensor<f32> {natgrad", &format!("-> ({result}, tensor<f32> {{natgrad"));
    let before = "    %double = stablehlo.add %52, %52 : tensor<f32>\n    %two = stablehlo.constant dense<2> : tensor<i32>\n";
    change(
        &copy,
        module,
        "    return %52, %53, %91, %93, %82, %84, %74, %76, %94 : tensor<f32>,",
        &format!(
            "{before}    return %double, %two, %52, %53, %91, %93, %82, %84, %74, %76, %94 : tensor<f32>, tensor<i32>, tensor<f32>,"
        ),
    );
    let model = Stablehlo::open(copy.path()).unwrap();
    assert_eq!(model.linked().unwrap().told, ["double", "two"]);
    for (plan, times) in [
        (StepPlan { accumulation: 2, ..StepPlan::default() }, 2),
        (StepPlan { per_call: 2, ..StepPlan::default() }, 2),
    ] {
        let (x, y) = (x.repeat(times), y.repeat(times));
        let (scalars, _) = steps(&model, plan, &[x], &y);
        for told in &scalars {
            assert_close(&[told.get(Metric::Told(0))], &[2.0 * told.loss()], "the double");
            assert_eq!(told.get(Metric::Told(1)), 2.0);
            assert!(told.get(Metric::Correct).is_finite());
        }
    }
    let rule = Sgd::default();
    let interface = Recipe::new(&model, &rule).interface(8).unwrap();
    assert_eq!(interface.metric_name(Metric::Told(0)), "metric/double");
    change(&copy, module, "metric/two", "metric/2 of them");
    let error = Linked::open(copy.path()).unwrap_err();
    assert!(error.contains("is the metric `2 of them`, which must have"), "{error}");
}

/// Natgrad gives whole numbers and numbers of its own types, which are converted to the function's.
#[test]
fn inputs_and_metrics_of_other_types_are_converted() {
    let (x, y) = recorded();
    let wanted = one_step(&Stablehlo::open(folder("mlp")).unwrap(), std::slice::from_ref(&x), &y);
    let module = "loss_and_gradient.mlir";
    let argument = "%arg8: tensor<8xi32> {natgrad.name = \"input/y\"} loc(\"input/y\")";
    let first = "    %cst = stablehlo.constant";
    for (name, written) in [("i64", "i64"), ("i8", "i8"), ("u8", "ui8"), ("u16", "ui16")] {
        let copy = loss_alone();
        change(&copy, "model.json", "\"type\": \"i32\"", &format!("\"type\": \"{name}\""));
        change(&copy, module, argument, &argument.replace("%arg8", "%y").replace("i32", written));
        let convert = format!("    %arg8 = stablehlo.convert %y : (tensor<8x{written}>) -> tensor<8xi32>\n");
        change(&copy, module, first, &format!("{convert}{first}"));
        // A metric of the type too.
        let result =
            format!("-> (tensor<8x{written}> {{natgrad.name = \"metric/y\"}}, tensor<f32> {{natgrad");
        change(&copy, module, "-> (tensor<f32> {natgrad", &result);
        change(&copy, module, "    return %52,", "    return %y, %52,");
        change(&copy, module, "%94 : tensor<f32>", &format!("%94 : tensor<8x{written}>, tensor<f32>"));
        let model = Stablehlo::open(copy.path()).unwrap();
        assert_eq!(one_step(&model, std::slice::from_ref(&x), &y), wanted, "{name}");
    }
    for (name, written) in [("f64", "f64"), ("f16", "f16"), ("bf16", "bf16")] {
        let copy = loss_alone();
        let argument = "%arg7: tensor<8x6xf32> {natgrad.name = \"input/x\"} loc(\"input/x\")";
        change(
            &copy,
            "model.json",
            "\"shape\": [8, 6], \"type\": \"f32\"",
            &format!("\"shape\": [8, 6], \"type\": \"{name}\""),
        );
        change(&copy, module, argument, &argument.replace("%arg7", "%x").replace("f32", written));
        let convert =
            format!("    %arg7 = stablehlo.convert %x : (tensor<8x6x{written}>) -> tensor<8x6xf32>\n");
        change(&copy, module, first, &format!("{convert}{first}"));
        let (loss, _) = one_step(&Stablehlo::open(copy.path()).unwrap(), std::slice::from_ref(&x), &y);
        assert!((loss - wanted.0).abs() < 0.02, "{name}: {loss}");
    }
    // Truth values are whole numbers, too.
    let copy = loss_alone();
    change(&copy, "model.json", "\"type\": \"i32\"", "\"type\": \"bool\"");
    change(&copy, module, argument, &argument.replace("%arg8", "%y").replace("i32", "i1"));
    let convert = "    %arg8 = stablehlo.convert %y : (tensor<8xi1>) -> tensor<8xi32>\n";
    change(&copy, module, first, &format!("{convert}{first}"));
    let ones = [1_u32; 8].map(u32::to_ne_bytes).concat();
    let wanted = one_step(&Stablehlo::open(folder("mlp")).unwrap(), std::slice::from_ref(&x), &ones);
    assert_eq!(one_step(&Stablehlo::open(copy.path()).unwrap(), &[x], &ones), wanted);
    let copy = loss_alone();
    change(&copy, module, argument, &argument.replace("i32", "i4"));
    let error = Linked::open(copy.path()).unwrap_err();
    assert!(error.contains("tensor<8xi4>") && error.contains("ui8, ui16"), "{error}");
}

/// Parameters of half precision are kept in full, and converted for the function, as are the file's values and gradients.
#[test]
fn parameters_may_be_of_half_precision() {
    let (x, y) = recorded();
    let (loss, means) = one_step(&Stablehlo::open(folder("mlp")).unwrap(), std::slice::from_ref(&x), &y);
    let (copy, module) = (copy(), "loss_and_gradient.mlir");
    for file in ["predict.mlir", "squared_gradients.mlir", "hessian_vector.mlir"] {
        std::fs::remove_file(copy.path().join(file)).unwrap();
    }
    let prediction = "\"prediction\": {\"shape\": [8, 3], \"type\": \"f32\"}";
    change(&copy, "model.json", prediction, "\"prediction\": null");
    let half = |text: &str| text.replace("f32", "bf16");
    change(
        &copy,
        "model.json",
        "\"shape\": [6, 3], \"type\": \"f32\"",
        "\"shape\": [6, 3], \"type\": \"bf16\"",
    );
    let argument = "%arg5: tensor<6x3xf32> {natgrad";
    change(&copy, module, argument, &half(argument).replace("%arg5", "%w"));
    let gradient = "tensor<6x3xf32> {natgrad.name = \"gradient/layers.2.weight\"}";
    change(&copy, module, gradient, &half(gradient));
    let first = "    %cst = stablehlo.constant";
    let convert = "    %arg5 = stablehlo.convert %w : (tensor<6x3xbf16>) -> tensor<6x3xf32>\n";
    change(&copy, module, first, &format!("{convert}{first}"));
    let text = std::fs::read_to_string(copy.path().join(module)).unwrap();
    let line = text.lines().find(|line| line.starts_with("    return %52,")).unwrap();
    let convert = "    %half = stablehlo.convert %76 : (tensor<6x3xf32>) -> tensor<6x3xbf16>\n";
    let returned = line.replace("%76", "%half").replace("tensor<6x3xf32>", "tensor<6x3xbf16>");
    change(&copy, module, line, &format!("{convert}{returned}"));
    // The file has that tensor's values in half precision too.
    let path = copy.path().join("parameters.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    let stored: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = all
        .tensors()
        .into_iter()
        .map(|(name, tensor)| {
            let shape = tensor.shape().to_vec();
            match name == "layers.2.weight" {
                // The upper half of each number.
                true => {
                    (name, Dtype::BF16, shape, tensor.data().chunks(4).flat_map(|x| [x[2], x[3]]).collect())
                }
                false => (name, tensor.dtype(), shape, tensor.data().to_vec()),
            }
        })
        .collect();
    let views = stored.iter().map(|(name, dtype, shape, data)| {
        (name.clone(), safetensors::tensor::TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
    let model = Stablehlo::open(copy.path()).unwrap();
    let (found, found_means) = one_step(&model, &[x], &y);
    assert!((found - loss).abs() < 0.02 && found != loss, "{found}, not {loss}");
    for (found, wanted) in found_means.iter().flatten().zip(means.iter().flatten()) {
        assert!((found - wanted).abs() < 0.03, "{found}, not {wanted}");
    }
    // The rules that sample, and the plan that keeps no mean, too.
    for plan in
        [serde_json::json!({}), serde_json::json!({"state": "implicit", "samples": 2, "accumulation": 2})]
    {
        let model = serde_json::json!({"kind": "stablehlo", "path": copy.path()});
        let config = serde_json::json!({"model": model, "rule": {"kind": "ivon"}, "batch": 8, "step": plan});
        let config = RunConfig::from_json("the test", config).unwrap();
        DEVICE.compile(config.recipe(config.step.state).step(8).unwrap()).unwrap();
    }
}

/// An input without rows reaches every micro-batch of every step of a call.
#[test]
fn inputs_without_rows_are_those_of_the_whole_call() {
    let (x, y) = recorded();
    let copy = loss_alone();
    let module = "loss_and_gradient.mlir";
    change(
        &copy,
        "model.json",
        "    {\"name\": \"x\"",
        "    {\"name\": \"scale\", \"shape\": [], \"type\": \"f32\"},\n    {\"name\": \"x\"",
    );
    let argument = "(%scale: tensor<f32> {natgrad.name = \"input/scale\"}, %arg0";
    change(&copy, module, "@main(%arg0", &format!("@main{argument}"));
    change(
        &copy,
        module,
        "    return %52,",
        "    %scaled = stablehlo.multiply %52, %scale : tensor<f32>\n    return %scaled,",
    );
    let (plain, scaled) = (Stablehlo::open(folder("mlp")).unwrap(), Stablehlo::open(copy.path()).unwrap());
    let scale = 2.5_f32.to_ne_bytes().to_vec();
    for (plan, times) in [
        (StepPlan::default(), 1),
        (StepPlan { accumulation: 2, ..StepPlan::default() }, 2),
        (StepPlan { per_call: 2, ..StepPlan::default() }, 2),
        (StepPlan { per_call: 2, accumulation: 2, ..StepPlan::default() }, 4),
    ] {
        let (x, y) = (x.repeat(times), y.repeat(times));
        let (wanted, means) = steps(&plain, plan, std::slice::from_ref(&x), &y);
        let (found, found_means) = steps(&scaled, plan, &[x, scale.clone()], &y);
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(&wanted) {
            assert_close(&[found.loss()], &[2.5 * wanted.loss()], "the loss");
        }
        assert_eq!(found_means, means);
    }
    let config = serde_json::json!({"model": {"kind": "stablehlo", "path": copy.path()}, "batch": 8});
    let error = RunConfig::from_json("the test", config).unwrap_err().to_string();
    assert!(error.contains("one with the input `scale`, which has no rows"), "{error}");
    change(&copy, "model.json", "\"shape\": [8, 6], ", "\"shape\": [8, 6], \"rows\": false, ");
    let linked = Linked::open(copy.path()).unwrap();
    let whole: Vec<&str> = linked.whole.iter().map(|input| input.name.as_str()).collect();
    assert_eq!((whole, linked.inputs.len()), (vec!["scale", "x"], 0));
}
