//! A configuration as a file to begin with: every field, with what it means above it.

use serde_json::Value;

use super::fields::{Property, may_be_absent, properties, sections};
use super::{RunConfig, schema};

/// The width of comments.
const WIDTH: usize = 100;

impl RunConfig {
    /// The configuration as JSON with comments. Fields that are absent are there as comments.
    pub fn commented(&self, title: &str) -> String {
        let mut text = String::new();
        comment(&mut text, 0, title);
        text.push_str("{\n");
        object(&mut text, 1, "", &sections(&schema()), &self.to_json());
        text.push_str("}\n");
        text
    }
}

fn object(text: &mut String, depth: usize, path: &str, properties: &[Property], values: &Value) {
    let last = properties.last().map(|last| last.name.clone());
    for property in properties {
        let indent = "  ".repeat(depth);
        let description = property.schema["description"].as_str().unwrap_or_default();
        if property.name != "kind" {
            comment(text, depth, &format!("{description}{}", choices(property)));
        }
        let name = Value::from(property.name.as_str());
        let comma = if last.as_ref() == Some(&property.name) { "" } else { "," };
        let (value, is_section) = (values.get(&property.name), path.is_empty());
        match (inside(property, value).filter(|_| is_section), value) {
            // It would be another run with it.
            (Some(inside), None) if may_be_absent(&property.schema) => {
                let default =
                    |field: &Property| Some((field.name.clone(), field.schema.get("default")?.clone()));
                let defaults = Value::Object(inside.iter().filter_map(default).collect());
                // One that lacks what it must have would be none at all.
                let whole = if inside.iter().any(|field| field.required) { Value::Null } else { defaults };
                text.push_str(&format!("{indent}// {name}: {}{comma}\n", one_line(&whole)));
            }
            (Some(inside), value) => {
                text.push_str(&format!("{indent}{name}: {{\n"));
                object(text, depth + 1, &property.name, &inside, value.unwrap_or(&Value::Null));
                text.push_str(&format!("{indent}}}{comma}\n"));
            }
            (None, Some(value)) => text.push_str(&format!("{indent}{name}: {}{comma}\n", one_line(value))),
            (None, None) => {
                let default = property.schema.get("default").unwrap_or(&Value::Null);
                text.push_str(&format!("{indent}// {name}: {}{comma}\n", one_line(default)));
            }
        }
    }
}

/// What a section of the configuration has in it; nothing of a field that is none.
fn inside(section: &Property, value: Option<&Value>) -> Option<Vec<Property>> {
    let kinds = section.kinds();
    let kind = value.and_then(|value| kinds.iter().find(|(kind, _)| value["kind"] == *kind));
    let schema = kind.map_or(&section.schema, |(_, schema)| *schema);
    schema["properties"].is_object().then(|| properties(&section.name, schema))
}

/// The words that a field can be, or the kinds of a section.
fn choices(property: &Property) -> String {
    let kinds = property.kinds();
    let words: Vec<&str> = match kinds.as_slice() {
        [] => words(&property.schema).into_iter().map(|(word, _)| word).collect(),
        kinds => kinds.iter().map(|(kind, _)| *kind).collect(),
    };
    // One word alone stands for a number, and its meaning says so.
    if words.len() < 2 { String::new() } else { format!(" Can be {}.", words.join(", ")) }
}

/// The words of a choice among words, each with its meaning.
pub(super) fn words(schema: &Value) -> Vec<(&str, &str)> {
    let variants = ["oneOf", "anyOf"].into_iter().filter_map(|of| schema[of].as_array()).flatten();
    let mut found = Vec::new();
    for variant in variants {
        let meaning = variant["description"].as_str().unwrap_or_default();
        let list = variant["enum"].as_array().map_or(&[][..], Vec::as_slice);
        let all = variant["const"].as_str().into_iter().chain(list.iter().filter_map(Value::as_str));
        found.extend(all.map(|word| (word, meaning)));
        found.extend(words(variant));
    }
    let list = schema["enum"].as_array().map_or(&[][..], Vec::as_slice);
    found.extend(list.iter().filter_map(Value::as_str).map(|word| (word, "")));
    found
}

fn comment(text: &mut String, depth: usize, words: &str) {
    let start = format!("{}//", "  ".repeat(depth));
    let mut line = start.clone();
    for word in words.split_whitespace() {
        if line.len() > start.len() && line.len() + 1 + word.len() > WIDTH {
            text.push_str(&format!("{line}\n"));
            line.clone_from(&start);
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&format!("{line}\n"));
}

/// JSON with a space behind each comma.
pub(super) fn one_line(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(one_line).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                format!("{}: {}", Value::from(name.as_str()), one_line(value))
            };
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}
