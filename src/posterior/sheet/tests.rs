use super::*;

fn classes() -> Predictions {
    Predictions {
        samples: Some(2),
        names: Some(vec!["a, b.png".into(), "c.png".into()]),
        predicted: Predicted::Classes(ClassPredictions {
            classes: 2,
            probabilities: vec![0.25, 0.75, 1.0, 0.0],
            spread: vec![0.125, 0.125, 0.0, 0.0],
            class: vec![1, 0],
            entropy: vec![0.5, 0.0],
            aleatoric: vec![0.5 - 1e-7, 0.0],
            epistemic: vec![1e-7, 0.0],
            labels: Some(vec![1, 1]),
        }),
        scores: Some(Scores::Classes { accuracy: 0.5, nll: 2.0, ece: 0.25 }),
    }
}

fn sheet() -> Sheet {
    Sheet::new(&classes(), &["cat".into(), "dog".into()], None)
}

#[test]
fn classes_as_csv_json_and_on_the_screen() {
    let csv = String::from_utf8(csv::encode(&sheet()).unwrap()).unwrap();
    let wanted = "file,label,class,probability,p_cat,p_dog,sd_cat,sd_dog,entropy,aleatoric,epistemic\n\
        \"a, b.png\",dog,dog,0.75,0.25,0.75,0.125,0.125,0.5,0.4999999,1e-7\n\
        c.png,dog,cat,1.0,1.0,0.0,0.0,0.0,0.0,0.0,0.0\n";
    assert_eq!(csv, wanted);
    let json = String::from_utf8(json::encode(&sheet()).unwrap()).unwrap();
    let wanted = "{\"samples\":2,\"scores\":{\"accuracy\":0.5,\"nll\":2.0,\"ece\":0.25},\"class_names\":[\"cat\",\"dog\"],\
        \"rows\":[{\"file\":\"a, b.png\",\"label\":\"dog\",\"class\":\"dog\",\"probability\":0.75,\
        \"probabilities\":[0.25,0.75],\"spread\":[0.125,0.125],\"entropy\":0.5,\"aleatoric\":0.4999999,\
        \"epistemic\":1e-7},";
    assert!(json.starts_with(wanted), "{json}");
    let wanted = "file      label  class  probability   p_cat   p_dog  entropy  aleatoric  epistemic\n\
        a, b.png  dog    dog         0.7500  0.2500  0.7500   0.5000     0.5000   1.000e-7\n";
    assert_eq!(sheet().text(1), wanted);
}

#[test]
fn rows_have_the_place_that_they_come_from() {
    let unnamed = || Sheet::new(&Predictions { samples: None, names: None, ..classes() }, &[], None);
    let csv = |origins: &[Origin]| {
        String::from_utf8(csv::encode(&unnamed().with_origins(origins)).unwrap()).unwrap()
    };
    let lines = csv(&[Origin::Line(7), Origin::Line(12)]);
    assert!(lines.starts_with("row,line,label,class,") && lines.contains("\n1,12,1,0,"), "{lines}");
    let rows = csv(&[Origin::FileRow(5), Origin::FileRow(10)]);
    assert!(rows.starts_with("row,file_row,label,") && rows.contains("\n0,5,1,1,"), "{rows}");
    // Files have a column of their own.
    assert!(csv(&[Origin::File("a".into()), Origin::File("b".into())]).starts_with("row,label,"));
}

#[test]
fn classes_without_names_are_numbers() {
    let sheet = Sheet::new(&Predictions { samples: None, names: None, ..classes() }, &[], None);
    let csv = String::from_utf8(csv::encode(&sheet).unwrap()).unwrap();
    assert!(csv.starts_with("row,label,class,probability,p_0,p_1,entropy\n0,1,1,0.75,"), "{csv}");
    let json: serde_json::Value = serde_json::from_slice(&json::encode(&sheet).unwrap()).unwrap();
    assert_eq!((&json["at"], &json["rows"][0]["class"]), (&"mean".into(), &1.into()));
    assert!(sheet.text(9).starts_with("row  label  class  probability"), "{}", sheet.text(9));
}

#[test]
fn numbers_have_both_parts_of_their_deviation() {
    let numbers =
        NumberPredictions { outputs: 1, mean: vec![2e9], noise: vec![3.0], spread: vec![4.0], labels: None };
    let predicted = Predicted::Numbers(numbers);
    let of = |samples| Predictions { samples, names: None, predicted: predicted.clone(), scores: None };
    let csv =
        |samples| String::from_utf8(csv::encode(&Sheet::new(&of(samples), &[], None)).unwrap()).unwrap();
    assert_eq!(csv(Some(5)), "row,mean,sd,aleatoric_sd,epistemic_sd\n0,2000000000.0,5.0,3.0,4.0\n");
    assert!(csv(None).starts_with("row,mean,sd\n"));
}

#[test]
fn several_numbers_a_row_have_a_column_each() {
    let numbers = NumberPredictions {
        outputs: 2,
        mean: vec![1.0, -2.0, 3.0, 4.0],
        noise: vec![3.0, 0.5],
        spread: vec![4.0, 0.0, 0.0, 0.0],
        labels: Some(vec![1.5, -2.5, 3.5, 4.5]),
    };
    let predicted = Predicted::Numbers(numbers);
    let predictions = Predictions { samples: Some(5), names: None, predicted, scores: None };
    let sheet = Sheet::new(&predictions, &["a".into(), "b".into()], None);
    let csv = String::from_utf8(csv::encode(&sheet).unwrap()).unwrap();
    let wanted = "row,label_a,label_b,mean_a,mean_b,sd_a,sd_b,aleatoric_sd_a,aleatoric_sd_b,epistemic_sd_a,epistemic_sd_b\n\
        0,1.5,-2.5,1.0,-2.0,5.0,0.5,3.0,0.5,4.0,0.0\n\
        1,3.5,4.5,3.0,4.0,3.0,0.5,3.0,0.5,0.0,0.0\n";
    assert_eq!(csv, wanted);
    let json: serde_json::Value = serde_json::from_slice(&json::encode(&sheet).unwrap()).unwrap();
    assert_eq!(json["rows"][1]["mean"], serde_json::json!([3.0, 4.0]));
    let wanted = "row  label_a  label_b  mean_a   mean_b    sd_a    sd_b\n  0   1.5000  -2.5000  1.0000  -2.0000  5.0000  0.5000\n";
    assert_eq!(sheet.text(1), wanted);
    assert_eq!(sheet.len(), 2);
    assert!(
        String::from_utf8(csv::encode(&Sheet::new(&predictions, &[], None)).unwrap())
            .unwrap()
            .starts_with("row,label_0")
    );
}

#[test]
fn tokens_are_placed_in_windows() {
    let characters = crate::text::Characters::of("\na");
    let tokens = TokenPredictions {
        positions: 2,
        tokens: vec![1, 0, 1],
        log_probabilities: vec![-1.0, -2.0, -0.5],
        spread: vec![0.0; 3],
    };
    let predicted = Predicted::Tokens(tokens);
    let predictions = Predictions { samples: None, names: None, predicted, scores: None };
    let sheet = Sheet::new(&predictions, &[], Some(&Tokenizer::Characters(characters)));
    let wanted = "window  position  token  text  log_probability\n     0         0      1  a             -1.0000\n     \
        0         1      0  \"\\n\"          -2.0000\n     1         0      1  a             -0.5000\n";
    assert_eq!(sheet.text(9), wanted);
}

#[test]
fn other_names_are_no_formats() {
    let error = Format::of(Path::new("x.txt")).unwrap_err().to_string();
    assert_eq!(error, "x.txt: the name of a file of predictions must end in .csv, .npz or .json");
    assert_eq!(Format::of(Path::new("x.CSV")).unwrap(), Format::Csv);
}

#[test]
fn archives_are_read_back_and_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.npz");
    sheet().write(&path).unwrap();
    let arrays = ["probabilities", "class", "spread", "label"].map(str::to_string);
    let config = crate::data::DataConfig::Npz {
        path: path.clone(),
        arrays,
        image_layout: Default::default(),
        augment: None,
    };
    let fetch = |_| -> Result<PathBuf, crate::data::DataError> { unreachable!("nothing is fetched") };
    let splits = config.load(fetch).unwrap();
    let mut batch = crate::data::Batch::default();
    splits.train.append(&[0, 1], None, &mut batch).unwrap();
    let words: Vec<f32> =
        batch.features[0].as_chunks().0.iter().map(|&word| f32::from_ne_bytes(word)).collect();
    let labels: Vec<u32> = batch.labels.as_chunks().0.iter().map(|&word| u32::from_ne_bytes(word)).collect();
    assert_eq!((words, labels), (vec![0.25, 0.75, 1.0, 0.0], vec![1, 0]));
    let absent = folder.path().join("absent/out.csv");
    let error = sheet().write(&absent).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot write {}: ", absent.display())), "{error}");
}
