//! The stage that takes a batch out of the training examples on the device.

use natgrad_ir::{
    BinaryOp, Builder, CompareOp, DType, Elements, Literal, Op, Scalar, Shape, TensorType, Value,
};

use super::interface::Images;
use super::slot::{Extent, Slot};
use super::stage::Stage;

/// Features and labels of the rows of one micro-batch; nothing if the host sends them.
pub(super) fn gather(stage: &mut Stage) -> Vec<(Slot, Value)> {
    let interface = stage.interface();
    let Some(table) = &interface.table else { return Vec::new() };
    let rows = stage.get(Slot::Rows(Extent::Batch));
    let features = stage.get(Slot::TableFeatures);
    let features = match &table.images {
        None => stage.b.take(features, rows),
        Some(images) => {
            let crops = stage.get(Slot::Crops(Extent::Batch));
            let cropped = cropped(&mut stage.b, features, rows, crops, images);
            stage.b.reshape(cropped, interface.ty(Slot::Features(0, Extent::Batch)).shape)
        }
    };
    let mut taken = vec![(Slot::Features(0, Extent::Batch), features)];
    if stage.interface().takes_labels {
        let labels = stage.get(Slot::TableLabels);
        taken.push((Slot::Labels(Extent::Batch), stage.b.take(labels, rows)));
    }
    taken
}

/// The images `[rows, height, width, channels]` with these numbers, each moved and mirrored: every pixel is taken by its
/// own number, and black where it comes from outside. Places before the first wrap round to large ones.
fn cropped(b: &mut Builder, table: Value, rows: Value, crops: Value, images: &Images) -> Value {
    let [height, width, channels] = images.shape;
    let count = b.ty(rows).shape.elements();
    let place = [count, height, width];
    let number = |b: &mut Builder, value: usize| {
        b.constant(Literal::splat(TensorType::new(DType::U32, place), value as f64))
    };
    let [down, right, flip] = [0, 1, 2].map(|column| {
        let starts = vec![0, column];
        let op = Op::Slice { starts, limits: vec![count, column + 1], strides: vec![1, 1] };
        let column = b.push(op, vec![crops], None)[0];
        let column = b.reshape(column, [count]);
        b.broadcast(column, place, &[0])
    });
    let row = b.iota(DType::U32, place, 1);
    let column = b.iota(DType::U32, place, 2);
    let last = number(b, width - 1);
    let mirrored = b.sub(last, column);
    let zero = number(b, 0);
    let flips = b.compare(CompareOp::Ne, flip, zero);
    let column = b.select(flips, mirrored, column);
    let (row, column) = (b.add(row, down), b.add(column, right));
    let (rows_end, columns_end) = (number(b, height), number(b, width));
    let (in_rows, in_columns) =
        (b.compare(CompareOp::Lt, row, rows_end), b.compare(CompareOp::Lt, column, columns_end));
    let inside = b.binary(BinaryOp::And, in_rows, in_columns);

    let image = b.broadcast(rows, place, &[0]);
    let size = number(b, height * width);
    let start = b.mul(image, size);
    let line = b.mul(row, columns_end);
    let pixel = b.add(start, line);
    let pixel = b.add(pixel, column);
    let table_elements = b.ty(table).shape.elements();
    let pixels = b.reshape(table, [table_elements / channels, channels]);
    let taken = b.take(pixels, pixel);

    let shape = Shape::new(vec![count, height, width, channels]);
    let ty = TensorType::new(b.ty(taken).dtype, [channels]);
    let black = images.black.iter().map(|&black| Scalar::Float(f64::from(black))).collect();
    let black = b.constant(Literal { ty, elements: Elements::Dense(black) });
    let black = b.broadcast(black, shape.clone(), &[3]);
    let inside = b.broadcast(inside, shape, &[0, 1, 2]);
    b.select(inside, taken, black)
}
