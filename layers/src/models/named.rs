//! Models by the names that configurations give them: natgrad's own, and one of the program's.

use std::any::Any;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gpt2::Gpt2;
use super::linear::{LinearRegression, SoftmaxRegression};
use super::mlp::Mlp;
use super::resnet::ResNet;
use super::stablehlo::Stablehlo;
use crate::error::ModelError;
use crate::model::Model;

macro_rules! named_models {
    ($($(#[$meta:meta])* $variant:ident($model:ident),)*) => {
        /// The model of a configuration: `{"kind": "mlp", "sizes": [784, 512, 10], "activation": "relu"}`.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "kebab-case")]
        #[schemars(tag = "kind")]
        pub enum NamedModel {
            $($(#[$meta])* $variant($model),)*
            /// One of the program's own, which configurations cannot name.
            #[serde(skip)]
            Own(OwnModel),
        }

        impl NamedModel {
            /// The model.
            pub fn model(&self) -> &(dyn Model + 'static) {
                match self {
                    $(NamedModel::$variant(model) => model,)*
                    NamedModel::Own(own) => &*own.0,
                }
            }

            /// Checks the configuration. A model of the program's own has none; see `check`.
            ///
            /// # Errors
            /// Names the field and the value.
            pub fn validate(&self) -> Result<(), ModelError> {
                match self {
                    $(NamedModel::$variant(model) => model.validate(),)*
                    NamedModel::Own(_) => Ok(()),
                }
            }

            /// A model of natgrad's; none of a program's own.
            fn known(model: &dyn Any) -> Option<NamedModel> {
                $(if let Some(model) = model.downcast_ref::<$model>() {
                    return Some(NamedModel::$variant(model.clone()));
                })*
                None
            }
        }
    };
}

// The only list of models.
named_models! {
    /// Softmax regression.
    Linear(SoftmaxRegression),
    /// A multilayer perceptron.
    Mlp(Mlp),
    /// Linear regression.
    LinearRegression(LinearRegression),
    /// A residual network with filter response normalization.
    #[serde(rename = "resnet")]
    ResNet(ResNet),
    /// A GPT-2.
    #[serde(rename = "gpt2")]
    Gpt2(Gpt2),
    /// A model that comes as StableHLO, such as from JAX.
    Stablehlo(Stablehlo),
}

impl Deref for NamedModel {
    type Target = dyn Model;

    fn deref(&self) -> &(dyn Model + 'static) {
        self.model()
    }
}

/// A model of the program's own.
#[derive(Clone)]
pub struct OwnModel(pub Arc<dyn Model>);

impl fmt::Debug for OwnModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The same value, not an equal one.
impl PartialEq for OwnModel {
    fn eq(&self, other: &OwnModel) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// A model of natgrad's becomes one that configurations can name, any other one of the program's own.
impl<M: Model + 'static> From<M> for NamedModel {
    fn from(model: M) -> NamedModel {
        let known = NamedModel::known(&model);
        known.unwrap_or_else(|| NamedModel::Own(OwnModel(Arc::new(model))))
    }
}
