//! decimal (being written)
