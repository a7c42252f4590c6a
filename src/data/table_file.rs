//! Files of tables: which column is the label, and how the others are read.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::DataError;

/// A table in a file, and how it is read. In JSON: `{"path": "table.csv", "label": "species", "standardize": true}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TableFile {
    /// The file.
    pub path: PathBuf,
    /// The column of labels, or the columns of several numbers; the last one if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<LabelColumns>,
    /// What the labels are.
    #[serde(default)]
    pub target: LabelKind,
    /// What features are divided by.
    #[serde(default = "one")]
    pub scale: f32,
    /// Whether features are made such that each has mean 0 and deviation 1 over the training rows.
    #[serde(default, skip_serializing_if = "is_false")]
    #[schemars(extend("default" = false))]
    pub standardize: bool,
    /// What stands between two cells; found if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<Separator>,
    /// Whether the first line names the columns; told from the cells if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// Every row whose number (from 0) this divides is test; 5 if neither this nor a fraction is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_every: Option<usize>,
    /// Instead, the part of the rows that is test: drawn from every class alike, the same ones each time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_fraction: Option<f64>,
}

/// What is to be predicted from a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LabelKind {
    /// A class: a whole number from 0, or a word.
    #[default]
    Class,
    /// A number.
    Number,
}

/// Which column has the labels. In JSON its name, or its number from 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum LabelColumn {
    /// By its name in the header.
    Name(String),
    /// By its number, from 0.
    Number(usize),
}

/// Which columns have the labels. In JSON one column, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct LabelColumns(pub Vec<LabelColumn>);

impl JsonSchema for LabelColumns {
    fn schema_name() -> Cow<'static, str> {
        "LabelColumns".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                {"type": "string"},
                {"type": "integer", "minimum": 0},
                {"type": "array", "minItems": 1, "items": {"type": ["string", "integer"], "minimum": 0}}
            ]
        })
    }
}

impl From<LabelColumn> for LabelColumns {
    fn from(column: LabelColumn) -> LabelColumns {
        LabelColumns(vec![column])
    }
}

impl TryFrom<Value> for LabelColumns {
    type Error = String;

    fn try_from(value: Value) -> Result<LabelColumns, String> {
        match value {
            Value::Array(columns) if columns.is_empty() => {
                Err("[] must name at least one column, or be left out for the last one".to_string())
            }
            Value::Array(columns) => {
                columns.into_iter().map(LabelColumn::try_from).collect::<Result<_, _>>().map(LabelColumns)
            }
            one => LabelColumn::try_from(one).map(LabelColumns::from),
        }
    }
}

impl From<LabelColumns> for Value {
    fn from(LabelColumns(mut columns): LabelColumns) -> Value {
        match columns.len() {
            1 => columns.swap_remove(0).into(),
            _ => columns.into_iter().map(Value::from).collect(),
        }
    }
}

impl TryFrom<Value> for LabelColumn {
    type Error = String;

    fn try_from(value: Value) -> Result<LabelColumn, String> {
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        match (value, number) {
            (Value::String(name), _) => Ok(LabelColumn::Name(name)),
            (_, Some(number)) => Ok(LabelColumn::Number(number)),
            (other, None) => Err(format!("{other} must be the name of a column or its number from 0")),
        }
    }
}

impl From<LabelColumn> for Value {
    fn from(column: LabelColumn) -> Value {
        match column {
            LabelColumn::Name(name) => name.into(),
            LabelColumn::Number(number) => number.into(),
        }
    }
}

/// What stands between two cells. In JSON one character, or `tab`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Separator(pub(super) u8);

impl JsonSchema for Separator {
    fn schema_name() -> Cow<'static, str> {
        "Separator".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "pattern": SEPARATOR})
    }
}

impl TryFrom<String> for Separator {
    type Error = String;

    fn try_from(text: String) -> Result<Separator, String> {
        match text.as_bytes() {
            b"tab" => Ok(Separator(b'\t')),
            [byte] if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(Separator(*byte)),
            _ => Err(format!("`{text}` must be one character, such as `;`, or `tab`")),
        }
    }
}

impl From<Separator> for String {
    fn from(Separator(byte): Separator) -> String {
        if byte == b'\t' { "tab".to_string() } else { char::from(byte).to_string() }
    }
}

/// One character, or `tab`.
const SEPARATOR: &str = r#"^([\x00-\x09\x0b\x0c\x0e-\x21\x23-\x7f]|tab)$"#;

fn one() -> f32 {
    1.0
}

pub(super) fn every_fifth() -> usize {
    5
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

impl TableFile {
    /// A table whose last column is a class, all else as a configuration has it by default.
    pub fn new(path: impl Into<PathBuf>) -> TableFile {
        TableFile {
            path: path.into(),
            label: None,
            target: LabelKind::Class,
            scale: one(),
            standardize: false,
            separator: None,
            header: None,
            test_every: None,
            test_fraction: None,
        }
    }

    /// The same table with its way of choosing test rows written out: every fifth one, if none was given.
    pub(super) fn fill_in(&mut self) {
        if self.test_fraction.is_none() {
            self.test_every.get_or_insert_with(every_fifth);
        }
    }

    /// An error unless the scale of the features is one.
    pub(super) fn check_scale(&self, path: &Path) -> Result<(), DataError> {
        if self.scale.is_finite() && self.scale > 0.0 {
            return Ok(());
        }
        let scale = self.scale;
        Err(DataError::content(path, format!("`data.scale` is {scale}, but must be above 0")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: &str) -> Result<TableFile, String> {
        let json = format!("{{\"path\": \"t.csv\"{fields}}}");
        serde_json::from_str(&json).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_out_is_not_printed() {
        let table = parse("").unwrap();
        assert_eq!(table, TableFile::new("t.csv"));
        let printed = serde_json::to_string(&table).unwrap();
        assert_eq!(printed, r#"{"path":"t.csv","target":"class","scale":1.0}"#);
        let fields = r#", "label": "y", "separator": "tab", "header": true, "standardize": true, "test_fraction": 0.25"#;
        let table = parse(fields).unwrap();
        assert_eq!(
            (table.label.clone(), table.separator),
            (Some(LabelColumn::Name("y".into()).into()), Some(Separator(b'\t')))
        );
        let printed = serde_json::to_string(&table).unwrap();
        assert_eq!(serde_json::from_str::<TableFile>(&printed).unwrap(), table);
        assert_eq!(parse(r#", "label": 3"#).unwrap().label, Some(LabelColumn::Number(3).into()));
        let several = parse(r#", "label": ["a", 2]"#).unwrap();
        let columns = vec![LabelColumn::Name("a".into()), LabelColumn::Number(2)];
        assert_eq!(several.label, Some(LabelColumns(columns)));
        let printed = serde_json::to_string(&several).unwrap();
        assert!(printed.contains(r#""label":["a",2]"#), "{printed}");
    }

    #[test]
    fn wrong_fields_say_what_is_right() {
        for (fields, wanted) in [
            (r#", "label": -1"#, "-1 must be the name of a column or its number from 0"),
            (r#", "label": []"#, "[] must name at least one column"),
            (r#", "label": ["a", -1]"#, "-1 must be the name of a column or its number from 0"),
            (r#", "separator": ";;""#, "`;;` must be one character, such as `;`, or `tab`"),
            (r#", "separator": "\"""#, "must be one character"),
            (r#", "lable": 1"#, "unknown field `lable`, expected one of `path`, `label`"),
        ] {
            let error = parse(fields).unwrap_err();
            assert!(error.contains(wanted), "{error}");
        }
    }
}
