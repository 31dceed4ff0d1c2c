//! Finds the file of a path, and never one outside the root.
//!
//! Owns: the safety of paths. May touch: [`crate::settings`]; the file system, so it runs in the
//! blocking pool only. Next: `document` opens what is found here.
//!
//! The root is looked up anew each time: it may appear later, or be a link (`current`) that a
//! deploy points elsewhere. All links are followed before the result is compared with the root, so
//! a link may lead anywhere within the root and nowhere else. Somebody who can write into the root
//! could win a race between this check and the opening; but they could also just put a file there.

use super::labels::FileLabels;
use crate::settings::Coding;
use std::{
    fs::{self, Metadata},
    io,
    path::{Path, PathBuf},
};

/// What a path names.
#[derive(Debug)]
pub(super) enum Found {
    /// A regular file: its path without links, its metadata, and the name that was asked for. The
    /// name decides the type, also if it is a link to another name.
    File(PathBuf, Box<Metadata>, PathBuf),
    /// A directory asked for without the slash at its end.
    Directory,
    /// A directory without an index, which is listed.
    Listed(PathBuf, Box<Metadata>, Listing),
}

/// How directories without an index are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// A page for people.
    Html,
    /// For programs.
    Json,
}

/// A file in another coding.
pub(super) struct Sibling {
    pub(super) coding: Coding,
    pub(super) path: PathBuf,
    pub(super) metadata: Metadata,
}

/// Why there is nothing to serve.
#[derive(Debug)]
pub(super) enum NoFile {
    /// 404: it does not exist, or must not seem to.
    Missing,
    /// 403: we may not read it.
    Forbidden,
    /// 500: the system failed.
    Failed(io::Error),
}

impl From<io::Error> for NoFile {
    fn from(error: io::Error) -> Self {
        // `FilesystemLoop` is not stable to name; this is ELOOP.
        const LINKS_IN_A_CIRCLE: i32 = if cfg!(target_os = "linux") { 40 } else { 62 };
        match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename => Self::Missing,
            io::ErrorKind::PermissionDenied => Self::Forbidden,
            _ if error.raw_os_error() == Some(LINKS_IN_A_CIRCLE) => Self::Missing,
            _ => Self::Failed(error),
        }
    }
}

/// Which names below a root may be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tree {
    pub(super) root: PathBuf,
    pub(super) index: Vec<String>,
    pub(super) dotfiles: bool,
    /// Whether directories without an index are listed.
    pub(super) listing: Option<Listing>,
    /// Whether compressed files beside a file stand for it.
    pub(super) precompressed: bool,
    /// What their responses say beside.
    pub(super) labels: FileLabels,
}

impl Tree {
    /// Finds the file that `path` names, or the index of the directory.
    pub(super) fn find(&self, path: &str) -> Result<Found, NoFile> {
        let relative = self.relative(path).ok_or(NoFile::Missing)?;
        let root = fs::canonicalize(&self.root)?;
        let (found, metadata) = inside(&root, &relative)?;
        if metadata.is_dir() {
            return if path.ends_with('/') {
                match (self.index(&root, &found), self.listing) {
                    (Err(NoFile::Missing), Some(form)) => {
                        Ok(Found::Listed(found, metadata.into(), form))
                    }
                    (found, _) => found,
                }
            } else {
                Ok(Found::Directory)
            };
        }
        // `file/` is no file, and devices and pipes are not served.
        if path.ends_with('/') || !metadata.is_file() {
            return Err(NoFile::Missing);
        }
        Ok(Found::File(found, metadata.into(), relative))
    }

    /// The path below the root, if every segment of it may be served.
    ///
    /// Only the path that was asked for is checked. A link with a plain name may lead to a hidden
    /// one: Kubernetes does this with every mounted `ConfigMap`.
    fn relative(&self, path: &str) -> Option<PathBuf> {
        let mut relative = PathBuf::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            // The path is normalised, so most of this cannot happen; it costs little to be sure.
            if !self.may_serve(segment) {
                return None;
            }
            relative.push(segment);
        }
        Some(relative)
    }

    /// Whether a file or directory of this name may be served.
    pub(super) fn may_serve(&self, name: &str) -> bool {
        let hidden = name.starts_with('.') && !self.dotfiles;
        !(hidden || matches!(name, "." | "..") || name.contains(['\0', '\\']))
    }

    /// What a link leads to, if that is below the root.
    pub(super) fn follow(&self, link: &Path) -> Option<Metadata> {
        inside(&fs::canonicalize(&self.root).ok()?, link).ok().map(|(_, metadata)| metadata)
    }

    /// The compressed files beside `file`: `app.js.br`, and so on. One that is older has another
    /// content, so it does not count.
    pub(super) fn siblings(&self, file: &Path, own: &Metadata) -> Vec<Sibling> {
        let (Ok(root), Ok(modified)) = (fs::canonicalize(&self.root), own.modified()) else {
            return Vec::new();
        };
        let sibling = |(coding, ending)| {
            let mut name = file.as_os_str().to_owned();
            name.push(ending);
            let (path, metadata) = inside(&root, Path::new(&name)).ok()?;
            let is_current = metadata.modified().is_ok_and(|it| it >= modified);
            (metadata.is_file() && is_current).then_some(Sibling { coding, path, metadata })
        };
        let endings = [(Coding::Brotli, ".br"), (Coding::Zstd, ".zst"), (Coding::Gzip, ".gz")];
        if self.precompressed {
            endings.into_iter().filter_map(sibling).collect()
        } else {
            Vec::new()
        }
    }

    /// The first index file that exists in a directory.
    fn index(&self, root: &Path, directory: &Path) -> Result<Found, NoFile> {
        for name in &self.index {
            match inside(root, &directory.join(name)) {
                Ok((file, metadata)) if metadata.is_file() => {
                    return Ok(Found::File(file, metadata.into(), name.into()));
                }
                Ok(_) | Err(NoFile::Missing) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Err(NoFile::Missing)
    }
}

/// `path` below `root`, with its links followed; missing if they lead out of it.
fn inside(root: &Path, path: &Path) -> Result<(PathBuf, Metadata), NoFile> {
    let found = fs::canonicalize(root.join(path))?;
    if !found.starts_with(root) {
        tracing::debug!(root = %root.display(), found = %found.display(), "a link leaves the root");
        return Err(NoFile::Missing);
    }
    let metadata = fs::symlink_metadata(&found)?;
    Ok((found, metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    /// A tree with links and names that could lead outside, and a secret beside it.
    fn tempting() -> (tempfile::TempDir, Tree) {
        let place = tempfile::tempdir().expect("a place");
        let root = place.path().join("root");
        for directory in ["root/dir", "root/.git", "root/empty", "root/dir/.hidden", "beside"] {
            fs::create_dir_all(place.path().join(directory)).expect("a directory");
        }
        for inside in ["a.txt", "index.html", "dir/index.htm", "dir/b.txt"] {
            fs::write(root.join(inside), "inside").expect("a file");
        }
        for hidden in [".env", ".git/config", "dir/.hidden/c.txt"] {
            fs::write(root.join(hidden), "hidden").expect("a file");
        }
        fs::write(place.path().join("beside/secret.txt"), "outside").expect("a file");
        for (target, link) in [
            ("a.txt", "in"),
            ("dir", "indir"),
            ("../beside", "out"),
            ("../beside/secret.txt", "secret"),
            ("/etc", "etc"),
            ("../rootish", "rootish"),
            ("circle", "circle"),
            ("nowhere", "broken"),
            ("..", "up"),
            (".git", "shown"),
        ] {
            symlink(target, root.join(link)).expect("a link");
        }
        fs::create_dir(place.path().join("rootish")).expect("a directory");
        fs::write(place.path().join("rootish/x"), "outside").expect("a file");
        let index = vec!["index.html".into(), "index.htm".into()];
        (
            place,
            Tree {
                root,
                index,
                dotfiles: false,
                labels: FileLabels::default(),
                listing: None,
                precompressed: false,
            },
        )
    }

    /// The content of what is found; `None` for a refusal or a directory.
    fn content(tree: &Tree, path: &str) -> Option<String> {
        match tree.find(path) {
            Ok(Found::File(file, ..)) => Some(fs::read_to_string(file).expect("readable")),
            _ => None,
        }
    }

    #[test]
    fn finds_what_is_inside() {
        let (_place, tree) = tempting();
        for path in ["/a.txt", "/", "", "/in", "/dir/", "/indir/", "/indir/b.txt", "dir/b.txt"] {
            if path.is_empty() {
                assert!(matches!(tree.find(path), Ok(Found::Directory)));
            } else {
                assert_eq!(content(&tree, path).as_deref(), Some("inside"), "{path}");
            }
        }
        for path in ["/dir", "/indir", "/empty"] {
            assert!(matches!(tree.find(path), Ok(Found::Directory)), "{path}");
        }
        assert_eq!(content(&tree, "/shown/config").as_deref(), Some("hidden"));
    }

    #[test]
    fn misses_all_else() {
        let (_place, tree) = tempting();
        let long = format!("/{}", "x".repeat(5000));
        for path in [
            "/none",
            "/empty/",
            "/a.txt/",
            "/a.txt/x",
            "/out/secret.txt",
            "/secret",
            "/etc/passwd",
            "/rootish/x",
            "/circle",
            "/broken",
            "/up/beside/secret.txt",
            "/.env",
            "/.git/config",
            "/dir/.hidden/c.txt",
            "/../beside/secret.txt",
            "/dir/../a.txt",
            "/a.txt\0",
            "/dir\\b.txt",
            "/.git",
            "/out",
            "/up",
            &long,
        ] {
            assert!(matches!(tree.find(path), Err(NoFile::Missing)), "{path}");
        }
    }

    #[test]
    fn dotfiles_may_be_allowed() {
        let (_place, mut tree) = tempting();
        tree.dotfiles = true;
        assert_eq!(content(&tree, "/.git/config").as_deref(), Some("hidden"));
        assert_eq!(content(&tree, "/../beside/secret.txt"), None);
    }

    #[test]
    fn special_files_are_missing() {
        let (_place, tree) = tempting();
        let _socket =
            std::os::unix::net::UnixListener::bind(tree.root.join("socket")).expect("a socket");
        assert!(matches!(tree.find("/socket"), Err(NoFile::Missing)));
    }

    #[test]
    fn the_root_may_come_later_and_move() {
        let (place, tree) = tempting();
        let current = place.path().join("current");
        let moved = Tree { root: current.clone(), ..tree.clone() };
        assert!(matches!(moved.find("/x"), Err(NoFile::Missing)));
        symlink("rootish", &current).expect("a link");
        assert_eq!(content(&moved, "/x").as_deref(), Some("outside"));
        fs::remove_file(&current).expect("gone");
        symlink("root", &current).expect("a link");
        assert_eq!(content(&moved, "/x"), None);
        assert_eq!(content(&moved, "/a.txt").as_deref(), Some("inside"));
    }

    #[test]
    fn refusals_by_their_cause() {
        assert!(matches!(io::Error::from_raw_os_error(13).into(), NoFile::Forbidden));
        assert!(matches!(io::Error::from_raw_os_error(5).into(), NoFile::Failed(_)));
    }

    #[test]
    fn never_leaves_the_root() {
        let (_place, tree) = tempting();
        let names = "a.txt|dir|in|indir|out|secret|secret.txt|up|etc|passwd|rootish|x|\\.git|\
                     config|\\.\\.|\\.|\\.env|beside||root|\\.hidden|c.txt|%2e%2e|\\PC{1,4}";
        proptest!(|(segments in proptest::collection::vec(names, 0..6), raw in "\\PC{0,12}")| {
            let joined = segments.join("/");
            for path in [&format!("/{joined}"), &joined, &raw] {
                let content = content(&tree, path);
                prop_assert!(matches!(content.as_deref(), None | Some("inside")), "{path}");
            }
        });
    }
}
