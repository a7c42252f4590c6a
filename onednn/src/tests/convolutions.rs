//! Convolutions.

use half::bf16;

use super::{bytes, library, numbers, share, values};
use crate::{Convolution, Element, Error, Pass, Window};

const PASSES: [Pass; 3] = [Pass::Forward, Pass::Images, Pass::Kernel];

fn convolution(examples: usize, side: usize, window: usize, stride: usize, low: usize) -> Convolution {
    let [rows, columns] = [side, side + 2].map(|size| (size + 2 * low - window) / stride + 1);
    let window = Window { sides: [window; 2], strides: [stride; 2], low: [low; 2], dilation: [1; 2] };
    let (images, outputs) = ([examples, side, side + 2, 16], [examples, rows, columns, 32]);
    Convolution::new(Pass::Forward, Element::F32, images, window, outputs)
}

/// What a convolution gives, term by term.
fn written_out(of: &Convolution, left: &[f64], right: &[f64]) -> Vec<f64> {
    let count = match of.pass {
        Pass::Forward => of.results(),
        Pass::Images => of.images(),
        Pass::Kernel => of.kernel(),
    };
    let mut result = vec![0.0; count];
    let Window { sides, strides, low, dilation } = of.window;
    for n in 0..of.examples {
        for row in 0..of.places[0] {
            for column in 0..of.places[1] {
                for y in 0..sides[0] {
                    for x in 0..sides[1] {
                        let at = |place: usize, tap: usize, axis: usize| {
                            (place * strides[axis] + tap * dilation[axis])
                                .checked_sub(low[axis])
                                .filter(|&at| at < of.image[axis])
                        };
                        let (Some(h), Some(w)) = (at(row, y, 0), at(column, x, 1)) else { continue };
                        for i in 0..of.inputs {
                            for o in 0..of.outputs {
                                let image = ((n * of.image[0] + h) * of.image[1] + w) * of.inputs + i;
                                let kernel = ((y * sides[1] + x) * of.inputs + i) * of.outputs + o;
                                let output =
                                    ((n * of.places[0] + row) * of.places[1] + column) * of.outputs + o;
                                match of.pass {
                                    Pass::Forward => result[output] += left[image] * right[kernel],
                                    Pass::Images => result[image] += left[output] * right[kernel],
                                    Pass::Kernel => result[kernel] += left[image] * right[output],
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    result
}

/// Runs it on numbers, by threads of this test.
fn run(of: &Convolution, threads: usize) -> Result<(Vec<f64>, Vec<f64>), Error> {
    let (left, right, result) = match of.pass {
        Pass::Forward => (of.images(), of.kernel(), of.results()),
        Pass::Images => (of.results(), of.kernel(), of.images()),
        Pass::Kernel => (of.images(), of.results(), of.kernel()),
    };
    let (left, right, added) = (numbers(left, 1), numbers(right, 5), numbers(of.outputs, 3));
    let mut out = vec![0xff; result * of.element.size_bytes()];
    let mut sums = vec![0xff; of.outputs * of.element.size_bytes()];
    let operands = [&left, &right, &added].map(|numbers| bytes(of.element, numbers));
    let operands: Vec<&[u8]> = operands.iter().map(Vec::as_slice).collect();
    let more = usize::from(of.bias && of.pass == Pass::Forward);
    let mut results = [out.as_mut_slice(), &mut sums];
    let given = 1 + usize::from(of.bias && of.pass == Pass::Kernel);
    library().convolve(of, &operands[..2 + more], &mut results[..given], threads, &share)?;
    let (mut found, mut wanted) = (values(of.element, &out), written_out(of, &left, &right));
    if more == 1 {
        wanted.iter_mut().enumerate().for_each(|(at, wanted)| *wanted += added[at % of.outputs]);
    }
    if given == 2 {
        found.extend(values(of.element, &sums));
        wanted.extend((0..of.outputs).map(|o| right.iter().skip(o).step_by(of.outputs).sum::<f64>()));
    }
    Ok((found, wanted))
}

#[test]
fn convolutions_are_the_sums_that_they_stand_for() {
    let plain = convolution(2, 8, 3, 1, 1);
    let dilated = Window { dilation: [2, 1], low: [2, 1], ..plain.window };
    let shapes = [
        convolution(3, 8, 3, 1, 1),
        convolution(2, 8, 3, 2, 1),
        convolution(2, 9, 1, 2, 0),
        convolution(1, 8, 5, 1, 0),
        Convolution { window: dilated, places: [8, 10], ..plain },
        Convolution { inputs: 3, outputs: 5, ..plain },
    ];
    for shape in shapes {
        for (pass, bias) in PASSES.into_iter().flat_map(|pass| [(pass, false), (pass, true)]) {
            let of = Convolution { pass, bias, ..shape };
            let (found, wanted) = run(&of, 1).unwrap();
            // Integers below 2^24: every order of adding gives the same.
            assert_eq!(found, wanted, "{of:?} by {:?}", library().implementation(&of));
        }
    }
}

#[test]
fn threads_change_nothing_whatever_the_number_of_examples() {
    for pass in PASSES {
        // 2^21 multiplications are 7 examples.
        for examples in [1, 13, 37] {
            let of = Convolution { pass, bias: true, ..convolution(examples, 8, 3, 1, 1) };
            let (found, wanted) = run(&of, 1).unwrap();
            assert_eq!(found, wanted);
            for threads in [2, 3, 16] {
                assert_eq!(run(&of, threads).unwrap().0, wanted, "{of:?} {threads}");
            }
        }
    }
}

#[test]
fn halves_are_added_in_single_precision() {
    for pass in PASSES {
        let of = Convolution { pass, element: Element::Bf16, bias: true, ..convolution(13, 8, 3, 1, 1) };
        let Some(name) = library().implementation(&of) else { continue };
        let (found, wanted) = run(&of, 2).unwrap();
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!(*found, bf16::from_f64(wanted).to_f64(), "{of:?} by {name}");
        }
    }
}

#[test]
fn what_cannot_be_computed_is_refused() {
    let of = convolution(2, 8, 3, 1, 1);
    let error = library().convolve(&of, &[&[], &[]], &mut [&mut []], 1, &|_, _| Ok(())).unwrap_err();
    assert!(error.to_string().starts_with("operands of [0, 0, 0] bytes are not those of"), "{error}");
    let window = Window { strides: [2, 2], ..of.window };
    let none = Convolution { places: [2, 3], window, ..of };
    assert_eq!(library().implementation(&none), None);
    assert!(
        library()
            .convolve(&of.of(0), &[&[], &[0; 3 * 3 * 16 * 32 * 4]], &mut [&mut []], 1, &|_, _| Ok(()))
            .is_err()
    );
    assert!(!library().is_fast(&none));
    assert!(library().is_fast(&of), "{:?}", library().implementation(&of));
}
