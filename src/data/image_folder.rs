//! Folders of images, one for each class: decoded, cut out and resized when they are wanted.

mod readable;
mod unseen;

use std::io::BufReader;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use image::imageops::{self, FilterType};
use image::metadata::Orientation;
use image::{ImageDecoder, ImageReader, RgbImage};
use natgrad_ir::{DType, TensorType};

pub(super) use unseen::open_to_predict;

use super::error::{is_folder, is_there};
use super::fingerprint::Digest;
use super::random::SplitMix;
use super::{Batch, Crop, DataError, ExampleType};

/// Mean and standard deviation of ImageNet's pixels, by channel, in units of 255.
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];
/// The part of an image's area that is cut out to learn from, and its width over its height (Szegedy et al. 2015).
const SCALE: (f64, f64) = (0.08, 1.0);
const RATIO: (f64, f64) = (3.0 / 4.0, 4.0 / 3.0);
/// How often a box is drawn before the largest one of a fitting ratio is taken.
const ATTEMPTS: usize = 10;
/// An image to judge by is cut out of one whose shorter side is this much larger: 256 for 224.
const SHORTER_SIDE: (u32, u32) = (256, 224);
/// The most bytes that decoding one image may take.
const MAX_BYTES: u64 = 1 << 30;
/// Of more bytes of images only the sizes of all files and the content of some tell the data from others.
const MOST_DIGESTED: u64 = 256 << 20;
/// Names of files that are images end like this.
const EXTENSIONS: [&str; 5] = ["jpg", "jpeg", "png", "webp", "bmp"];

/// Images in folders, one for each class. A clone shares the list of files.
#[derive(Clone, Debug)]
pub struct ImageFolder {
    example: ExampleType,
    folder: PathBuf,
    classes: Arc<Vec<String>>,
    files: Arc<Vec<Entry>>,
    size: u32,
    is_train: bool,
    is_labelled: bool,
    /// The number of each value of a byte, by channel.
    numbers: Arc<[[f32; 256]; 3]>,
    /// Set once all images were decoded without an error.
    is_readable: Arc<OnceLock<()>>,
}

/// An image's class and the name of its file.
#[derive(Clone, Debug)]
struct Entry {
    class: u32,
    name: Box<str>,
}

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rectangle {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
}

/// Training and test images of `folder/train/CLASS/*` and `folder/val/CLASS/*`, as images of `size` by `size`. Classes
/// are counted in the order of their sorted names.
///
/// # Errors
/// A folder that cannot be read or has no images, a file that is none, a class to judge by that is not learned.
pub(super) fn open(folder: &Path, size: u32) -> Result<(ImageFolder, ImageFolder), DataError> {
    if !(1..=4096).contains(&size) {
        return Err(DataError::field("data.size", size, "from 1 to 4096"));
    }
    let (train, val) = (folder.join("train"), folder.join("val"));
    let classes = folders(&train)?;
    if classes.is_empty() {
        return Err(DataError::content(
            &train,
            "has no folders, but must have one for each class".to_string(),
        ));
    }
    if let Some(unknown) = folders(&val)?.into_iter().find(|class| classes.binary_search(class).is_err()) {
        let reason = format!("is a class that {} does not have", train.display());
        return Err(DataError::content(&val.join(unknown), reason));
    }
    let classes = Arc::new(classes);
    let part = |folder: PathBuf, is_train| ImageFolder::new(folder, Arc::clone(&classes), size, is_train);
    Ok((part(train, true)?, part(val, false)?))
}

impl ImageFolder {
    /// The class of each image.
    pub(super) fn classes_of_rows(&self) -> impl Iterator<Item = u32> + '_ {
        self.files.iter().map(|entry| entry.class)
    }

    fn new(
        folder: PathBuf,
        classes: Arc<Vec<String>>,
        size: u32,
        is_train: bool,
    ) -> Result<ImageFolder, DataError> {
        let mut files = Vec::new();
        for (class, class_name) in classes.iter().enumerate() {
            let of_class = folder.join(class_name);
            if !is_train && !is_there(&of_class)? {
                continue;
            }
            for name in names(&of_class)? {
                files.push(Entry { class: class as u32, name: image_name(&of_class, name)? });
            }
        }
        if files.is_empty() {
            return Err(DataError::content(&folder, "has no images in its folders of classes".to_string()));
        }
        Ok(ImageFolder::of_files(folder, classes, files, size, is_train))
    }

    fn of_files(
        folder: PathBuf,
        classes: Arc<Vec<String>>,
        files: Vec<Entry>,
        size: u32,
        is_train: bool,
    ) -> ImageFolder {
        let side = size as usize;
        let example = ExampleType {
            features: vec![TensorType::new(DType::F32, [side, side, 3])],
            labels: TensorType::scalar(DType::U32),
            classes: classes.len(),
        };
        let number = |channel: usize, pixel: usize| (pixel as f32 / 255.0 - MEAN[channel]) / STD[channel];
        let numbers = std::array::from_fn(|channel| std::array::from_fn(|pixel| number(channel, pixel)));
        let (files, numbers) = (Arc::new(files), Arc::new(numbers));
        let is_readable = Arc::default();
        ImageFolder {
            example,
            folder,
            classes,
            files,
            size,
            is_train,
            is_labelled: true,
            numbers,
            is_readable,
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// What one image is.
    pub fn example(&self) -> &ExampleType {
        &self.example
    }

    /// The names of the classes.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The same images as if their classes were not known.
    pub(super) fn without_labels(self) -> ImageFolder {
        ImageFolder { is_labelled: false, ..self }
    }

    /// Whether the images' classes are known.
    pub(super) fn is_labelled(&self) -> bool {
        self.is_labelled
    }

    /// The file of each image, from the folder on.
    pub(super) fn names(&self) -> Vec<String> {
        let name = |entry: &Entry| match self.classes[entry.class as usize].as_str() {
            "" => entry.name.to_string(),
            class => format!("{class}/{}", entry.name),
        };
        self.files.iter().map(name).collect()
    }

    /// Whether images are cut out and mirrored by chance.
    pub(super) fn is_train(&self) -> bool {
        self.is_train
    }

    /// Appends images, decoded by as many threads as there are processors.
    pub(super) fn append(
        &self,
        examples: &[u32],
        crops: Option<&[Crop]>,
        out: &mut Batch,
    ) -> Result<(), DataError> {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let per_thread = examples.len().div_ceil(threads).max(1);
        let elements = self.example.features[0].shape.elements() * size_of::<f32>();
        let features = out.input(0);
        let begin = features.len();
        features.resize(begin + examples.len() * elements, 0);
        let decode = |first: usize, examples: &[u32], out: &mut [u8]| {
            let images = examples.iter().zip(out.chunks_exact_mut(elements)).enumerate();
            images.into_iter().try_for_each(|(index, (&example, out))| {
                let crop = crops.and_then(|crops| crops.get(first + index).copied());
                self.decode(&self.files[example as usize], crop, out)
            })
        };
        // The error of the first image that has one, whichever thread comes first.
        std::thread::scope(|scope| {
            let parts = examples.chunks(per_thread).zip(features[begin..].chunks_mut(per_thread * elements));
            let workers: Vec<_> = parts
                .enumerate()
                .map(|(index, (examples, out))| {
                    scope.spawn(move || decode(index * per_thread, examples, out))
                })
                .collect();
            workers.into_iter().try_for_each(|worker| match worker.join() {
                Ok(done) => done,
                Err(_) => Err(DataError::Thread(std::io::Error::other("it panicked"))),
            })
        })?;
        let labels = examples.iter().map(|&example| self.files[example as usize].class);
        out.labels.extend(labels.flat_map(u32::to_ne_bytes));
        Ok(())
    }

    /// Each image's class, name and size, and the content of images spread over the folders.
    pub(super) fn digest(&self, digest: &mut Digest) -> Result<(), DataError> {
        let mut total = 0;
        for entry in self.files.iter() {
            let path = self.path(entry);
            let metadata = std::fs::metadata(&path).map_err(|source| DataError::Read { path, source })?;
            total += metadata.len();
            digest.bytes(self.classes[entry.class as usize].as_bytes());
            digest.bytes(entry.name.as_bytes());
            digest.number(metadata.len());
        }
        let every = total.div_ceil(MOST_DIGESTED).max(1) as usize;
        for entry in self.files.iter().step_by(every) {
            let path = self.path(entry);
            digest.file(&path).map_err(|source| DataError::Read { path, source })?;
        }
        Ok(())
    }

    fn path(&self, entry: &Entry) -> PathBuf {
        self.folder.join(&self.classes[entry.class as usize]).join(&*entry.name)
    }

    fn decode(&self, entry: &Entry, crop: Option<Crop>, out: &mut [u8]) -> Result<(), DataError> {
        let image = read(&self.path(entry))?;
        let image = match crop {
            Some(crop) => {
                let Rectangle { left, top, width, height } = draw(image.width(), image.height(), crop.key);
                let part = imageops::crop_imm(&image, left, top, width, height).to_image();
                let mut resized = imageops::resize(&part, self.size, self.size, FilterType::Triangle);
                if crop.flip {
                    imageops::flip_horizontal_in_place(&mut resized);
                }
                resized
            }
            None => self.centre(&image),
        };
        for (element, (&pixel, out)) in image.as_raw().iter().zip(out.as_chunks_mut().0).enumerate() {
            *out = self.numbers[element % 3][usize::from(pixel)].to_ne_bytes();
        }
        Ok(())
    }

    /// The middle of the image, resized so that its shorter side is a seventh longer than the example's.
    fn centre(&self, image: &RgbImage) -> RgbImage {
        let shorter = f64::from(self.size) * f64::from(SHORTER_SIDE.0) / f64::from(SHORTER_SIDE.1);
        let factor = shorter.round() / f64::from(image.width().min(image.height()));
        // A side that is thousands of times the other is not followed: only the middle is wanted.
        let scaled =
            |side: u32| ((f64::from(side) * factor).round()).clamp(f64::from(self.size), 65536.0) as u32;
        let (width, height) = (scaled(image.width()), scaled(image.height()));
        let resized = imageops::resize(image, width, height, FilterType::Triangle);
        let (left, top) = ((width - self.size) / 2, (height - self.size) / 2);
        imageops::crop_imm(&resized, left, top, self.size, self.size).to_image()
    }

    /// These images to judge by: their middle, and never changed.
    pub(super) fn into_test(self) -> ImageFolder {
        ImageFolder { is_train: false, ..self }
    }

    /// The images whose number is picked, and the others.
    pub(super) fn divide(&self, is_picked: &dyn Fn(usize) -> bool) -> (ImageFolder, ImageFolder) {
        let part = |wanted: bool| {
            let files = self.files.iter().enumerate();
            let picked = files.filter(|&(index, _)| is_picked(index) == wanted);
            let files = Arc::new(picked.map(|(_, entry)| entry.clone()).collect());
            ImageFolder { files, is_readable: Arc::default(), ..self.clone() }
        };
        (part(true), part(false))
    }
}

/// The name of a file of a folder, which must be that of an image.
fn image_name(folder: &Path, name: String) -> Result<Box<str>, DataError> {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    if extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str())) {
        return Ok(name.into());
    }
    let path = folder.join(name);
    let reason = if is_folder(&path)? {
        let folder = folder.display();
        format!("is a folder in a folder of images: the images of a class must be in {folder} itself")
    } else {
        "is no image: its name must end in .jpg, .jpeg, .png, .webp or .bmp".to_string()
    };
    Err(DataError::content(&path, reason))
}

/// The names of the folders in a folder, one for each class, which must be alone there.
fn folders(folder: &Path) -> Result<Vec<String>, DataError> {
    let names = names(folder)?;
    for path in names.iter().map(|name| folder.join(name)) {
        if !is_folder(&path)? {
            let reason =
                "is a file beside the folders of classes: images must be in the folder of their class";
            return Err(DataError::content(&path, reason.to_string()));
        }
    }
    Ok(names)
}

/// The names in a folder that do not begin with a dot, sorted.
fn names(folder: &Path) -> Result<Vec<String>, DataError> {
    let read = |source| DataError::Read { path: folder.to_path_buf(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(read)? {
        let name = entry.map_err(read)?.file_name().into_string().map_err(|name| {
            let name = name.to_string_lossy();
            DataError::content(folder, format!("the name `{name}` in it must be UTF-8"))
        })?;
        if !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Decodes a file, whichever of the formats its content is in.
fn read(path: &Path) -> Result<RgbImage, DataError> {
    let failed = |source| DataError::Read { path: path.to_path_buf(), source };
    let wrong = |error: image::ImageError| {
        DataError::content(path, format!("cannot be decoded as a JPEG, PNG, WebP or BMP image: {error}"))
    };
    let file = crate::files::open(path).map_err(failed)?;
    let mut reader = ImageReader::new(BufReader::new(file)).with_guessed_format().map_err(failed)?;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(wrong)?;
    let (width, height) = decoder.dimensions();
    if width == 0 || height == 0 || decoder.total_bytes() > MAX_BYTES {
        let reason = format!(
            "its header says {width} x {height} pixels, which must be some and fit in {MAX_BYTES} bytes"
        );
        return Err(DataError::content(path, reason));
    }
    // Cameras keep pixels as the sensor has them, and say how the image is turned.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = image::DynamicImage::from_decoder(decoder).map_err(wrong)?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// A box in an image: a part of its area between [`SCALE`], of a ratio between [`RATIO`], anywhere.
fn draw(width: u32, height: u32, key: u64) -> Rectangle {
    let mut random = SplitMix::keyed(&[key]);
    let area = f64::from(width) * f64::from(height);
    for _ in 0..ATTEMPTS {
        let part = area * random.between(SCALE.0, SCALE.1);
        let ratio = random.between(RATIO.0.ln(), RATIO.1.ln()).exp();
        let (wide, high) = ((part * ratio).sqrt().round() as u32, (part / ratio).sqrt().round() as u32);
        if (1..=width).contains(&wide) && (1..=height).contains(&high) {
            let place = |random: &mut SplitMix, room: u32| random.below(u64::from(room) + 1) as u32;
            let (top, left) = (place(&mut random, height - high), place(&mut random, width - wide));
            return Rectangle { left, top, width: wide, height: high };
        }
    }
    let ratio = (f64::from(width) / f64::from(height)).clamp(RATIO.0, RATIO.1);
    let wide = ((f64::from(height) * ratio).round() as u32).clamp(1, width);
    let high = ((f64::from(width) / ratio).round() as u32).clamp(1, height);
    Rectangle { left: (width - wide) / 2, top: (height - high) / 2, width: wide, height: high }
}

#[cfg(test)]
mod tests;
