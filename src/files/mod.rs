//! Static files: a path in, a response out.
//!
//! Owns: the order of the steps, and which of them may wait. May touch: [`crate::encode`],
//! [`crate::http1`], [`crate::message`], [`crate::settings`]; the file system, in the blocking pool
//! only. Next: the filters see the response head. The way of a request:
//!
//! 1. Only GET and HEAD are served.
//! 2. Look in memory; a file known to be current is answered at once, from step 5.
//! 3. Else find the file below the root, compare it with what is kept, and open it or read it.
//! 4. A directory is redirected to its name with a slash; what is missing or forbidden ends here.
//! 5. Weigh the preconditions, cut out the range, and answer.

mod answer;
mod body;
mod content_type;
mod document;
mod labels;
mod listing;
mod memory;
mod multipart;
pub mod resolve;

use std::{
    fs::Metadata,
    io,
    iter::zip,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use http::{HeaderMap, Method};

use crate::{
    http1::{request::Head, target::RequestTarget},
    message::{answer::Answer, body::Body},
};

pub use answer::Refused;
pub use content_type::of as content_type_of;
use document::{Document, OpenedAs};
pub use labels::FileLabels;
use memory::{Check, KeptFile, KeptLookup, Memory};
pub use resolve::Listing;
use resolve::{Found, NoFile, Sibling, Tree};

/// Without a cache, files up to this size are read when they are opened: one trip to the blocking
/// pool instead of two.
const READ_AT_ONCE: u64 = 64 * 1024;

/// A directory to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilesSettings {
    /// The directory; it need not exist yet, and may be a link.
    pub root: PathBuf,
    /// Tried in this order for a directory.
    pub index: Vec<String>,
    /// Whether names that start with a dot are served.
    pub dotfiles: bool,
    /// Whether directories without an index are listed.
    pub listing: Option<Listing>,
    /// Whether compressed files beside a file stand for it.
    pub precompressed: bool,
    /// What their responses say beside.
    pub labels: FileLabels,
    /// Whether and how files are kept in memory.
    pub cache: Option<CacheSettings>,
}

/// How files are kept in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// All files together, in bytes.
    pub max_size: u64,
    /// The largest file, in bytes.
    pub max_file: u64,
    /// A file is compared with the disk at most this often.
    pub check_interval: Duration,
}

/// A directory being served; one for all workers.
#[derive(Debug)]
pub struct Files {
    settings: FilesSettings,
    tree: Arc<Tree>,
    memory: Option<Arc<Memory>>,
}

/// What is asked of a directory beside the path.
#[derive(Clone, Copy)]
pub struct FileRequest<'a> {
    /// Only GET and HEAD are answered.
    pub method: &'a Method,
    /// As the client sent it: a redirect is made from it.
    pub target: &'a RequestTarget,
    /// Where conditions and a range are looked for, if there may be any.
    pub conditions: Option<&'a HeaderMap>,
    /// The head that says which codings the client takes, if files may have several forms.
    pub codings: Option<&'a Head>,
    /// Whether the path is one of several that are tried in turn.
    pub tried: bool,
}

/// What the disk has for a path.
enum OnDisk {
    /// The file that is kept.
    Same,
    /// Another one, or one that was not kept.
    Other(Box<Document>),
    Directory,
}

impl Files {
    /// Serves the directory of `settings`.
    pub fn new(settings: FilesSettings) -> Self {
        let memory = settings.cache.as_ref().map(|cache| Arc::new(Memory::new(cache)));
        let tree = Tree {
            root: settings.root.clone(),
            index: settings.index.clone(),
            dotfiles: settings.dotfiles,
            listing: settings.listing,
            precompressed: settings.precompressed,
            labels: settings.labels.clone(),
        };
        Self { settings, tree: Arc::new(tree), memory }
    }

    /// What is served, and how.
    pub fn settings(&self) -> &FilesSettings {
        &self.settings
    }

    /// Requests answered from memory.
    pub fn hits(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.hits())
    }

    /// Requests that had to read the disk although there is a cache.
    pub fn misses(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.misses())
    }

    /// What is kept in memory, in bytes.
    pub fn kept_size(&self) -> u64 {
        self.memory.as_ref().map_or(0, |memory| memory.size())
    }

    /// Answers a request for `path`: normalised ([`crate::path`]) and without the prefix
    /// that the route strips.
    pub async fn serve(
        &self,
        asked: &FileRequest<'_>,
        path: &str,
    ) -> Result<Answer<Body>, Refused> {
        if !matches!(*asked.method, Method::GET | Method::HEAD) {
            return Err(Refused::method(asked.method));
        }
        match self.look_up(path) {
            Some(KeptLookup::Fresh(kept)) => answer::with_document(&kept.document, asked),
            // Boxed: most requests do not need this future.
            lookup => Box::pin(self.serve_from_disk(asked, path, lookup)).await,
        }
    }

    /// Step 2; `None` without a cache.
    fn look_up(&self, path: &str) -> Option<KeptLookup> {
        self.memory.as_ref().map(|memory| memory.look_up(path))
    }

    async fn serve_from_disk(
        &self,
        asked: &FileRequest<'_>,
        path: &str,
        lookup: Option<KeptLookup>,
    ) -> Result<Answer<Body>, Refused> {
        let mut answered = self.answer(asked, path, lookup).await?;
        let has_slash = asked.target.path().ends_with('/');
        if answered.is_none() && (has_slash || asked.tried) {
            // The route removed the slash (`strip_prefix = "/static/"`) or rewrote the path: a
            // redirect would come back here for ever. And one of several paths only counts if there is
            // something to serve.
            let path = format!("{path}/");
            let within = self.answer(asked, &path, self.look_up(&path)).await?;
            answered = within.filter(|_| has_slash);
        }
        Ok(answered.unwrap_or_else(|| answer::to_directory(asked.target)))
    }

    /// Steps 3 to 5; `None` for a directory without a slash.
    async fn answer(
        &self,
        asked: &FileRequest<'_>,
        path: &str,
        lookup: Option<KeptLookup>,
    ) -> Result<Option<Answer<Body>>, Refused> {
        let with = |document: &Document| answer::with_document(document, asked);
        let answered = match (&self.memory, lookup) {
            (Some(memory), Some(lookup)) => {
                self.remember(memory, path, lookup).await?.map(|kept| with(&kept.document))
            }
            _ => self.open(path, READ_AT_ONCE).await?.as_ref().map(with),
        };
        answered.transpose()
    }

    /// Step 3: the file from the disk and into memory; `None` for a directory.
    async fn remember(
        &self,
        memory: &Memory,
        path: &str,
        lookup: KeptLookup,
    ) -> Result<Option<Arc<KeptFile>>, NoFile> {
        match lookup {
            KeptLookup::Fresh(kept) => Ok(Some(kept)),
            KeptLookup::Due(check) => self.check(memory, path, check).await,
            KeptLookup::Absent => {
                let read_at = memory.now();
                let opened = self.open(path, memory.max_file()).await?;
                Ok(opened.map(|document| memory.keep(path, document, read_at)))
            }
        }
    }

    /// Step 3 for a file that is kept and due.
    async fn check(
        &self,
        memory: &Memory,
        path: &str,
        check: Check,
    ) -> Result<Option<Arc<KeptFile>>, NoFile> {
        let (tree, kept) = (Arc::clone(&self.tree), Arc::clone(&check.kept));
        let (asked, hold, looked_at) = (path.to_owned(), memory.max_file(), memory.now());
        let found = blocking(move || compare(&tree, &asked, &kept.document, hold)).await;
        if !matches!(found, Ok(OnDisk::Same) | Err(NoFile::Failed(_))) {
            memory.changed();
        }
        match found {
            Ok(OnDisk::Same) => {
                memory.unchanged(&check, looked_at);
                Ok(Some(Arc::clone(&check.kept)))
            }
            Ok(OnDisk::Other(document)) => Ok(Some(memory.keep(path, *document, looked_at))),
            Ok(OnDisk::Directory) => {
                memory.forget(path);
                Ok(None)
            }
            // The disk fails, or there are no descriptors: the kept file is better than nothing.
            Err(NoFile::Failed(error)) => {
                tracing::warn!(%error, path, "a file cannot be checked, serving what is kept");
                Ok(Some(Arc::clone(&check.kept)))
            }
            Err(refusal) => {
                memory.forget(path);
                Err(refusal)
            }
        }
    }

    /// Step 3 for a file that is not kept: finds and opens it; `None` for a directory.
    async fn open(&self, path: &str, hold: u64) -> Result<Option<Document>, NoFile> {
        let (tree, path) = (Arc::clone(&self.tree), path.to_owned());
        blocking(move || {
            Ok(match tree.find(&path)? {
                Found::Directory => None,
                found => Some(read(&tree, &path, found, hold)?),
            })
        })
        .await
    }
}

/// What the disk has for `path`, seen from what is kept for it.
fn compare(tree: &Tree, path: &str, kept: &Document, hold: u64) -> Result<OnDisk, NoFile> {
    match tree.find(path)? {
        Found::Directory => Ok(OnDisk::Directory),
        Found::File(file, metadata, _) if is_still(tree, kept, &file, &metadata) => {
            Ok(OnDisk::Same)
        }
        found => read(tree, path, found, hold).map(|other| OnDisk::Other(Box::new(other))),
    }
}

/// Whether neither the file has changed nor the compressed ones beside it.
fn is_still(tree: &Tree, kept: &Document, file: &Path, metadata: &Metadata) -> bool {
    let siblings = tree.siblings(file, metadata);
    kept.is_still(metadata)
        && siblings.len() == kept.encoded.len()
        && zip(&siblings, &kept.encoded)
            .all(|(it, (coding, kept))| it.coding == *coding && kept.is_still(&it.metadata))
}

/// Opens what was found.
fn read(tree: &Tree, path: &str, found: Found, hold: u64) -> Result<Document, NoFile> {
    let (file, metadata, name) = match found {
        Found::Directory => return Err(NoFile::Missing),
        Found::Listed(directory, metadata, form) => {
            let (text, kind) = listing::render(tree, &directory, path, form)?;
            return Ok(Document::listing(text, kind, &metadata));
        }
        Found::File(file, metadata, name) => (file, metadata, name),
    };
    let siblings = tree.siblings(&file, &metadata);
    let varies = !siblings.is_empty();
    let opened = OpenedAs { name: &name, labels: &tree.labels, coding: None, varies };
    let mut document = document::open(&file, &opened, hold)?;
    for Sibling { coding, path, .. } in siblings {
        let opened = OpenedAs { coding: Some(coding), ..opened };
        // What can't be read is not needed.
        if let Ok(sibling) = document::open(&path, &opened, hold) {
            document.encoded.push((coding, sibling));
        }
    }
    Ok(document)
}

/// Runs work that may wait for the disk on a thread where that delays no other request.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, NoFile> + Send + 'static,
) -> Result<T, NoFile> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(NoFile::Failed(io::Error::other(error))),
    }
}

#[cfg(test)]
mod tests;
