use image::{Rgb, RgbImage};
use proptest::prelude::*;

use super::*;
use crate::data::Examples;

fn picture(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, 40]))
}

/// Two classes, with three images to learn from and one to judge by.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, width, height) in [
        ("train/b/1.png", 40, 30),
        ("train/b/2.JPEG", 33, 64),
        ("train/a/x.jpg", 20, 20),
        ("val/b/y.png", 64, 32),
    ] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        picture(width, height).save(path).unwrap();
    }
    std::fs::write(folder.path().join("train/a/.hidden"), "").unwrap();
    folder
}

fn numbers(batch: &Batch) -> Vec<f32> {
    batch.features[0].as_chunks().0.iter().map(|&bytes| f32::from_ne_bytes(bytes)).collect()
}

#[test]
fn images_are_decoded_and_resized() {
    let folder = folder();
    let (train, val) = open(folder.path(), 14).unwrap();
    assert_eq!((train.len(), val.len(), train.classes()), (3, 1, &["a".to_string(), "b".to_string()][..]));
    assert_eq!(train.example().features[0].to_string(), "f32[14,14,3]");
    let mut batch = Batch::default();
    val.append(&[0], None, &mut batch).unwrap();
    assert_eq!(batch.labels, 1u32.to_ne_bytes());
    let image = numbers(&batch);
    // Of 64 x 32 pixels the middle 28 x 28 are a 14 x 14 image: red goes from 18/64 to 46/64 of 255.
    let red = |column: usize| (image[3 * column] * STD[0] + MEAN[0]) * 64.0;
    assert!((red(0) - 19.0).abs() < 1.5 && (red(13) - 45.0).abs() < 1.5, "{} {}", red(0), red(13));
    let blue: Vec<f32> = image.iter().skip(2).step_by(3).map(|x| x * STD[2] + MEAN[2]).collect();
    assert!(blue.iter().all(|blue| (blue - 40.0 / 255.0).abs() < 1e-6));

    let crops: Vec<Crop> = (0..3).map(|key| Crop { key, flip: key == 1, ..Crop::default() }).collect();
    let mut all = Batch::default();
    train.append(&[2, 0, 1], Some(&crops), &mut all).unwrap();
    let mut one = Batch::default();
    for (example, crop) in [2, 0, 1].into_iter().zip(&crops) {
        train.append(&[example], Some(std::slice::from_ref(crop)), &mut one).unwrap();
    }
    assert_eq!(all, one);
    // A mirrored image is darker on the right.
    let flipped = &numbers(&all)[14 * 14 * 3..];
    assert!(flipped[0] > flipped[13 * 3]);
    let (picked, rest) = train.divide(&|row| row.is_multiple_of(2));
    assert_eq!((picked.len(), rest.len()), (2, 1));
}

#[test]
fn what_is_no_image_is_named() {
    let folder = folder();
    let bad = folder.path().join("train/a/x.jpg");
    std::fs::write(&bad, "no image").unwrap();
    let (train, _) = open(folder.path(), 14).unwrap();
    let error = train.append(&[1, 0], None, &mut Batch::default()).unwrap_err().to_string();
    assert!(error.contains("train/a/x.jpg: cannot be decoded as a JPEG, PNG, WebP or BMP image"), "{error}");
    std::fs::write(folder.path().join("train/a/notes.txt"), "").unwrap();
    let error = open(folder.path(), 14).unwrap_err().to_string();
    assert!(error.contains("notes.txt: is no image: its name must end in"), "{error}");
    std::fs::create_dir(folder.path().join("val/c")).unwrap();
    let error = open(folder.path(), 14).unwrap_err().to_string();
    assert!(error.contains("val/c: is a class that"), "{error}");
    let error = open(folder.path(), 0).unwrap_err().to_string();
    assert_eq!(error, "`data.size` is 0, but must be from 1 to 4096");
}

/// Also one whose header is right and whose pixels are not all there.
#[test]
fn images_to_judge_by_are_checked_before_they_are_wanted() {
    let folder = folder();
    let whole = std::fs::read(folder.path().join("val/b/y.png")).unwrap();
    let (_, val) = open(folder.path(), 14).unwrap();
    val.check_readable().unwrap();
    for name in ["val/b/z.png", "val/b/zz.png"] {
        std::fs::write(folder.path().join(name), &whole[..whole.len() / 2]).unwrap();
    }
    // What was found whole is not read again.
    val.check_readable().unwrap();
    let (train, val) = open(folder.path(), 14).unwrap();
    train.check_readable().unwrap();
    let error = val.check_readable().unwrap_err().to_string();
    assert!(error.contains("val/b/z.png: cannot be decoded as a JPEG, PNG, WebP or BMP image"), "{error}");
    let (even, odd) = Examples::Images(val).partition(2);
    assert!(even.check_readable().is_err() && odd.check_readable().is_err());
}

#[test]
fn strays_and_folders_in_folders_are_named() {
    let folder = folder();
    let wrong = |wanted: &str| {
        let error = open(folder.path(), 14).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    };
    std::fs::create_dir(folder.path().join("train/b/more")).unwrap();
    wrong("train/b/more: is a folder in a folder of images: the images of a class must be in");
    std::fs::write(folder.path().join("val/list.csv"), "").unwrap();
    wrong(
        "val/list.csv: is a file beside the folders of classes: images must be in the folder of their class",
    );
    std::fs::write(folder.path().join("train/x.png"), "").unwrap();
    wrong("train/x.png: is a file beside the folders of classes");
}

#[test]
fn images_are_turned_as_their_cameras_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photo.jpg");
    let wide = RgbImage::from_fn(32, 16, |x, _| if x < 16 { Rgb([250, 250, 250]) } else { Rgb([5, 5, 5]) });
    wide.save(&path).unwrap();
    let plain = std::fs::read(&path).unwrap();
    // EXIF: little-endian, one field, orientation (0x112) 6: to be turned clockwise.
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let length = (exif.len() as u16 + 2).to_be_bytes();
    std::fs::write(&path, [&plain[..2], &[0xff, 0xe1], &length, exif, &plain[2..]].concat()).unwrap();
    let image = read(&path).unwrap();
    assert_eq!(image.dimensions(), (16, 32));
    assert!(image.get_pixel(8, 2).0[0] > 200 && image.get_pixel(8, 29).0[0] < 50);
}

#[test]
fn webp_and_bmp_are_images_too() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["x.webp", "x.bmp"] {
        let path = folder.path().join(image_name(folder.path(), name.to_string()).unwrap().as_ref());
        picture(9, 7).save(&path).unwrap();
        assert_eq!(read(&path).unwrap(), picture(9, 7), "{name}");
    }
}

proptest! {
    #[test]
    fn boxes_are_inside_and_of_the_asked_shape(width in 1u32..3000, height in 1u32..3000, key: u64) {
        let Rectangle { left, top, width: wide, height: high } = draw(width, height, key);
        prop_assert!(wide >= 1 && high >= 1 && left + wide <= width && top + high <= height);
        if width > 100 && height > 100 && width < 2 * height && height < 2 * width {
            let part = f64::from(wide) * f64::from(high) / (f64::from(width) * f64::from(height));
            let ratio = f64::from(wide) / f64::from(high);
            prop_assert!((0.07..=1.0).contains(&part) && (0.72..1.39).contains(&ratio), "{part} {ratio}");
        }
    }

    #[test]
    fn files_that_lie_do_not_panic(at in 0usize..400, byte: u8, cut in 1usize..400) {
        let folder = folder();
        for name in ["train/b/1.png", "train/b/2.JPEG"] {
            let path = folder.path().join(name);
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len().saturating_sub(cut % 3 * cut));
            std::fs::write(&path, bytes).unwrap();
        }
        let examples = Examples::Images(open(folder.path(), 8).unwrap().0);
        for example in 1..3 {
            let mut batch = Batch::default();
            if examples.append(&[example], None, &mut batch).is_ok() {
                prop_assert_eq!(batch.features[0].len(), 8 * 8 * 3 * 4);
            }
        }
    }
}
