//! The reference of all fields, in Markdown, made from the schema.

use serde_json::Value;

use super::commented::{one_line, words};
use super::fields::{Property, properties, sections};
use super::schema;

/// Every section, kind and field, with types, defaults and meanings.
pub fn reference() -> String {
    let mut text = String::new();
    for section in sections(&schema()) {
        let (name, schema) = (section.name.as_str(), &section.schema);
        text.push_str(&format!("## `{name}`\n\n{}\n\n", description(schema)));
        let kinds = section.kinds();
        if let Some(kind) = schema["default"]["kind"].as_str() {
            let names: Vec<String> = kinds.iter().map(|(kind, _)| format!("`{kind}`")).collect();
            text.push_str(&format!("Kinds: {}. The default run's: `{kind}`.\n\n", names.join(", ")));
        } else if !schema["properties"].is_object() {
            text.push_str(&format!("Type: {}. Default: {}.\n\n", kind_of(schema), default(&section)));
        }
        for (kind, schema) in &kinds {
            text.push_str(&format!("### {name}: `{kind}`\n\n{}\n\n", description(schema)));
            table(&mut text, properties(name, schema));
        }
        if schema["properties"].is_object() {
            table(&mut text, properties(name, schema));
        }
        if schema["items"]["properties"].is_object() {
            table(&mut text, properties(name, &schema["items"]));
        }
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

fn table(text: &mut String, fields: Vec<Property>) {
    let rows: Vec<Property> = fields.into_iter().filter(|property| property.name != "kind").collect();
    if rows.is_empty() {
        return;
    }
    text.push_str("| field | type | default | meaning |\n|---|---|---|---|\n");
    for row in rows {
        push(text, &row.name, &row);
        // A section inside.
        if row.schema["properties"].is_object() {
            for field in properties("inside", &row.schema) {
                push(text, &format!("{}.{}", row.name, field.name), &field);
            }
        }
    }
    text.push('\n');
}

fn push(text: &mut String, name: &str, property: &Property) {
    let mut meaning = description(&property.schema).to_string();
    for (word, explained) in
        words(&property.schema).into_iter().filter(|(_, explained)| !explained.is_empty())
    {
        meaning.push_str(&format!("<br>`{word}`: {explained}"));
    }
    let cell = |text: &str| text.replace('|', "\\|");
    let (kind, default) = (kind_of(&property.schema), default(property));
    text.push_str(&format!("| `{name}` | {} | {} | {} |\n", cell(&kind), cell(&default), cell(&meaning)));
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

fn default(property: &Property) -> String {
    match property.schema.get("default") {
        _ if property.required => "must be given".to_string(),
        None | Some(Value::Null) => "absent".to_string(),
        Some(value) => format!("`{}`", one_line(value)),
    }
}

/// The type in words.
fn kind_of(schema: &Value) -> String {
    let variants: Vec<&Value> = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|of| schema[of].as_array())
        .flatten()
        .filter(|variant| variant["type"] != "null")
        .collect();
    if !variants.is_empty() {
        let mut kinds: Vec<String> = Vec::new();
        for kind in variants.into_iter().map(kind_of) {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        return kinds.join(" or ");
    }
    if let Some(value) = schema.get("const") {
        return format!("`{}`", one_line(value));
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(|value| format!("`{}`", one_line(value))).collect::<Vec<_>>().join(" or ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::Array(types) => {
            types.iter().filter_map(Value::as_str).filter(|kind| *kind != "null").collect()
        }
        one => one.as_str().into_iter().collect(),
    };
    let named = types.into_iter().map(|kind| match kind {
        "string" => "text".to_string(),
        "boolean" => "`true` or `false`".to_string(),
        "integer" => format!("whole number{}", range(schema, kind)),
        "number" => format!("number{}", range(schema, kind)),
        "array" => list(schema),
        "object" if schema["properties"].as_object().is_some_and(|fields| fields.len() == 1) => {
            let (name, field) =
                schema["properties"].as_object().and_then(|fields| fields.iter().next()).unzip();
            format!(
                "`{{{}: ...}}`, a {}",
                Value::from(name.map_or("", String::as_str)),
                kind_of(field.unwrap_or(&Value::Null))
            )
        }
        "object" => "section".to_string(),
        other => other.to_string(),
    });
    named.collect::<Vec<_>>().join(" or ")
}

fn list(schema: &Value) -> String {
    let of = kind_of(&schema["items"]);
    match (&schema["minItems"], &schema["maxItems"]) {
        _ if schema["items"]["properties"].is_object() => "list of sections".to_string(),
        (Value::Number(least), Value::Number(most)) if least == most => format!("list of {least}: {of}"),
        (Value::Number(least), _) => format!("list of at least {least}: {of}"),
        _ => format!("list: {of}"),
    }
}

fn range(schema: &Value, kind: &str) -> String {
    let bound = |name: &str| schema[name].as_f64();
    // That a whole number is not negative is no news.
    let low = bound("minimum").filter(|&low| kind == "number" || low > 0.0);
    let (above, high, below) = (bound("exclusiveMinimum"), bound("maximum"), bound("exclusiveMaximum"));
    match (low, above, high, below) {
        (Some(low), _, Some(high), _) => format!(" from {low} to {high}"),
        (Some(low), _, None, Some(below)) => format!(" from {low}, below {below}"),
        (Some(low), _, None, None) => format!(" of at least {low}"),
        (None, Some(above), Some(high), _) => format!(" above {above}, up to {high}"),
        (None, Some(above), None, _) => format!(" above {above}"),
        (None, None, Some(high), _) => format!(" up to {high}"),
        (None, None, None, Some(below)) => format!(" below {below}"),
        (None, None, None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::reference;

    /// What is behind it is made of the types.
    const MARK: &str = "<!-- made from the types: NATGRAD_BLESS=1 cargo test --lib reference -->\n\n";

    #[test]
    fn the_page_has_the_reference() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        let page = std::fs::read_to_string(path).unwrap();
        let (start, rest) = page.split_once(MARK).expect("the mark");
        let made = reference();
        if std::env::var_os("NATGRAD_BLESS").is_some() {
            std::fs::write(path, format!("{start}{MARK}{made}")).unwrap();
            return;
        }
        assert!(
            rest == made,
            "docs/configuration.md is not what the types say: NATGRAD_BLESS=1 writes it anew"
        );
    }
}
