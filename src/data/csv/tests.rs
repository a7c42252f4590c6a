use natgrad_ir::{DType, TensorType};

use super::super::{Batch, Examples, LabelColumn, LabelKind, Labels, Origin, TableFacts};
use super::*;

/// Reads a file with these bytes by the options that are in the fields.
fn read_text(text: &str, fields: &str) -> Result<Table, String> {
    with_file(text, fields, read)
}

fn predict_text(text: &str, fields: &str, taught: &Taught) -> Result<Table, String> {
    with_file(text, fields, |path, options| read_to_predict(path, options, taught))
}

fn with_file(
    text: &str,
    fields: &str,
    read: impl Fn(&Path, &TableFile) -> Result<Table, DataError>,
) -> Result<Table, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, text).unwrap();
    let options: TableFile = serde_json::from_str(&format!("{{\"path\": \"t.csv\"{fields}}}")).unwrap();
    read(&path, &options).map_err(|error| error.to_string().replace(&path.display().to_string(), "t.csv"))
}

fn features(table: &Table) -> Vec<f32> {
    let mut batch = Batch::default();
    let all: Vec<u32> = (0..table.len() as u32).collect();
    Examples::Table(table.clone()).append(&all, None, &mut batch).unwrap();
    batch.features[0].as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect()
}

fn taught(columns: &[&str], class_names: &[&str]) -> Taught {
    let strings = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
    Taught {
        features: TensorType::new(DType::F32, [2]),
        labels: TensorType::scalar(DType::U32),
        classes: 2,
        class_names: strings(class_names),
        table: Some(TableFacts { columns: strings(columns), ..TableFacts::default() }),
        tokenizer: None,
    }
}

#[test]
fn labels_are_in_any_column_and_may_be_words() {
    let text = "kind,x,y\ndog,1,2\ncat,3,4\ndog,5,6\n";
    for label in [r#""kind""#, "0"] {
        let table = read_text(text, &format!(", \"label\": {label}")).unwrap();
        assert_eq!(table.labels(), &Labels::classes(vec![1, 0, 1]));
        assert_eq!((features(&table), table.example().classes), (vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2));
        let facts = table.facts();
        assert_eq!(
            (&facts.class_names[..], &facts.table.columns[..]),
            (&["cat".into(), "dog".into()][..], &["x".into(), "y".into()][..])
        );
        assert_eq!(facts.notes, ["classes are the words of column 1 (`kind`): cat, dog"]);
    }
    let table = read_text("1,True,\"a, b\"\r\n\r\n2,false,\"the \"\"c\"\"\"\r\n", "").unwrap();
    assert_eq!(
        (features(&table), &table.facts().class_names[..]),
        (vec![1.0, 1.0, 2.0, 0.0], &["a, b".into(), "the \"c\"".into()][..])
    );
}

#[test]
fn separators_and_headers_are_found_or_given() {
    let table = read_text("\u{feff}a;b;y\n1;2;0\n3;4;1\n", "").unwrap();
    assert_eq!(
        (features(&table), &table.facts().notes[..]),
        (vec![1.0, 2.0, 3.0, 4.0], &["cells are separated by `;`".into()][..])
    );
    let table = read_text("1\t2\t0\n", "").unwrap();
    assert_eq!(table.facts().notes, ["cells are separated by `tab`"]);
    let table = read_text("1;2;0\n", r#", "separator": ";""#).unwrap();
    assert_eq!((features(&table), table.facts().notes.len()), (vec![1.0, 2.0], 0));

    // As pandas writes columns without names.
    let counted = "0,1,2\n0.5,1.5,0\n2.5,3.5,1\n";
    let table = read_text(counted, "").unwrap();
    assert_eq!((table.len(), &table.facts().table.columns[..]), (2, &["0".into(), "1".into()][..]));
    let note = "line 1 is taken as the header (it counts 0, 1, 2, ..., as the names of unnamed columns do); to change \
                that, set `data.header` to false";
    assert_eq!(table.facts().notes, [note]);
    assert_eq!(read_text(counted, r#", "header": false"#).unwrap().len(), 3);
    let whole = "0,1,2\n5,7,1\n";
    let table = read_text(whole, "").unwrap();
    assert_eq!((table.len(), table.facts().notes[0].contains("is taken as a row")), (2, true));
    assert_eq!(read_text(whole, r#", "header": true"#).unwrap().len(), 1);
}

#[test]
fn errors_name_line_and_column() {
    for (text, fields, wanted) in [
        (
            "a,b,y\n1,2,0\n1,,0\n",
            "",
            "line 3, column 2 (`b`): the cell is empty, but must be a finite number",
        ),
        ("a,b,y\n1,2,0\n1,2,\n", "", "line 3, column 3 (`y`): the cell is empty, but must be a class"),
        (
            "a;b;y\n1,5;2;0\n",
            "",
            "column 1 (`a`): `1,5` has a decimal comma, but must be a finite number, written with a point: 1.5",
        ),
        (
            "1,2,0.5\n",
            "",
            "line 1, column 3: `0.5` is no class: a whole number from 0 to 65535; with `\"target\": \"number\"`",
        ),
        ("1,2,cat\n1,2,7\n", "", "line 2, column 3: `7` is a number, but the classes before it are words"),
        ("1,2,0\n1,2,cat\n", "", "line 2, column 3: `cat` is no class"),
        (
            "x,0\n1,0\n",
            "",
            "line 1, column 1: `x` is no finite number; if line 1 names the columns, set `data.header` to true",
        ),
        (
            "a,b,y\n1,2,0\n",
            r#", "label": "z""#,
            "`data.label` is z, but must be a column of t.csv, which are a, b, y",
        ),
        ("y,b,y\n1,2,0\n", r#", "label": "y""#, "must be the name of one column: t.csv has it in 1 and 3"),
        ("1,2,0\n", r#", "label": "y""#, "must be a number from 0 to 2: the columns of t.csv have no names"),
        (
            "1,2,0\n",
            r#", "label": 3"#,
            "`data.label` is 3, but must be below 3: t.csv has 3 columns, counted from 0",
        ),
        ("\u{feff}", "", "data file t.csv: has no rows"),
    ] {
        let error = read_text(text, fields).unwrap_err();
        assert!(error.contains(wanted), "{text:?}: {error}");
    }
    let options = TableFile {
        label: Some(LabelColumn::Number(0).into()),
        target: LabelKind::Number,
        ..TableFile::new("")
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, "0.5,7\n").unwrap();
    assert_eq!(read(&path, &options).unwrap().labels(), &Labels::numbers(vec![0.5]));
    std::fs::write(&path, b"\xff\xfea\0").unwrap();
    assert!(read(&path, &options).unwrap_err().to_string().ends_with("is UTF-16, but must be UTF-8"));
}

#[test]
fn latin_1_is_told_by_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    std::fs::write(&path, b"stadt,zahl\nBonn,1\n\nK\xf6ln,2\n").unwrap();
    let error = read(&path, &TableFile::new(&path)).unwrap_err().to_string();
    let wanted = "line 4, column 1: is no UTF-8 text; if it is Latin-1 or Windows-1252, `iconv -f WINDOWS-1252 -t UTF-8 ";
    assert!(error.contains(wanted), "{error}");
}

#[test]
fn rows_know_their_lines() {
    let table = Examples::Table(read_text("a,y\n1,0\n\n\"2\",1\n3,0\n", "").unwrap());
    assert_eq!(table.origins(&[0, 1, 2]).unwrap(), [Origin::Line(2), Origin::Line(4), Origin::Line(5)]);
    assert_eq!(table.partition(2).0.origins(&[1]).unwrap(), [Origin::Line(5)]);
}

#[test]
fn rows_to_predict_have_the_runs_columns_and_classes() {
    let run = taught(&["x", "y"], &["cat", "dog"]);
    // By their names, in any order, beside others.
    let table = predict_text("id,y,x\n7,2,1\n8,4,3\n", r#", "label": "kind""#, &run).unwrap();
    assert_eq!((features(&table), table.is_labelled()), (vec![1.0, 2.0, 3.0, 4.0], false));
    let table = predict_text("kind,y,x\ndog,2,1\n", r#", "label": "kind""#, &run).unwrap();
    assert_eq!((features(&table), table.labels()), (vec![1.0, 2.0], &Labels::classes(vec![1])));
    // By their places, where there are no names.
    let table = predict_text("1,2\n", r#", "label": "kind""#, &run).unwrap();
    assert_eq!((features(&table), table.is_labelled()), (vec![1.0, 2.0], false));
    let table = predict_text("cat,1,2\n", r#", "label": 0"#, &run).unwrap();
    assert_eq!((features(&table), table.labels()), (vec![1.0, 2.0], &Labels::classes(vec![0])));
    for (text, wanted) in [
        ("x,z\n1,2\n", "line 1: has no column `y`, which the run learned from; its columns are x, z"),
        (
            "x,y,kind\n1,2,cow\n",
            "line 2, column 3 (`kind`): `cow` is no class of the run, which are cat, dog",
        ),
        ("1,2,3,4\n", "line 1: 4 columns, but the model takes 2, or 3 with a label in the last"),
    ] {
        let error = predict_text(text, "", &run).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
}
