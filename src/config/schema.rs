//! The JSON Schema of a configuration, made from the types that read it.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::RunConfig;
use super::json::CHOICES;

/// The schema of what [`RunConfig::load`] reads, with the default run's values. It has no references.
pub fn schema() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<RunConfig>().to_value();
    tidy(&mut schema);
    let defaults = RunConfig::default().to_json();
    for (section, field) in schema["properties"].as_object_mut().into_iter().flatten() {
        if let Some(default) = defaults.get(section) {
            field["default"] = default.clone();
        }
        if CHOICES.contains(&section.as_str()) {
            allow_no_kind(field, &defaults[section]);
        }
    }
    schema["title"] = "A run of natgrad".into();
    schema["properties"]["$schema"] = json!({
        "type": "string",
        "description": "Where an editor finds this schema; natgrad passes over it."
    });
    schema
}

/// Lets a choice leave out its `kind`: what it does not say is then as in the default run.
fn allow_no_kind(choice: &mut Value, default: &Value) {
    let Some(kinds) = choice["oneOf"].as_array_mut() else { return };
    let of_default =
        kinds.iter().find(|kind| kind["properties"]["kind"]["const"] == default["kind"]).cloned();
    let Some(Value::Object(mut kind)) = of_default else { return };
    kind.remove("required");
    if let Some(Value::Object(properties)) = kind.get_mut("properties") {
        properties.remove("kind");
    }
    kinds.push(kind.into());
}

/// Puts descriptions on one line, without the links of Rust's documentation.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if name == "description" => *text = plain(text),
                    other => tidy(other),
                }
            }
        }
        Value::Array(parts) => parts.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// A comment's first paragraph, which says what is meant; those behind it say why.
fn plain(comment: &str) -> String {
    let paragraph = comment.split("\n\n").next().unwrap_or_default();
    let words = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace("[`", "`").replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::ConfigError;
    use crate::config::json::read;

    fn validator() -> jsonschema::Validator {
        jsonschema::validator_for(&schema()).unwrap()
    }

    fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { files(&path, found) } else { found.push(path) }
        }
    }

    #[test]
    fn the_repositorys_configurations_are_valid() {
        let validator = validator();
        let mut found = Vec::new();
        files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("configs"), &mut found);
        assert!(found.len() > 10, "{found:?}");
        for path in found {
            let error = validator.validate(&read(&path).unwrap()).err().map(|error| error.to_string());
            assert_eq!(error, None, "{}", path.display());
            let whole = RunConfig::load(Some(&path), &[]).unwrap().to_json();
            assert!(validator.is_valid(&whole), "{}", path.display());
        }
        for right in [
            json!({}),
            RunConfig::default().to_json(),
            json!({"$schema": "x", "rule": {"lr": 0.1}, "model": {"activation": "tanh"}, "schedule": {}, "data": {}}),
            json!({"rule": {"kind": "ivon"}, "model": {"kind": "mlp", "sizes": [2, 2], "noise": "learned"}}),
            json!({"loss": {"class_weights": "balanced"}, "rule": {"kind": "adamw", "weight_decay": null}}),
            json!({"data": {"kind": "csv", "path": "a", "label": ["a", 1], "separator": "tab"}}),
            json!({"data": {"kind": "cifar", "folder": "a", "classes": 100, "augment": {"crop": 4, "flip": true}}}),
            json!({"data": {"kind": "text", "path": "a", "context": 4, "encoding": {"tokenizer": "a"}}}),
        ] {
            let error = validator.validate(&right).err().map(|error| error.to_string());
            assert_eq!(error, None, "{right}");
            RunConfig::from_json("a file", right).unwrap();
        }
    }

    #[test]
    fn misspelt_configurations_are_refused() {
        let validator = validator();
        for wrong in [
            json!([]),
            json!({"bach": 5}),
            json!({"rule": {"kind": "ivon", "rate": 1}}),
            json!({"rule": {"rate": 1}}),
            json!({"rule": {"kind": "adamw", "ess": 1}}),
            json!({"rule": {"kind": "lion"}}),
            json!({"rule": {"kind": null}}),
            json!({"rule": "ivon"}),
            json!({"model": {"kind": "mlp"}}),
            json!({"model": {"kind": "own", "name": "a"}}),
            json!({"data": {"kind": "csv"}}),
            json!({"data": {"kind": "csv", "path": "a", "lable": 1}}),
            json!({"data": {"kind": "csv", "path": "a", "separator": ";;"}}),
            json!({"data": {"kind": "csv", "path": "a", "label": []}}),
            json!({"data": {"kind": "cifar", "folder": "a", "classes": 20}}),
            json!({"data": {"path": "a"}}),
            json!({"length": {}}),
            json!({"length": {"epochs": 1, "steps": 1}}),
            json!({"length": {"hours": 1}}),
            json!({"groups": [{"name": ["a"]}]}),
            json!({"step": {"noise": "loud"}}),
            json!({"loss": {"class_weights": "even"}}),
            json!({"model": {"kind": "mlp", "sizes": [2, 2], "noise": "loud"}}),
        ] {
            assert!(!validator.is_valid(&wrong), "{wrong}");
            assert!(RunConfig::from_json("a file", wrong.clone()).is_err(), "{wrong}");
        }
    }

    /// A configuration with a value in one place.
    type Place<'a> = dyn Fn(Value) -> Value + 'a;

    /// Each property of a schema with its place in a configuration.
    fn walk(schema: &Value, around: &Place<'_>, see: &mut dyn FnMut(&Value, &Place<'_>)) {
        see(schema, around);
        let base = |name: &str, value: Value| {
            let mut section = json!({name: value});
            let kind = schema["properties"]["kind"].get("const").and_then(Value::as_str);
            for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                let filler = match required {
                    "kind" => kind.into(),
                    "sizes" => json!([4, 3]),
                    "image" => json!([8, 8, 1]),
                    "depth" => json!(8),
                    "path" | "folder" | "images" | "labels" | "test_images" | "test_labels" | "features"
                    | "test_features" | "run" => json!("a"),
                    _ => json!(4),
                };
                if name != required {
                    section[required] = filler;
                }
            }
            if kind == Some("resnet") && name != "classes" && name != "outputs" {
                section["classes"] = json!(3);
            }
            section
        };
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            walk(inner, &|value| around(base(name, value)), see);
        }
        for of in ["oneOf", "anyOf"] {
            for variant in schema[of].as_array().into_iter().flatten() {
                walk(variant, around, see);
            }
        }
        if schema["items"].is_object() && schema["items"]["properties"].is_object() {
            walk(&schema["items"], &|value| around(json!([value])), see);
        }
    }

    #[test]
    fn the_ranges_are_those_of_the_checks() {
        let mut seen = 0;
        walk(&schema(), &|value| value, &mut |schema, around| {
            let is_number = [json!("number"), json!("integer")].contains(&schema["type"])
                || schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
            for (bound, beyond) in
                [("minimum", -1.0), ("exclusiveMinimum", 0.0), ("maximum", 1.0), ("exclusiveMaximum", 0.0)]
            {
                let Some(limit) = schema[bound].as_f64().filter(|_| is_number) else { continue };
                let value = limit + beyond;
                let value = if value.fract() == 0.0 { json!(value as i64) } else { json!(value) };
                let config = around(value.clone());
                let refused = RunConfig::from_json("a file", config.clone());
                assert!(refused.is_err(), "{config} is refused by the schema alone, by its {bound} {limit}");
                seen += 1;
            }
        });
        assert!(seen > 60, "{seen}");
    }

    #[test]
    fn the_defaults_are_what_is_there_without_them() {
        let mut seen = 0;
        walk(&schema(), &|value| value, &mut |schema, around| {
            let Some(default) = schema.get("default") else { return };
            let given = around(default.clone());
            let mut without = around(json!("LEFT OUT"));
            leave_out(&mut without);
            let load = |value: &Value| RunConfig::from_json("a file", value.clone());
            match (load(&given), load(&without)) {
                (Ok(given), Ok(without)) => {
                    assert_eq!(given, without, "{default}");
                    seen += 1;
                }
                // The section is not complete, or does not fit the default run.
                (Err(ConfigError::Range { .. }), Err(ConfigError::Range { .. })) => {}
                (given_is, without_is) => panic!("{given}: {given_is:?}, {without}: {without_is:?}"),
            }
        });
        assert!(seen > 80, "{seen}");
    }

    fn leave_out(value: &mut Value) {
        match value {
            Value::Object(fields) => {
                fields.retain(|_, field| *field != "LEFT OUT");
                fields.values_mut().for_each(leave_out);
            }
            Value::Array(items) => items.iter_mut().for_each(leave_out),
            _ => {}
        }
    }
}
