//! Reports: tables as text, Markdown and HTML, bars, curves, heat maps, units, and one self-contained page of them.

mod bars;
mod curve;
mod date;
mod heat;
mod page;
mod panel;
mod percent;
mod picture;
mod prefix;
mod spread;
mod text_table;

pub use bars::{Bar, Bars, colour};
pub use curve::{Chart, Curve};
pub use date::date;
pub use heat::{HeatMap, heat_maps};
pub use page::{Page, escape};
pub use panel::{Corner, Line, Panel, Stroke, stacked};
pub use percent::{change, percent};
pub use picture::{picture, picture_shape};
pub use prefix::prefix;
pub use spread::spread;
pub use text_table::{TextTable, columns};
