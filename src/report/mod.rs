//! Reports: tables as text, Markdown and HTML, bars and curves, and one self-contained page of them.

mod bars;
mod curve;
mod page;
mod table;

pub use bars::{Bar, Bars, colour};
pub use curve::{Chart, Curve};
pub use page::{Page, escape};
pub use table::{Table, columns};
