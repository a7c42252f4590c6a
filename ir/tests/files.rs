//! What passes, gradients and vectorizing make of small programs: the files of `files/`, one idea each.
//! [`natgrad_ir::testing::files`] says how to add one.

use std::path::Path;

use natgrad_ir::testing::{act, files};

#[test]
fn what_is_made_is_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let made = files::check_files(&folder, |line, module| Ok(act(line, module, &[])?.module().to_string()));
    made.unwrap_or_else(|errors| panic!("{errors}"));
}
