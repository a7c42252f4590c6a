//! Reading, overriding and writing configurations as JSON.
//!
//! In files a choice is a `kind` beside its fields, `{"kind": "ivon", "lr": 0.2}`; the types are externally
//! tagged enums, so that an error inside a choice still has its path.

use std::path::Path;

use json_strip_comments::StripComments;
use natgrad_layers::NamedModel;
use serde_json::{Map, Value, json};

use super::{ConfigError, Overrides, RunConfig, Validation};
use crate::rule::{NamedRule, OwnRule};
use crate::text::utf8;

/// The kind of models that are a program's own.
const OWN_MODEL: &str = "own";

/// The sections that are choices, each of a `kind`.
pub(super) const CHOICES: [&str; 4] = ["model", "rule", "schedule", "data"];

/// The most fields inside each other that an override can name; configurations have fewer.
const MAX_DEPTH: usize = 16;

pub(super) fn read(path: &Path) -> Result<Value, ConfigError> {
    let bytes = crate::files::read(path).and_then(|bytes| utf8(bytes).map_err(std::io::Error::other));
    let text = bytes.map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
    serde_json::from_slice(&without_comments(text.into_bytes()))
        .map_err(|source| ConfigError::Syntax { path: path.to_path_buf(), source })
}

/// What overrides are applied to: the file's content, or nothing of the default run.
pub(super) fn start(file: Option<&Path>) -> Result<Value, ConfigError> {
    file.map_or_else(|| Ok(Value::Object(Map::new())), read)
}

/// The same text with spaces in place of comments and of commas behind a last entry, so that all else keeps its place.
fn without_comments(mut text: Vec<u8>) -> Vec<u8> {
    let whole = text.clone();
    let is_wrong = json_strip_comments::strip_slice(&mut text).is_err();
    let is_open = std::io::copy(&mut StripComments::new(&*whole), &mut std::io::sink()).is_err();
    // What begins no comment, or the end of one that does not end, is blanked too, and must stay an error.
    if let Some(at) = (0..text.len()).rev().find(|&at| text[at] != whole[at])
        && (is_wrong || is_open && text[at..].iter().all(u8::is_ascii_whitespace))
    {
        text[at] = whole[at];
    }
    // Lines keep their numbers.
    (0..text.len()).filter(|&at| whole[at] == b'\n').for_each(|at| text[at] = b'\n');
    text
}

/// Takes out of a configuration what an older natgrad wrote: both ways of choosing test rows, of which this one counted.
pub(crate) fn modernize(config: &mut Value) {
    if let Some(data) = config.get_mut("data").and_then(Value::as_object_mut)
        && data.get("test_fraction").is_some_and(|fraction| !fraction.is_null())
    {
        data.remove("test_every");
    }
}

/// Sets what the overrides say.
pub(super) fn apply(config: &mut Value, overrides: Overrides<'_>) -> Result<(), ConfigError> {
    overrides.texts.iter().try_for_each(|text| apply_override(config, overrides.flag, text))
}

/// Sets `a.b=value`.
fn apply_override(config: &mut Value, flag: &str, text: &str) -> Result<(), ConfigError> {
    let bad_form = || ConfigError::Override { flag: flag.to_string(), text: text.to_string() };
    let (path, value) = text.split_once('=').ok_or_else(bad_form)?;
    let keys: Vec<&str> = path.split('.').collect();
    if keys.iter().any(|key| key.is_empty()) {
        return Err(bad_form());
    }
    // Values that are nested without end could be neither copied nor dropped.
    if keys.len() > MAX_DEPTH {
        let start: String = path.chars().take(40).collect();
        return Err(ConfigError::Field {
            source_name: flag.to_string(),
            path: format!("{start}..."),
            message: format!("{} fields inside each other, but there are at most {MAX_DEPTH}", keys.len()),
        });
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_string()));
    let not_a_section = |key: &str| ConfigError::Field {
        source_name: format!("{flag} {text}"),
        path: key.to_string(),
        message: "is not a section, so nothing can be set inside it".to_string(),
    };

    let (last, sections) = keys.split_last().ok_or_else(bad_form)?;
    let mut place = config;
    for key in sections {
        let object = place.as_object_mut().ok_or_else(|| not_a_section(key))?;
        place = object.entry((*key).to_string()).or_insert_with(|| Value::Object(Map::new()));
    }
    let object = place.as_object_mut().ok_or_else(|| not_a_section(sections.last().unwrap_or(last)))?;
    if sections == ["length"] {
        object.clear();
    }
    object.insert((*last).to_string(), value);
    Ok(())
}

pub(super) fn parse(source: &str, mut value: Value) -> Result<RunConfig, ConfigError> {
    let field = |path: &str, message: String| ConfigError::Field {
        source_name: source.to_string(),
        path: path.to_string(),
        message,
    };
    let object = value
        .as_object_mut()
        .ok_or_else(|| field(".", "a configuration is a JSON object, such as {\"batch\": 50}".to_string()))?;
    if let Some(schema) = object.remove("$schema")
        && !schema.is_string()
    {
        return Err(field("$schema", format!("{schema} must be a string, which is for editors")));
    }
    if let Some(length) = object.get("length")
        && length.as_object().is_none_or(|map| map.len() != 1)
    {
        let message = format!("{length} must be {{\"epochs\": N}} or {{\"steps\": N}}");
        return Err(field("length", message));
    }
    if object.get("model").is_some_and(|model| model["kind"] == OWN_MODEL) {
        let name = object["model"]["name"].as_str().unwrap_or(OWN_MODEL);
        let message = format!(
            "the model `{name}` is a program's own, and only that program has it: there, `Run::new(model, rule)` \
             and `Run::resume` go on with it"
        );
        return Err(field("model.kind", message));
    }
    let kindless = fill_kinds(object);
    let own = own_rule(object).transpose().map_err(|message| field("rule", message))?;
    let mut kinds = Vec::new();
    for section in CHOICES {
        if let Some(choice) = object.get_mut(section) {
            let inner = choice
                .as_object_mut()
                .ok_or_else(|| field(section, "must be an object with a `kind`".to_string()))?;
            let kind = match inner.remove("kind") {
                Some(Value::String(kind)) => kind,
                other => {
                    let other = other.unwrap_or_default();
                    return Err(field(&format!("{section}.kind"), format!("{other} must be a string")));
                }
            };
            let fields = Value::Object(std::mem::take(inner));
            kinds.push((section, kind.clone()));
            *choice = Value::Object(Map::from_iter([(kind, fields)]));
        }
    }
    let config: Result<RunConfig, ConfigError> = serde_path_to_error::deserialize(value).map_err(|error| {
        let mut path = error.path().to_string();
        let mut message = error.inner().to_string();
        if path == "length" {
            message = message.replace("unknown variant", "unknown kind");
        }
        for (section, kind) in kinds {
            let tagged = format!("{section}.{kind}");
            if path == section && message.starts_with("unknown variant") {
                path = format!("{section}.kind");
                message = message.replace("unknown variant", "unknown kind");
            } else if let Some(rest) = path.strip_prefix(&tagged) {
                path = format!("{section}{rest}");
                if kindless.contains(&section) && message.starts_with("unknown field") {
                    message.push_str(&format!("; without a `kind`, `{section}` is of the kind `{kind}`"));
                }
            }
        }
        field(&path, plain(&message))
    });
    let mut config = config?;
    config.data.fill_in();
    config.validation.iter_mut().for_each(Validation::fill_in);
    Ok(match own {
        Some(own) => RunConfig { rule: NamedRule::Own(own), ..config },
        None => config,
    })
}

/// Gives a choice without a `kind` that of the default run, whose values it then has in all that it leaves out.
fn fill_kinds(config: &mut Map<String, Value>) -> Vec<&'static str> {
    let mut filled = Vec::new();
    for section in CHOICES {
        if let Some(choice) = config.get_mut(section).and_then(Value::as_object_mut)
            && !choice.contains_key("kind")
        {
            let default = RunConfig::default().to_json()[section].take();
            for (key, value) in default.as_object().into_iter().flatten() {
                choice.entry(key.clone()).or_insert_with(|| value.clone());
            }
            filled.push(section);
        }
    }
    filled
}

/// Takes out of a choice what its kind has by default, so that it can become another kind.
pub(super) fn leave_out_defaults(config: &mut Value, section: &str) {
    let Some(choice) = config.get(section).and_then(Value::as_object).cloned() else { return };
    let read = |choice: &Map<String, Value>| {
        let alone = Map::from_iter([(section.to_string(), Value::Object(choice.clone()))]);
        parse("a section", Value::Object(alone)).ok()
    };
    let Some(whole) = read(&choice) else { return };
    let mut left = choice.clone();
    for key in choice.keys().filter(|key| *key != "kind") {
        let mut without = left.clone();
        without.remove(key);
        if read(&without).is_some_and(|other| other == whole) {
            left = without;
        }
    }
    config[section] = Value::Object(left);
}

/// Takes out the rule, where it is of a kind that the program registered.
fn own_rule(config: &mut Map<String, Value>) -> Option<Result<OwnRule, String>> {
    let mut fields = config.get("rule")?.as_object()?.clone();
    let kind = fields.remove("kind")?;
    let rule = OwnRule::parse(kind.as_str()?, &Value::Object(fields))?;
    config.remove("rule");
    Some(rule.map_err(|error| plain(&error.to_string())))
}

/// Rust's names of types in words.
fn plain(message: &str) -> String {
    let message = message.replace("unknown variant", "unknown value");
    if let Some(given) = message.strip_suffix(", expected a sequence") {
        let number = given.strip_prefix("invalid type: integer `").and_then(|rest| rest.strip_suffix('`'));
        let such_as = number.map_or(String::new(), |number| format!(" such as [{number}]"));
        return format!("{given}, expected a list{such_as}");
    }
    let expected = |(words, types): (&str, &[&str])| {
        types.iter().find_map(|name| Some(format!("{}{words}", message.strip_suffix(name)?)))
    };
    [("a whole number of at least 0", &["usize", "u64", "u32"][..]), ("a number", &["f64", "f32"])]
        .into_iter()
        .find_map(expected)
        .unwrap_or(message.clone())
}

pub(super) fn print(config: &RunConfig) -> Value {
    if let NamedModel::Own(own) = &config.model {
        let mut value = print(&RunConfig { model: RunConfig::default().model, ..config.clone() });
        value["model"] = json!({"kind": OWN_MODEL, "name": own.0.name()});
        return value;
    }
    if let NamedRule::Own(own) = &config.rule {
        let mut value = print(&RunConfig { rule: RunConfig::default().rule, ..config.clone() });
        let mut rule = Map::from_iter([("kind".to_string(), Value::from(own.kind()))]);
        rule.extend(own.fields().as_object().cloned().unwrap_or_default());
        value["rule"] = Value::Object(rule);
        return value;
    }
    let mut value = serde_json::to_value(config).unwrap_or(Value::Null);
    for section in CHOICES {
        if let Some(choice) = value.get_mut(section)
            && let Some((kind, fields)) = choice.as_object().and_then(|tagged| tagged.iter().next())
        {
            let mut inner = Map::from_iter([("kind".to_string(), Value::String(kind.clone()))]);
            inner.extend(fields.as_object().cloned().unwrap_or_default());
            *choice = Value::Object(inner);
        }
    }
    value
}
