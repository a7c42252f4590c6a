//! What a program that trains a model needs: `use natgrad::prelude::*`.

pub use natgrad_ir::{CompareOp, DType, Expr, ReduceOp};
pub use natgrad_layers::{
    Activation, Attention, Conv, Dropout, Embedding, FilterResponseNorm, Gpt2, Init, Input, LayerNorm,
    Linear, LinearRegression, Mlp, Model, Network, Noise, Padding, Remat, ResNet, SoftmaxRegression, Task,
    max_pool, mean_pool, spatial_mean,
};

pub use crate::compile::{Device, OpenError};
pub use crate::data::Arrays;
pub use crate::rule::{Adam, AdamW, Blr, Ivon, RmsProp, Rule, Schedule, Sgd, Vadam, Vogn, Von};
pub use crate::step::Metric;
pub use crate::train::{At, Prediction, Record, Run, TrainError, Training};
