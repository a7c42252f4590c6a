//! The work of windows, also of sizes that no program has.

use super::*;

#[test]
fn windows_meet_elements_and_not_padding_or_gaps() {
    let window = WindowDimension {
        size: 3,
        stride: 1,
        padding_low: 1,
        padding_high: 1,
        window_dilation: 1,
        base_dilation: 1,
        reversal: false,
    };
    assert_eq!(meetings(&window, 4, 4), 3 * 4 - 2);
    let dilated = WindowDimension { base_dilation: 2, padding_low: 0, ..window };
    // Of an input a _ b the windows a_b, _b and b.
    assert_eq!(meetings(&dilated, 2, 3), 2 + 1 + 1);
    assert_eq!(meetings(&window, 0, 4), 0);
}

#[test]
fn absurd_windows_take_no_time() {
    for number in [i64::MIN, -1, 0, i64::MAX] {
        let window = WindowDimension {
            size: number,
            stride: number,
            padding_low: number,
            padding_high: number,
            window_dilation: number,
            base_dilation: number,
            reversal: false,
        };
        for size in [0, 2, u64::MAX] {
            meetings(&window, size, size);
        }
    }
    let window = WindowDimension {
        size: 1 << 60,
        stride: i64::MAX,
        padding_low: i64::MIN,
        padding_high: 0,
        window_dilation: 1,
        base_dilation: 1,
        reversal: false,
    };
    assert_eq!(meetings(&window, 1 << 60, 8), 1 << 63);
}
