//! Embeddings.

use natgrad_ir::{DType, Expr};

use crate::init::Init;
use crate::network::{Network, Owner};

/// A table of vectors: `NAME.weight[count, width]`, which starts standard normal, as PyTorch's.
#[derive(Clone, Debug)]
pub struct Embedding {
    owner: Owner,
    name: String,
    count: usize,
    width: usize,
    init: Init,
}

impl Embedding {
    /// A table of `count` vectors of this width.
    pub fn new(name: impl Into<String>, count: usize, width: usize) -> Embedding {
        Embedding { owner: Owner::new(), name: name.into(), count, width, init: Init::Normal { std: 1.0 } }
    }

    /// With a table that starts so.
    #[must_use]
    pub fn init(self, init: Init) -> Embedding {
        Embedding { init, ..self }
    }

    /// The table, `[count, width]`, for an output that is tied to it.
    #[track_caller]
    pub fn table<'b>(&self, net: &Network<'b>) -> Expr<'b> {
        net.layer(&self.name, || net.owned_param(self.owner, "weight", [self.count, self.width], self.init))
    }

    /// `[..., width]`: the vectors with these `indices`, `u32[...]`. An index past the end takes the last vector.
    #[track_caller]
    pub fn apply<'b>(&self, net: &Network<'b>, indices: Expr<'b>) -> Expr<'b> {
        let ty = indices.ty();
        if ty.dtype != DType::U32 {
            net.refuse(format!("the embedding `{}` wants indices `u32[...]`, but is given {ty}", self.name));
            return indices;
        }
        let table = self.table(net);
        net.layer(&self.name, || table.take(indices))
    }
}
