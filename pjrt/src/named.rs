//! Lists of named values: options given to a plugin, and attributes that it reports.

use super::error;
use super::sys::{self, Args};
use super::types::OptionValue;

/// Options in PJRT's form. They borrow from `options`, which must outlive their use.
pub(super) fn lend(options: &[(String, OptionValue)]) -> Vec<sys::NamedValue> {
    options.iter().map(|(name, value)| named(name, value)).collect()
}

fn named(name: &str, value: &OptionValue) -> sys::NamedValue {
    let mut named = sys::NamedValue::new();
    named.name = name.as_ptr().cast();
    named.name_size = name.len();
    named.value_size = 1;
    match value {
        OptionValue::Text(text) => {
            named.kind = sys::named_value::STRING;
            named.value.text = text.as_ptr().cast();
            named.value_size = text.len();
        }
        OptionValue::Int(int) => {
            named.kind = sys::named_value::INT;
            named.value.int = *int;
        }
        OptionValue::Ints(ints) => {
            named.kind = sys::named_value::INTS;
            named.value.ints = ints.as_ptr();
            named.value_size = ints.len();
        }
        OptionValue::Float(float) => {
            named.kind = sys::named_value::FLOAT;
            named.value.float = *float;
        }
        OptionValue::Bool(boolean) => {
            named.kind = sys::named_value::BOOL;
            named.value.boolean = *boolean;
        }
    }
    named
}

/// Copies a plugin's list of named values; values of kinds that the API does not list are left out.
///
/// # Safety
/// `start` must be null or point at `count` named values that are valid for this call.
pub(super) unsafe fn copy(start: *const sys::NamedValue, count: usize) -> Vec<(String, OptionValue)> {
    let mut values = Vec::with_capacity(count);
    for index in 0..if start.is_null() { 0 } else { count } {
        // SAFETY: the caller's promise.
        let value = unsafe { &*start.add(index) };
        // SAFETY: the name is a text of the given size, and `kind` tells which member of the union is set.
        let (name, value) = unsafe {
            let name = error::text(value.name, value.name_size);
            let value = match value.kind {
                sys::named_value::STRING => {
                    OptionValue::Text(error::text(value.value.text, value.value_size))
                }
                sys::named_value::INT => OptionValue::Int(value.value.int),
                sys::named_value::INTS => {
                    OptionValue::Ints(error::slice(value.value.ints, value.value_size).to_vec())
                }
                sys::named_value::FLOAT => OptionValue::Float(value.value.float),
                sys::named_value::BOOL => OptionValue::Bool(value.value.boolean),
                _ => continue,
            };
            (name, value)
        };
        values.push((name, value));
    }
    values
}
