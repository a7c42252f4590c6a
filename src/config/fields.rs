//! The fields of a configuration: in the order of the types, and where each one's value is from.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::json::{CHOICES, apply, parse, start};
use super::{ConfigError, Overrides, RunConfig, schema};

/// Where the value of a field is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The file.
    File,
    /// An override.
    Override,
}

/// A field of a configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its path, such as `rule.lr`.
    pub path: String,
    /// Its value; none if it may be absent and is.
    pub value: Option<Value>,
    /// Where that is from.
    pub origin: Origin,
}

impl RunConfig {
    /// Every field of what [`RunConfig::load`] reads.
    ///
    /// # Errors
    /// As [`RunConfig::load`].
    pub fn fields(file: Option<&Path>, overrides: &[String]) -> Result<Vec<Field>, ConfigError> {
        let overrides = Overrides { flag: "--set", texts: overrides };
        let whole = RunConfig::load_with(file, overrides)?.to_json();
        let mut given = start(file)?;
        apply(&mut given, overrides)?;
        let mut fields = Vec::new();
        for property in sections(&schema()) {
            let name = property.name.as_str();
            collect(name, &property.schema, whole.get(name), given.get(name), overrides, &mut fields);
        }
        Ok(fields)
    }
}

fn collect(
    path: &str,
    schema: &Value,
    value: Option<&Value>,
    given: Option<&Value>,
    overrides: Overrides<'_>,
    fields: &mut Vec<Field>,
) {
    let inside = match value {
        Some(Value::Object(inside)) => properties_of(path, schema, inside),
        None if schema["properties"].is_object() && !may_be_absent(schema) => properties(path, schema),
        _ => Vec::new(),
    };
    if inside.is_empty() {
        let origin = match given {
            None => Origin::Default,
            Some(_) if overrides.setting(path).is_some() => Origin::Override,
            Some(_) => Origin::File,
        };
        let value = value.or(schema.get("default")).filter(|value| !value.is_null());
        fields.push(Field { path: path.to_string(), value: value.cloned(), origin });
    }
    for property in inside {
        let of = |section: Option<&Value>| section.and_then(|section| section.get(&property.name)).cloned();
        let path = format!("{path}.{}", property.name);
        collect(&path, &property.schema, of(value).as_ref(), of(given).as_ref(), overrides, fields);
    }
}

/// Whether a section that is absent is none at all, and not one of defaults.
pub(super) fn may_be_absent(section: &Value) -> bool {
    section["type"].as_array().is_some_and(|types| types.iter().any(|ty| ty == "null"))
}

/// The properties that a section with these values has.
fn properties_of(path: &str, schema: &Value, values: &Map<String, Value>) -> Vec<Property> {
    if schema["properties"].is_object() {
        return properties(path, schema);
    }
    let variants = ["oneOf", "anyOf"].into_iter().filter_map(|of| schema[of].as_array()).flatten();
    let is_of = |variant: &&Value| match values.get("kind") {
        Some(kind) => variant["properties"]["kind"]["const"] == *kind,
        None => values.keys().all(|key| variant["properties"].get(key).is_some()),
    };
    match variants.into_iter().find(is_of) {
        Some(variant) => properties(path, variant),
        // A rule of the program's own has no schema.
        None => values.keys().map(|name| Property::unknown(name)).collect(),
    }
}

/// A property of a section.
#[derive(Clone, Debug)]
pub(super) struct Property {
    pub name: String,
    pub schema: Value,
    /// Whether it must be there.
    pub required: bool,
}

impl Property {
    fn unknown(name: &str) -> Property {
        Property { name: name.to_string(), schema: Value::Null, required: false }
    }

    /// The kinds of a choice, with their schemas.
    pub(super) fn kinds(&self) -> Vec<(&str, &Value)> {
        let kinds = self.schema["oneOf"].as_array().map_or(&[][..], Vec::as_slice).iter();
        kinds.filter_map(|kind| Some((kind["properties"]["kind"]["const"].as_str()?, kind))).collect()
    }
}

/// The sections of a configuration.
pub(super) fn sections(schema: &Value) -> Vec<Property> {
    let mut sections = properties("", schema);
    sections.retain(|section| section.name != "$schema");
    sections
}

/// The properties of an object's schema, in the order of the type behind it.
pub(super) fn properties(path: &str, schema: &Value) -> Vec<Property> {
    let order = order(path, schema["properties"]["kind"]["const"].as_str());
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    let place = |name: &str| order.iter().position(|other| other == name).unwrap_or(order.len());
    let mut found: Vec<Property> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, schema)| Property {
            name: name.clone(),
            schema: schema.clone(),
            required: required.iter().any(|required| required == name),
        })
        .collect();
    found.sort_by_key(|property| (property.name != "kind", place(&property.name)));
    found
}

/// The fields of a section in the order of its type, which serde lists where a field is unknown; none where it does not.
fn order(path: &str, kind: Option<&str>) -> Vec<String> {
    let mut unknown = Map::from_iter([("?".to_string(), Value::Null)]);
    unknown.extend(kind.map(|kind| ("kind".to_string(), kind.into())));
    let probe = match path {
        "" => json!({"?": null}),
        "groups" => json!({"groups": [unknown]}),
        section if CHOICES.contains(&section) == kind.is_some() => json!({section: unknown}),
        _ => return Vec::new(),
    };
    let Err(ConfigError::Field { message, .. }) = parse("", probe) else { return Vec::new() };
    let listed = message.split_once(", expected ").map_or("", |(_, listed)| listed);
    listed.split('`').skip(1).step_by(2).map(str::to_string).collect()
}
