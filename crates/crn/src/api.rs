//! The HTTP side (being written).
