//! Lists of named values: options given to a plugin, and attributes that it reports.

use super::error::{self, Absurd, Told};
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

/// More named values than any plugin has.
const MOST: usize = 1 << 16;

/// Copies a plugin's list of named values; values of kinds that the API does not list are left out.
///
/// # Safety
/// `start` must be null or point at `count` named values that are valid for this call, unless that is absurd.
pub(super) unsafe fn copy(start: *const sys::NamedValue, count: usize) -> Told<Vec<(String, OptionValue)>> {
    if count > MOST {
        return Err(Absurd { count, size: size_of::<sys::NamedValue>() });
    }
    let mut values = Vec::with_capacity(count);
    // SAFETY: the caller's promise.
    for value in unsafe { error::slice(start, count) }? {
        // SAFETY: the name is a text of the given size, and `kind` tells which member of the union is set.
        let (name, value) = unsafe {
            let name = error::text(value.name, value.name_size)?;
            let value = match value.kind {
                sys::named_value::STRING => {
                    OptionValue::Text(error::text(value.value.text, value.value_size)?)
                }
                sys::named_value::INT => OptionValue::Int(value.value.int),
                sys::named_value::INTS => {
                    OptionValue::Ints(error::slice(value.value.ints, value.value_size)?.to_vec())
                }
                sys::named_value::FLOAT => OptionValue::Float(value.value.float),
                sys::named_value::BOOL => OptionValue::Bool(value.value.boolean),
                _ => continue,
            };
            (name, value)
        };
        values.push((name, value));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_way_there_and_back_and_absurd_sizes_are_refused() {
        let options = [
            ("text".to_owned(), OptionValue::Text("a b".to_owned())),
            ("ints".to_owned(), OptionValue::Ints(vec![1, -2])),
            ("int".to_owned(), OptionValue::Int(3)),
            ("float".to_owned(), OptionValue::Float(0.5)),
            ("bool".to_owned(), OptionValue::Bool(true)),
        ];
        let mut lent = lend(&options);
        // SAFETY: the list is alive, and an absurd count is refused before anything is read.
        let read = |list: &[sys::NamedValue], count| unsafe { copy(list.as_ptr(), count) };
        assert_eq!(read(&lent, lent.len()).unwrap(), options);
        for count in [1 << 17, 1 << 60, usize::MAX] {
            assert_eq!(read(&lent, count).unwrap_err().count, count);
        }
        lent[1].value_size = 1 << 60;
        assert_eq!(read(&lent, lent.len()).unwrap_err(), Absurd { count: 1 << 60, size: 8 });
        lent[0].name_size = 1 << 60;
        assert_eq!(read(&lent, lent.len()).unwrap_err(), Absurd { count: 1 << 60, size: 1 });
        // SAFETY: a null pointer is no list.
        assert!(unsafe { copy(std::ptr::null(), 3) }.unwrap().is_empty());
    }
}
