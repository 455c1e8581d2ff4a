//! The composition (being written).
