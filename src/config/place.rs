//! Where something stands in the config file, and the file itself.
//!
//! Owns: the line and the text, which say nothing about what is configured. May touch: nothing
//! outside this room. `sheave explain` and `sheave plan` tell it.

use std::{path::PathBuf, sync::Arc};

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

/// What a config was read from. All are equal, as all places are.
#[derive(Clone, Debug, Default)]
pub struct ConfigSource {
    /// The file, as it was named.
    pub file: PathBuf,
    /// Its text, without the secrets in it.
    pub text: Arc<str>,
}

impl PartialEq for ConfigSource {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl ConfigSource {
    /// A place as people write it: `sheave.toml:12`.
    pub fn told(&self, place: Place) -> String {
        format!("{}:{}", self.file.display(), place.line)
    }
}
