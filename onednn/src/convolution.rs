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
    /// How the kernel moves over the images.
    pub window: Window,
    /// Features of the outputs.
    pub outputs: usize,
    /// Rows and columns of the outputs.
    pub places: [usize; 2],
    /// Whether every output has a number added, the same at all places: then the forward pass has that as a third operand, and
    /// the kernel's gradient its gradient as a second result. The images' gradient knows nothing of it.
    pub bias: bool,
}

/// How a kernel moves over images: two numbers each, for rows and columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// Height and width of the kernel.
    pub sides: [usize; 2],
    /// Steps from one output to the next.
    pub strides: [usize; 2],
    /// Zeros before the first row and column.
    pub low: [usize; 2],
    /// Distance of neighbouring elements, at least one.
    pub dilation: [usize; 2],
}

impl Convolution {
    /// That of images `[examples, height, width, inputs]` and outputs `[examples, rows, columns, outputs]`, without biases.
    pub fn new(
        pass: Pass,
        element: Element,
        [examples, height, width, inputs]: [usize; 4],
        window: Window,
        [_, rows, columns, outputs]: [usize; 4],
    ) -> Convolution {
        Convolution {
            pass,
            element,
            examples,
            image: [height, width],
            inputs,
            window,
            outputs,
            places: [rows, columns],
            bias: false,
        }
    }

    /// Zeros behind the last row and column, so that there are as many outputs as are said; none if no number of zeros gives that
    /// many, or a size is zero.
    pub fn high(&self) -> Option<[usize; 2]> {
        let sizes = [self.examples, self.inputs, self.outputs];
        let Window { sides, strides, low, dilation } = self.window;
        let all = sizes.iter().chain(&self.image).chain(&self.places);
        if all.chain(&sides).chain(&strides).chain(&dilation).any(|&size| size == 0) || !self.fits() {
            return None;
        }
        let of = |axis: usize| {
            let reach = (self.places[axis] - 1).checked_mul(strides[axis])?;
            let window = (sides[axis] - 1).checked_mul(dilation[axis])?.checked_add(1)?;
            let (wanted, there) = (reach.checked_add(window)?, self.image[axis].checked_add(low[axis])?);
            // Rows that are left over must not be enough for one more place.
            let left_over = there.saturating_sub(wanted);
            (left_over < strides[axis]).then_some(wanted.saturating_sub(there))
        };
        Some([of(0)?, of(1)?])
    }

    /// Whether memory could have operands and results.
    fn fits(&self) -> bool {
        let [images, results] = [(self.image, self.inputs), (self.places, self.outputs)]
            .map(|([height, width], features)| [self.examples, height, width, features]);
        let kernel = [self.window.sides[0], self.window.sides[1], self.inputs, self.outputs];
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
        self.window.sides[0] * self.window.sides[1] * self.inputs * self.outputs
    }

    /// Elements of the outputs.
    pub fn results(&self) -> usize {
        self.examples * self.places[0] * self.places[1] * self.outputs
    }

    /// Multiplications.
    pub fn products(&self) -> usize {
        self.results().saturating_mul(self.window.sides[0] * self.window.sides[1] * self.inputs)
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
        let window = Window { sides: [window; 2], strides: [stride; 2], low: [low; 2], dilation: [1; 2] };
        Convolution::new(Pass::Forward, Element::F32, [2, image, image, 3], window, [2, places, places, 4])
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
        let plain = plain(8, 3, 8, 1, 2);
        let window = Window { dilation: [2; 2], ..plain.window };
        assert_eq!(Convolution { window, ..plain }.high(), Some([2, 2]));
    }
}
