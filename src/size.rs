//! Numbers of bytes as people write and read them.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, such as `500MB`, `1.5 GB`, `8GiB` or `1000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size, such as 500MB or 10GB")]
pub struct NoSize(String);

/// The units, the largest first.
const UNITS: [(&str, u64); 9] = [
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl FromStr for Size {
    type Err = NoSize;

    fn from_str(text: &str) -> Result<Size, NoSize> {
        let wrong = || NoSize(text.to_owned());
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = (&text[..end], text[end..].trim());
        let unit =
            UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit) || unit.is_empty() && *name == "B");
        let (_, unit) = unit.ok_or_else(wrong)?;
        if let Ok(number) = number.parse::<u64>() {
            return number.checked_mul(*unit).map(Size).ok_or_else(wrong);
        }
        let bytes = number.parse::<f64>().map_err(|_| wrong())? * *unit as f64;
        if bytes < u64::MAX as f64 { Ok(Size(bytes as u64)) } else { Err(wrong()) }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = UNITS[..4].iter().find(|(_, unit)| self.0 >= *unit).unwrap_or(&("bytes", 1));
        if *unit == 1 {
            write!(f, "{} {name}", self.0)
        } else {
            write!(f, "{:.1} {name}", self.0 as f64 / *unit as f64)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, shown) in [
            ("0", 0, "0 bytes"),
            ("999B", 999, "999 bytes"),
            ("500MB", 500_000_000, "500.0 MB"),
            (" 1.5 gb ", 1_500_000_000, "1.5 GB"),
            ("8GiB", 8 << 30, "8.6 GB"),
            ("2tb", 2_000_000_000_000, "2.0 TB"),
            ("1kb", 1000, "1.0 kB"),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
            assert_eq!(Size(bytes).to_string(), shown);
        }
        for text in ["", "GB", "-1", "1 XB", "1e3", "1..5GB", "99999999999TB", "18446744073709551616"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
