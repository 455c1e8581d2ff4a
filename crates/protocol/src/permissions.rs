//! permissions (being written)
