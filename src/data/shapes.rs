//! Whether examples have the shape that a model takes.

use natgrad_ir::TensorType;

/// Whether an example can be fed to a model: the shapes are the same, or one of them is flat. Never is one image taken as
/// an image of another shape.
pub(crate) fn fits(found: &TensorType, wanted: &TensorType) -> bool {
    let is_flat = |ty: &TensorType| ty.shape.dims().len() == 1;
    found.dtype == wanted.dtype
        && (found.shape == wanted.shape
            || (is_flat(found) || is_flat(wanted)) && found.shape.elements() == wanted.shape.elements())
}

/// What to do about images whose channels come first, where the model's come last.
pub(crate) fn channels_first(found: &TensorType, wanted: &TensorType) -> Option<&'static str> {
    let &[height, width, channels] = wanted.shape.dims() else { return None };
    (found.shape != wanted.shape && found.shape.dims() == [channels, height, width]).then_some(
        ": these look like channels first; for `npy` and `npz`, `\"image_layout\": \"channels-first\"` moves them to \
         the end",
    )
}

#[cfg(test)]
mod tests {
    use natgrad_ir::DType;

    use super::*;

    #[test]
    fn shapes_are_compared_whole() {
        let ty = |dims: &[usize]| TensorType::new(DType::F32, dims);
        for (found, wanted, does) in [
            (&[16, 16, 3][..], &[16, 16, 3][..], true),
            (&[3, 16, 16], &[16, 16, 3], false),
            (&[8, 32, 3], &[16, 16, 3], false),
            (&[768], &[16, 16, 3], true),
            (&[3, 16, 16], &[768], true),
            (&[3], &[4], false),
        ] {
            assert_eq!(fits(&ty(found), &ty(wanted)), does, "{found:?} {wanted:?}");
        }
        assert!(!fits(&TensorType::new(DType::U32, [3]), &ty(&[3])));
        assert!(channels_first(&ty(&[3, 16, 16]), &ty(&[16, 16, 3])).is_some());
        assert!(channels_first(&ty(&[8, 32, 3]), &ty(&[16, 16, 3])).is_none());
    }
}
