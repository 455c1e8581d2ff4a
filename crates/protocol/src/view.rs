//! view
/// x
pub trait View {}
