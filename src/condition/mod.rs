//! A condition on a request that has ended: `status >= 500 || duration > 1s`.
//!
//! Owns: the language and its errors. May touch: [`crate::units`]. The config parses conditions;
//! [`crate::observe`] asks them about each request.

mod parse;
mod terms;
#[cfg(test)]
mod tests;

pub use parse::ConditionError;
pub use terms::{Amount, Condition, Observed, TextFact};
