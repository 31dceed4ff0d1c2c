//! A file as it will be sent: the place of its bytes, and its header fields.
//!
//! Owns: opening and reading, and whether a file is still the same. May touch: [`crate::encode`],
//! [`crate::http1`], [`crate::message`], [`crate::settings`]; the file system, so [`open`] runs in
//! the blocking pool only. Next: [`super::memory`] keeps the small ones, [`super::answer`] makes a
//! response.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read, Seek},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use smallvec::SmallVec;

use super::{content_type, labels::FileLabels, resolve::NoFile};
use crate::{
    encode::CodingWish,
    http1::{
        fields::{FieldText, write_field, write_length},
        request::Head,
    },
    message::conditional::Validators,
    settings::Coding,
};

/// Two changes within one tick of the kernel's clock (at most 10 ms) can't be told apart by the
/// metadata. So a file that was changed this recently when it was read is read again at the next
/// check.
const SETTLED: Duration = Duration::from_millis(100);

/// How often a file that changes while it is read is read again.
const TRIES: usize = 3;

/// An opened or kept file.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) validators: Validators,
    pub(super) content_type: HeaderValue,
    /// Whether other clients may get another form of it.
    pub(super) varies: bool,
    /// Its other forms.
    pub(super) encoded: Vec<(Coding, Document)>,
    /// How long it may be kept.
    pub(super) cache_control: Option<HeaderValue>,
    /// The fields of a response with all of it, written once.
    pub(super) description: FieldText,
    pub(super) length: u64,
    pub(super) contents: Contents,
    pub(super) stamp: Stamp,
    settled: bool,
}

/// What a file is opened as.
#[derive(Clone, Copy)]
pub(super) struct OpenedAs<'a> {
    /// The name decides its type.
    pub(super) name: &'a Path,
    pub(super) labels: &'a FileLabels,
    /// In which coding it is.
    pub(super) coding: Option<Coding>,
    pub(super) varies: bool,
}

/// Where the bytes are.
#[derive(Debug)]
pub(super) enum Contents {
    /// In memory, all of them.
    Held(Bytes, Option<Twin>),
    /// On the disk.
    Open(Arc<File>),
}

/// The open file whose bytes are held, so that they can be sent from it without a copy.
#[derive(Clone, Debug)]
pub(super) struct Twin {
    file: Arc<File>,
    stamp: Stamp,
    _place: Arc<DescriptorPlace>,
}

/// Files from this size on are kept open while they are held.
const TWIN_FROM: u64 = 128 * 1024;

/// One of the descriptors that may be kept: a quarter of the process's limit, because connections
/// need the rest.
#[derive(Debug)]
struct DescriptorPlace;

static TAKEN: AtomicUsize = AtomicUsize::new(0);

impl DescriptorPlace {
    fn take() -> Option<Self> {
        static MOST: LazyLock<usize> = LazyLock::new(|| {
            let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
            limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)) / 4
        });
        let one_more = |taken| (taken < *MOST).then_some(taken + 1);
        TAKEN.fetch_update(Relaxed, Relaxed, one_more).ok().map(|_| Self)
    }
}

impl Drop for DescriptorPlace {
    fn drop(&mut self) {
        TAKEN.fetch_sub(1, Relaxed);
    }
}

impl Twin {
    /// The file, if it still is what was read.
    pub(super) fn file(&self) -> Option<&Arc<File>> {
        let metadata = self.file.metadata().ok()?;
        (Stamp::of(&metadata) == self.stamp).then_some(&self.file)
    }
}

impl Document {
    /// Whether a file with these metadata is certainly the one that was read.
    pub(super) fn is_still(&self, metadata: &Metadata) -> bool {
        self.settled && self.stamp == Stamp::of(metadata)
    }

    /// `now` is a moment before `metadata` was looked at.
    fn new(
        opened: &OpenedAs<'_>,
        metadata: &Metadata,
        contents: Contents,
        now: SystemTime,
    ) -> io::Result<Self> {
        let stamp = Stamp::of(metadata);
        let &OpenedAs { name, labels, coding, varies } = opened;
        let validators = Validators::of_file(metadata.modified()?, metadata.len(), now);
        let coding = coding.map(Coding::name);
        let validators = coding.map_or(validators.clone(), |it| validators.coded(it));
        let value = HeaderValue::from_static;
        let content_type = content_type::of(name);
        let cache_control = labels.cache_control(name, &content_type);
        let fields = [
            (header::CONTENT_TYPE, Some(&content_type)),
            (header::CONTENT_ENCODING, coding.map(value).as_ref()),
            (header::VARY, varies.then(|| value("accept-encoding")).as_ref()),
            (header::CONTENT_DISPOSITION, labels.disposition(name).as_ref()),
            (header::ETAG, validators.etag.as_ref()),
            (header::LAST_MODIFIED, validators.last_modified.as_ref()),
            (header::CACHE_CONTROL, cache_control.as_ref()),
            (header::ACCEPT_RANGES, Some(&value("bytes"))),
        ]
        .map(|(name, value)| (name, value.cloned()));
        Ok(Self {
            description: describe(&fields, metadata.len()),
            cache_control,
            validators,
            length: metadata.len(),
            contents,
            settled: stamp.is_settled(now),
            stamp,
            content_type,
            varies,
            encoded: Vec::new(),
        })
    }

    /// The list of a directory with these metadata. It never is certainly the same later: a file in it
    /// may have another size.
    pub(super) fn listing(text: String, kind: &'static str, metadata: &Metadata) -> Self {
        let content_type = HeaderValue::from_static(kind);
        let safe = HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'");
        let fields = [
            (header::CONTENT_TYPE, Some(content_type.clone())),
            (header::CACHE_CONTROL, Some(HeaderValue::from_static("no-cache"))),
            (header::CONTENT_SECURITY_POLICY, Some(safe)),
            (header::X_CONTENT_TYPE_OPTIONS, Some(HeaderValue::from_static("nosniff"))),
        ];
        Self {
            description: describe(&fields, text.len() as u64),
            cache_control: None,
            validators: Validators::default(),
            length: text.len() as u64,
            contents: Contents::Held(text.into(), None),
            settled: false,
            stamp: Stamp::of(metadata),
            content_type,
            varies: false,
            encoded: Vec::new(),
        }
    }

    /// The bytes that it holds in memory, if it holds all of them.
    pub(super) fn held(&self) -> Option<u64> {
        let is_held = |it: &Self| matches!(it.contents, Contents::Held(..));
        let encoded = || self.encoded.iter().map(|(_, document)| document);
        let all = is_held(self) && encoded().all(is_held);
        all.then(|| self.length + encoded().map(|it| it.length).sum::<u64>())
    }

    /// The form of it that a client takes best.
    pub(super) fn for_client(&self, codings: Option<&Head>) -> &Self {
        let (Some(head), false) = (codings, self.encoded.is_empty()) else { return self };
        let available: SmallVec<[Coding; 3]> = self.encoded.iter().map(|(it, _)| *it).collect();
        let best = CodingWish::by(head).choice(&available);
        let found = self.encoded.iter().find(|(coding, _)| Some(*coding) == best);
        found.map_or(self, |(_, document)| document)
    }
}

fn describe(fields: &[(HeaderName, Option<HeaderValue>)], length: u64) -> FieldText {
    let mut lines = Vec::new();
    for (name, value) in fields {
        if let Some(value) = value {
            write_field(&mut lines, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    write_length(&mut lines, length);
    FieldText { lines: lines.into(), dated: false, length: Some(length), sized: true }
}

/// What changes when a file does. The status time is part of it: it cannot be set back, and it
/// changes with the permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether what was there is there still, as far as the metadata tell: the file may have grown, as a
    /// log does.
    pub(super) fn still_holds(&self, metadata: &Metadata) -> bool {
        self.modified == (metadata.mtime(), metadata.mtime_nsec()) || metadata.len() > self.size
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let seconds = Duration::from_secs(self.changed.0.try_into().unwrap_or(0));
        let nanos = Duration::from_nanos(self.changed.1.try_into().unwrap_or(0));
        now.duration_since(UNIX_EPOCH + seconds + nanos).is_ok_and(|age| age > SETTLED)
    }
}

/// Opens the file at `path`, and reads it if it has at most `hold` bytes.
pub(super) fn open(path: &Path, opened: &OpenedAs<'_>, hold: u64) -> Result<Document, NoFile> {
    let now = SystemTime::now();
    // It was a file a moment ago. If it is a pipe now, opening it must not wait for a writer.
    let waits_not = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(waits_not).open(path)?;
    let mut metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(NoFile::Missing);
    }
    for _ in 0..TRIES {
        if metadata.len() > hold {
            break;
        }
        let bytes = read(&file, metadata.len())?;
        // A file that changes while it is read must not be kept half old and half new.
        let after = file.metadata()?;
        let whole = bytes.len() as u64 == metadata.len();
        if whole && Stamp::of(&after) == Stamp::of(&metadata) {
            // Changed too recently: another change might not be visible in its metadata.
            let stamp = Stamp::of(&metadata);
            let twin = metadata.len() >= TWIN_FROM && stamp.is_settled(now);
            let place = twin.then(DescriptorPlace::take).flatten().map(Arc::new);
            let twin = place.map(|place| Twin { file: Arc::new(file), stamp, _place: place });
            return Ok(Document::new(opened, &metadata, Contents::Held(bytes, twin), now)?);
        }
        metadata = after;
    }
    // The file is large, or is written to all the time. It is sent while it is read, and the answer
    // breaks off if the file shrinks.
    Ok(Document::new(opened, &metadata, Contents::Open(Arc::new(file)), now)?)
}

/// Reads at most `length` bytes from the start.
fn read(mut file: &File, length: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    file.rewind()?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(Bytes::from(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt};

    fn open_plain(path: &Path, hold: u64) -> Result<Document, NoFile> {
        let labels = &FileLabels::default();
        open(path, &OpenedAs { name: path, labels, coding: None, varies: false }, hold)
    }

    #[test]
    fn small_files_are_held_and_large_ones_are_not() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("a.txt");
        fs::write(&path, "12345").expect("written");
        let small = open_plain(&path, 5).expect("opened");
        assert!(matches!(&small.contents, Contents::Held(bytes, None) if bytes == "12345"));
        assert_eq!((small.length, small.description.length), (5, Some(5)));
        let large = open_plain(&path, 4).expect("opened");
        assert!(matches!(large.contents, Contents::Open(_)));
    }

    #[test]
    fn knows_itself_once_it_has_settled() {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("a.txt");
        fs::write(&path, "12345").expect("written");
        let young = open_plain(&path, 9).expect("opened");
        assert!(!young.is_still(&fs::metadata(&path).expect("there")));
        std::thread::sleep(SETTLED * 2);
        let old = open_plain(&path, 9).expect("opened");
        assert!(old.is_still(&fs::metadata(&path).expect("there")));
        let copy = place.path().join("b.txt");
        fs::copy(&path, &copy).expect("copied");
        assert!(!old.is_still(&fs::metadata(&copy).expect("there")));
        fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).expect("changed");
        assert!(!old.is_still(&fs::metadata(&path).expect("there")));
    }

    #[test]
    fn a_directory_is_no_document() {
        let place = tempfile::tempdir().expect("a place");
        assert!(matches!(open_plain(place.path(), 9), Err(NoFile::Missing)));
        assert!(matches!(open_plain(&place.path().join("none"), 9), Err(NoFile::Missing)));
    }
}
