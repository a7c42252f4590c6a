//! The typed tensor IR of natgrad.
