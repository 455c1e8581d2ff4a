//! aggregate (being written)
