//! What somebody may do at the admin address.

/// Each may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Ask whether the process lives and is ready, as probes do.
    None,
    /// See everything.
    Read,
    /// Change what runs.
    Write,
}

impl Role {
    /// Its name in the config.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}
