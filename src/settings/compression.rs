//! Which responses are compressed, and how.

/// A content coding (RFC 9110 §8.4.1) that can be made and undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coding {
    /// `zstd` (RFC 8878).
    Zstd,
    /// `br` (RFC 7932).
    Brotli,
    /// `gzip` (RFC 1952).
    Gzip,
}

impl Coding {
    /// All of them, the one that is worth most first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// Its name in fields, in the config and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Brotli => "br",
            Self::Zstd => "zstd",
        }
    }

    /// The coding of this name, in any case. `x-gzip` is the same as `gzip` (RFC 9110 §8.4.1.3).
    pub fn named(name: &[u8]) -> Option<Self> {
        let name = if name.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { name };
        Self::ALL.into_iter().find(|it| name.eq_ignore_ascii_case(it.name().as_bytes()))
    }
}

/// `compress` of a route.
#[derive(Clone, Debug, PartialEq)]
pub struct Compression {
    /// `codings`: our preference among those that a client likes equally, default `["zstd", "br",
    /// "gzip"]`.
    pub codings: Vec<Coding>,
    /// `min_size`: shorter bodies stay as they are, default 1 KiB.
    pub min_size: u64,
    /// `types`: media types in lower case, with at most one `*` each, default those of
    /// [`Compression::TYPES`].
    pub types: Vec<String>,
    /// `level`.
    pub level: CodingLevels,
    /// `cookies`: also responses that set cookies, default false (BREACH).
    pub cookies: bool,
}

/// `compress.level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodingLevels {
    /// `gzip`: 1 to 9, default 5.
    pub gzip: u32,
    /// `br`: 0 to 11, default 4.
    pub br: u32,
    /// `zstd`: 1 to 19, default 3.
    pub zstd: i32,
}

impl Compression {
    /// What gets shorter. Images, sound, video and archives are compressed already.
    pub const TYPES: [&str; 10] = [
        "text/*",
        "application/*json",
        "application/*javascript",
        "application/*xml",
        "application/wasm",
        "application/yaml",
        "font/otf",
        "font/ttf",
        "image/bmp",
        "image/svg+xml",
    ];
}

impl Default for CodingLevels {
    fn default() -> Self {
        Self { gzip: 5, br: 4, zstd: 3 }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            codings: Coding::ALL.to_vec(),
            min_size: 1 << 10,
            types: Self::TYPES.map(Into::into).to_vec(),
            level: CodingLevels::default(),
            cookies: false,
        }
    }
}
