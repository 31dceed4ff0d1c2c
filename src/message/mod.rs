//! What a message is made of, apart from what it is for.
pub mod path;
