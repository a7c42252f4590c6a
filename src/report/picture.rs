//! Small pictures within a page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use super::page::escape;

/// The shape of the picture that a row's features are, if they are one: height, width and channels, of which there are 1 or
/// 3.
pub fn picture_shape(dims: &[usize]) -> Option<[usize; 3]> {
    match *dims {
        [height, width, channels @ (1 | 3)] => Some([height, width, channels]),
        _ => None,
    }
}

/// A picture with its caption, as an HTML element; none if there are not so many pixels. The least number is black, the
/// greatest white.
pub fn picture(pixels: &[f32], [height, width, channels]: [usize; 3], caption: &[String]) -> Option<String> {
    let (low, high) = pixels
        .iter()
        .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &pixel| (low.min(pixel), high.max(pixel)));
    let range = (high - low).max(f32::MIN_POSITIVE);
    let bytes: Vec<u8> = pixels.iter().map(|pixel| (255.0 * (pixel - low) / range).round() as u8).collect();
    let colour = if channels == 3 { ExtendedColorType::Rgb8 } else { ExtendedColorType::L8 };
    if bytes.is_empty() || bytes.len() != height * width * channels {
        return None;
    }
    let mut png = Vec::new();
    PngEncoder::new(&mut png).write_image(&bytes, width as u32, height as u32, colour).ok()?;
    let lines: Vec<String> = caption.iter().map(|line| escape(line)).collect();
    Some(format!(
        "<figure><img alt=\"\" src=\"data:image/png;base64,{}\"><figcaption>{}</figcaption></figure>\n",
        STANDARD.encode(png),
        lines.join("<br>")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_may_be_pictures() {
        assert_eq!(picture_shape(&[32, 32, 3]), Some([32, 32, 3]));
        assert_eq!([picture_shape(&[784]), picture_shape(&[8, 8, 2])], [None; 2]);
    }

    #[test]
    fn a_picture_is_a_png_of_its_pixels() {
        let html =
            picture(&[-1.0, 0.0, 1.0, 1.0], [2, 2, 1], &["a < b".to_string(), "c".to_string()]).unwrap();
        assert!(html.ends_with("<figcaption>a &lt; b<br>c</figcaption></figure>\n"), "{html}");
        let data = html.split_once("base64,").unwrap().1.split_once('"').unwrap().0;
        let png = image::load_from_memory(&STANDARD.decode(data).unwrap()).unwrap();
        assert_eq!(png.to_luma8().into_raw(), [0, 128, 255, 255]);
        assert_eq!(picture(&[1.0], [2, 2, 1], &[]), None);
    }
}
