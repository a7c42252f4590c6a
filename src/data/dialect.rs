//! How a table of text is written, told from its first lines: what separates cells, and whether line 1 is a header.

/// What may separate cells, those first that are tried first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Lines that the separator is told from.
const LINES: usize = 20;
/// So many whole numbers that count from 0 are names of columns, whatever is below them.
const SURELY_COUNTED: usize = 8;

/// Whether line 1 is a header, and what is to be said of it if that was in doubt.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) is_there: bool,
    pub(super) doubt: Option<&'static str>,
}

/// Whether a cell is a number.
pub(super) fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

/// Whether a cell would be a number if its comma were a point.
pub(super) fn has_decimal_comma(cell: &str) -> bool {
    cell.contains(',') && is_number(&cell.replacen(',', ".", 1))
}

/// Whether a cell is a number, by a point or a comma.
fn is_meant_as_number(cell: &str) -> bool {
    is_number(cell) || has_decimal_comma(cell)
}

/// What separates the cells: what gives each line as many, more of them numbers, and more of them.
pub(super) fn separator(bytes: &[u8]) -> u8 {
    let mut best = (b',', (false, 0, 0));
    for separator in SEPARATORS {
        let lines = lines(bytes, separator);
        let Some(first) = lines.first().map(Vec::len).filter(|&cells| cells > 1) else { continue };
        let is_even = lines.iter().all(|line| line.len() == first);
        let cells = lines.iter().flatten();
        // Where a comma does not separate, it may be that of a decimal fraction.
        let numbers = cells.clone().filter(|cell| is_meant_as_number(cell));
        let score = (is_even, 100 * numbers.count() / cells.count().max(1), first);
        if score > best.1 {
            best = (separator, score);
        }
    }
    best.0
}

fn lines(bytes: &[u8], separator: u8) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).flexible(true).trim(csv::Trim::All).delimiter(separator);
    let lines = reader.from_reader(bytes).into_byte_records().map_while(Result::ok).take(LINES);
    let cell = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
    lines.map(|line| line.iter().map(cell).collect()).collect()
}

/// Whether the first of these lines is a header, column by column: in a column of numbers, a cell that is none is a name.
pub(super) fn header(lines: &[Vec<String>]) -> Header {
    let (sure, none) = (Header { is_there: true, doubt: None }, Header { is_there: false, doubt: None });
    let Some((first, below)) = lines.split_first() else { return none };
    if below.is_empty() {
        return if first.iter().any(|cell| is_meant_as_number(cell)) { none } else { sure };
    }
    let of_column = |column: usize| below.iter().filter_map(move |line| line.get(column));
    let is_numeric = |column: usize| {
        let (numbers, others): (Vec<&String>, Vec<&String>) =
            of_column(column).partition(|cell| is_meant_as_number(cell));
        numbers.len() > others.len()
    };
    let numeric: Vec<usize> = (0..first.len()).filter(|&column| is_numeric(column)).collect();
    let (counted, named): (Vec<usize>, Vec<usize>) =
        numeric.iter().partition(|&&column| first.get(column).is_some_and(|cell| is_meant_as_number(cell)));
    if counted.is_empty() {
        // Without a column of numbers nothing tells names from words.
        return if numeric.is_empty() { none } else { sure };
    }
    let counts = counted.iter().enumerate().all(|(at, &column)| first[column] == at.to_string());
    if !named.is_empty() {
        let doubt = "some cells of it are numbers and some are names, above numbers";
        return if counts && counted.len() > 1 {
            sure
        } else {
            Header { is_there: false, doubt: Some(doubt) }
        };
    }
    if !counts || counted.len() < 3 {
        return none;
    }
    let is_whole =
        |column: usize| of_column(column).all(|cell| cell.bytes().all(|byte| byte.is_ascii_digit()));
    let doubt = Some("it counts 0, 1, 2, ..., as the names of unnamed columns do");
    let is_there = counted.len() >= SURELY_COUNTED || counted.iter().any(|&column| !is_whole(column));
    Header { is_there, doubt }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_found() {
        for (text, wanted) in [
            ("1,2,0\n3,4,1\n", b','),
            ("a;b;c\n1;2;0\n", b';'),
            ("a\tb\n1.5\tx, y\n", b'\t'),
            ("1|2|0\n", b'|'),
            ("1,5;2,5;0\n1,5;3,5;1\n", b';'),
            ("a,b\n\"x;y\",1\n\"x;z\",2\n", b','),
            ("1,0\n1,2,0\n", b','),
            ("7\n", b','),
            ("", b','),
        ] {
            assert_eq!(char::from(separator(text.as_bytes())), char::from(wanted), "{text:?}");
        }
    }

    #[test]
    fn numbers_with_decimal_commas_are_below_a_header() {
        let told = |text: &str| header(&lines(text.as_bytes(), b';'));
        assert!(told("x;y\n1,5;2,5\n").is_there);
        assert!(!told("1,5;2,5\n0,5;1\n").is_there);
    }

    #[test]
    fn headers_are_told_by_the_types_of_columns() {
        let told = |text: &str| header(&lines(text.as_bytes(), b','));
        for (text, is_there, in_doubt) in [
            ("a,b,class\n1,2,0\n", true, false),
            ("a,b,kind\n1,2,cat\n", true, false),
            ("1,2,cat\n1,2,dog\n", false, false),
            ("1,2,0\n3,4,1\n", false, false),
            // Labels first, pixels named by their numbers.
            ("label,0,1,2\n5,0,0,0\n3,0,0,0\n", true, false),
            (",0,1,kind\n0,0.5,1.5,cat\n1,2.5,3.5,dog\n", true, false),
            ("0,1,2\n0.5,1.5,0\n", true, true),
            ("0,1,2\n5,7,1\n", false, true),
            ("0,1,2,3,4,5,6,7\n5,7,1,1,1,1,1,1\n", true, true),
            ("x,0\n1,0\n", false, true),
            ("cat,a\ndog,b\n", false, false),
            ("a,b\n", true, false),
            ("1,x\n", false, false),
            ("", false, false),
        ] {
            let found = told(text);
            assert_eq!((found.is_there, found.doubt.is_some()), (is_there, in_doubt), "{text:?}");
        }
    }
}
