//! Fields that are stored whatever a directive says of them.
//!
//! Owns: their names. May touch: nothing outside this room.

/// Whether a field that cannot be left out of what is stored, as it says how the rest is to be
/// understood. `*` stands for all.
pub(super) fn is_needed(name: &[u8]) -> bool {
    let is = |known: &&str| name.eq_ignore_ascii_case(known.as_bytes());
    let is_about_content = name.get(..8).is_some_and(|it| it.eq_ignore_ascii_case(b"content-"));
    let needed = ["vary", "cache-control", "cdn-cache-control", "expires", "date", "*"];
    is_about_content || needed.iter().any(is)
}
