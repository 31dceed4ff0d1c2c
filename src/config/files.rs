//! `files = { … }` of a route: a directory served.

use std::{path::PathBuf, time::Duration};

/// A directory served.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    /// `root`: relative paths are taken from the config file's directory and stored joined. It need not exist (a warning).
    pub root: PathBuf,
    /// `index`: tried in this order for a directory, default `["index.html"]`.
    pub index: Vec<String>,
    /// `dotfiles`: serve names that start with a dot, default false.
    pub dotfiles: bool,
    /// `cache`, default as below; `cache = false` is none.
    pub cache: Option<FileCache>,
}

/// `files.cache`.
#[derive(Clone, Debug, PartialEq)]
pub struct FileCache {
    /// `max_size` of all the files kept, default 64 MiB.
    pub max_size: u64,
    /// `max_file`: larger ones are not kept, default 1 MiB.
    pub max_file: u64,
    /// `check_interval`: a kept file is compared with the disk at most this often, default 1 s.
    pub check_interval: Duration,
}
