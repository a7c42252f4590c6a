//! What a convolution is, in sizes.

use crate::Element;

/// Which of three computations of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Images and kernel to outputs.
    Forward,
    /// Outputs' cotangent and kernel to the images' gradient.
    Images,
    /// Images and outputs' cotangent to the kernel's gradient.
    Kernel,
}

/// A convolution over two dimensions, or a gradient of one. Images are `[examples, height, width, inputs]`, outputs
/// `[examples, rows, columns, outputs]`, kernels `[window height, window width, inputs, outputs]`, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Convolution {
    /// Which computation.
    pub pass: Pass,
    /// The type of operands and results.
    pub element: Element,
    /// Images in the batch.
    pub examples: usize,
    /// Height and width of the images.
    pub image: [usize; 2],
    /// Features of the images.
    pub inputs: usize,
    /// Height and width of the window.
    pub window: [usize; 2],
    /// Features of the outputs.
    pub outputs: usize,
    /// Rows and columns of the outputs.
    pub places: [usize; 2],
    /// Steps of the window.
    pub strides: [usize; 2],
    /// Zeros before the first row and column.
    pub low: [usize; 2],
    /// Distance of neighbouring elements of the window, at least one.
    pub dilation: [usize; 2],
    /// Whether every output has a number added, the same at all places: then the forward pass has that as a third operand, and
    /// the kernel's gradient its gradient as a second result. The images' gradient knows nothing of it.
    pub bias: bool,
}

impl Convolution {
    /// Zeros behind the last row and column, so that there are as many outputs as are said; none if no number of zeros gives that
    /// many, or a size is zero.
    pub fn high(&self) -> Option<[usize; 2]> {
        let sizes = [self.examples, self.inputs, self.outputs];
        let all = sizes.iter().chain(&self.image).chain(&self.window).chain(&self.places);
        if all.chain(&self.strides).chain(&self.dilation).any(|&size| size == 0) || !self.fits() {
            return None;
        }
        let of = |axis: usize| {
            let reach = (self.places[axis] - 1).checked_mul(self.strides[axis])?;
            let window = (self.window[axis] - 1).checked_mul(self.dilation[axis])?.checked_add(1)?;
            let (wanted, there) = (reach.checked_add(window)?, self.image[axis].checked_add(self.low[axis])?);
            // Rows that are left over must not be enough for one more place.
            let left_over = there.saturating_sub(wanted);
            (left_over < self.strides[axis]).then_some(wanted.saturating_sub(there))
        };
        Some([of(0)?, of(1)?])
    }

    /// Whether memory could have operands and results.
    fn fits(&self) -> bool {
        let [images, results] = [(self.image, self.inputs), (self.places, self.outputs)]
            .map(|([height, width], features)| [self.examples, height, width, features]);
        let kernel = [self.window[0], self.window[1], self.inputs, self.outputs];
        [images, results, kernel].iter().all(|sizes| {
            let bytes =
                sizes.iter().try_fold(self.element.size_bytes(), |bytes, &size| bytes.checked_mul(size));
            bytes.is_some_and(|bytes| bytes <= isize::MAX as usize)
        })
    }

    /// Elements of the images.
    pub fn images(&self) -> usize {
        self.examples * self.image[0] * self.image[1] * self.inputs
    }

    /// Elements of the kernel.
    pub fn kernel(&self) -> usize {
        self.window[0] * self.window[1] * self.inputs * self.outputs
    }

    /// Elements of the outputs.
    pub fn results(&self) -> usize {
        self.examples * self.places[0] * self.places[1] * self.outputs
    }

    /// Multiplications.
    pub fn products(&self) -> usize {
        self.results().saturating_mul(self.window[0] * self.window[1] * self.inputs)
    }

    /// The same of another type.
    #[must_use]
    pub fn of_type(self, element: Element) -> Convolution {
        Convolution { element, ..self }
    }

    /// The same of so many examples.
    #[must_use]
    pub fn of(self, examples: usize) -> Convolution {
        Convolution { examples, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(image: usize, window: usize, places: usize, stride: usize, low: usize) -> Convolution {
        Convolution {
            pass: Pass::Forward,
            element: Element::F32,
            examples: 2,
            image: [image; 2],
            inputs: 3,
            window: [window; 2],
            outputs: 4,
            places: [places; 2],
            strides: [stride; 2],
            low: [low; 2],
            dilation: [1; 2],
            bias: false,
        }
    }

    #[test]
    fn zeros_behind_follow_from_the_outputs() {
        assert_eq!(plain(32, 3, 32, 1, 1).high(), Some([1, 1]));
        // Of 33 rows the window reads 33: none is added.
        assert_eq!(plain(32, 3, 16, 2, 1).high(), Some([0, 0]));
        // The last row is read by no window.
        assert_eq!(plain(32, 1, 16, 2, 0).high(), Some([0, 0]));
        assert_eq!(plain(28, 5, 24, 1, 0).high(), Some([0, 0]));
        // Three rows are read by no window, where one more place would fit.
        assert_eq!(plain(32, 1, 15, 2, 0).high(), None);
        assert_eq!(plain(32, 3, 0, 1, 1).high(), None);
        assert_eq!(plain(32, 3, 32, 1, 1).of(1 << 60).high(), None);
        assert_eq!(Convolution { inputs: (1 << 62) + 1, ..plain(2, 1, 2, 1, 0) }.high(), None);
        let dilated = Convolution { dilation: [2; 2], ..plain(8, 3, 8, 1, 2) };
        assert_eq!(dilated.high(), Some([2, 2]));
    }
}
