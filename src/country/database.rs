//! A MaxMind database, in memory.
//!
//! Owns: reading it, and the one thing that is looked up. It is read as a whole: mapping a file is
//! unsafe, and a replaced file would be seen half old and half new.

use super::CountryCode;
use maxminddb::{MaxMindDbError, PathElement, Reader};
use std::{
    fmt, fs, io,
    net::IpAddr,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// A database of countries.
pub struct CountryDatabase {
    path: PathBuf,
    stamp: Option<DatabaseStamp>,
    reader: Reader<Vec<u8>>,
}

/// What changes when a file is replaced or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DatabaseStamp {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
}

/// Why a file can't be used.
#[derive(Debug)]
pub enum DatabaseFault {
    /// It can't be read.
    Unreadable(io::Error),
    /// It is none, or is cut off.
    Broken,
    /// It is about something else; this is its type.
    NoCountries(String),
}

/// Words in the types of databases that have no countries.
const OTHERS: [&str; 5] = ["ASN", "ISP", "Domain", "Connection-Type", "Anonymous"];

impl CountryDatabase {
    /// Reads the file, which may be large.
    pub fn read(path: &Path) -> Result<Self, DatabaseFault> {
        // Looked at before: a change while it is read counts as one.
        let stamp = DatabaseStamp::of(path);
        let reader = Reader::open_readfile(path).map_err(|error| match error {
            MaxMindDbError::Io(error) => DatabaseFault::Unreadable(error),
            _ => DatabaseFault::Broken,
        })?;
        let kind = &reader.metadata().database_type;
        if OTHERS.iter().any(|other| kind.contains(other)) {
            return Err(DatabaseFault::NoCountries(kind.clone()));
        }
        Ok(Self { path: path.to_owned(), stamp, reader })
    }

    /// Whether it is what the file at `path` still holds.
    pub fn is_still(&self, path: &Path) -> bool {
        self.path == path && self.stamp.is_some() && self.stamp == DatabaseStamp::of(path)
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The country of an address.
    pub fn find(&self, address: IpAddr) -> CountryCode {
        const CODE: [PathElement<'static>; 2] =
            [PathElement::Key("country"), PathElement::Key("iso_code")];
        // An IPv6 address in a database of IPv4, or a broken record, is as good as unknown.
        let found = self.reader.lookup(address.to_canonical()).ok();
        let code = found.and_then(|it| it.decode_path::<&str>(&CODE).ok().flatten());
        code.and_then(CountryCode::parse).unwrap_or_default()
    }
}

impl fmt::Debug for CountryDatabase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CountryDatabase").field(&self.path).finish()
    }
}

impl DatabaseStamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl fmt::Display for DatabaseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "can't be read: {error}"),
            Self::Broken => f.write_str("is no MaxMind database, or not a whole one"),
            Self::NoCountries(kind) => write!(f, "has no countries: it is a database `{kind}`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shipped() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/geo.mmdb")
    }

    #[test]
    fn countries_of_addresses() {
        let database = CountryDatabase::read(&shipped()).expect("a database");
        for (address, country) in [
            ("2.125.160.216", "GB"),
            ("::ffff:2.125.160.216", "GB"),
            ("216.160.83.56", "US"),
            ("89.160.20.112", "SE"),
            ("127.0.0.1", ""),
            ("::1", ""),
        ] {
            assert_eq!(database.find(address.parse().unwrap()).as_str(), country, "{address}");
        }
        assert!(database.is_still(&shipped()));
    }

    #[test]
    fn what_is_no_database_is_told() {
        let place = tempfile::tempdir().expect("a place");
        let file = place.path().join("geo.mmdb");
        assert!(matches!(CountryDatabase::read(&file), Err(DatabaseFault::Unreadable(_))));
        let whole = fs::read(shipped()).expect("shipped");
        for bytes in [&b""[..], b"no database", &whole[..whole.len() / 2]] {
            fs::write(&file, bytes).expect("written");
            assert!(matches!(CountryDatabase::read(&file), Err(DatabaseFault::Broken)));
        }
        fs::copy(shipped(), &file).expect("copied");
        let database = CountryDatabase::read(&file).expect("a database");
        fs::write(&file, "another").expect("written");
        assert!(!database.is_still(&file));
    }
}
