//! Model builders over natgrad's IR.
