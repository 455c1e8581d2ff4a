//! judge (being written)
/// x
pub enum Verdict {}
/// x
pub enum Effect {}
/// x
pub fn judge() {}
