//! Where something stands in the config file.
//!
//! Owns: the line, which says nothing about what is configured. May touch: nothing outside this
//! room. `sheave explain` and `sheave plan` tell it.

/// A place in the file. All places are equal, so that two configs are if they say the same.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// From 1; 0 if it is not in the file.
    pub line: u32,
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}
