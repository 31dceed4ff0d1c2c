//! What a shared HTTP cache may store, and for how long it may use it (RFC 9111).
//!
//! Owns: the rules, as pure functions over heads and times. May touch: nothing outside this room.
//! Nothing here reads a clock, keeps state or does I/O: one file per idea, to be read beside the
//! RFC. Start at [`may_store`], then [`decide`].

mod age;
mod asked;
pub mod cache_status;
mod dates;
mod directives;
mod fields;
mod freshness;
pub mod invalidation;
mod lifetime;
mod list;
mod needed;
mod not_stored;
mod rules;
mod serving;
mod storing;
mod targeted;
pub mod validation;
pub mod vary;

#[cfg(test)]
mod tests;

pub use asked::Asked;
pub use dates::complete_date;
pub use fields::stored_fields;
pub use freshness::Freshness;
pub use lifetime::LifetimeSource;
pub use not_stored::NotStored;
pub use rules::{Rules, Times};
pub use serving::{Decision, Why, decide, is_failure, may_serve_on_error};
pub use storing::{may_keep, may_share_failure, may_store};
