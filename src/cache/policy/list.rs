//! Lists of directives: `name`, `name=token` and `name="quoted string"`, with commas between them.
//!
//! Owns: the grammar of `Cache-Control` (RFC 9111 §5.2). May touch: nothing outside this room. What
//! breaks the grammar is not skipped: it is handed on as [`Argument::Malformed`], so that the
//! directive's owner can take the safe side.

use http::HeaderValue;

/// The greatest number of seconds (RFC 9111 §1.2.2): greater ones count as this.
pub(super) const MAX_SECONDS: u32 = 1 << 31;

/// What a directive has behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Argument<'a> {
    /// Nothing.
    Absent,
    /// A token, or a quoted string without its quotes. Escapes are left as they are: no argument
    /// that is known here needs one.
    Text(&'a [u8]),
    /// A number of seconds, from a structured field.
    Seconds(u32),
    /// A string or a token, from a structured field: it is no number, whatever it looks like.
    Names(&'a [u8]),
    /// False, in a structured field: as if the directive were not there.
    False,
    /// Something that the grammar does not allow.
    Malformed,
}

impl<'a> Argument<'a> {
    /// A number of seconds (RFC 9111 §1.2.2), which is at most [`MAX_SECONDS`].
    pub(super) fn seconds(self) -> Option<u32> {
        match self {
            Self::Text(text) => seconds(text),
            Self::Seconds(seconds) => Some(seconds.min(MAX_SECONDS)),
            _ => None,
        }
    }

    /// The text as a list of field names; `None` if it is not one.
    pub(super) fn field_names(self) -> Option<impl Iterator<Item = &'a [u8]>> {
        let (Self::Text(text) | Self::Names(text)) = self else { return None };
        let names = || text.split(|it| *it == b',').map(<[u8]>::trim_ascii);
        let is_list = names().all(|it| it.iter().copied().all(is_token_byte))
            && names().any(|it| !it.is_empty());
        is_list.then(|| names().filter(|it| !it.is_empty()))
    }
}

/// A number of seconds: digits only (RFC 9111 §1.2.2).
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add =
        |sum: u64, digit: &u8| (sum * 10 + u64::from(digit - b'0')).min(u64::from(MAX_SECONDS));
    Some(text.iter().fold(0, add) as u32)
}

/// RFC 9110 §5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Every directive of all lines, with its name as it is spelled.
pub(super) fn directives<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = (&'a [u8], Argument<'a>)> {
    lines.into_iter().flat_map(|line| {
        let mut rest = line.as_bytes();
        std::iter::from_fn(move || {
            let start = rest.iter().position(|it| !matches!(it, b' ' | b'\t' | b','))?;
            let (found, tail) = directive(&rest[start..]);
            rest = tail;
            Some(found)
        })
    })
}

/// The first directive of a list that does not begin with a comma or a space, and what follows.
fn directive(list: &[u8]) -> ((&[u8], Argument<'_>), &[u8]) {
    let end = list.iter().position(|it| !is_token_byte(*it)).unwrap_or(list.len());
    let (name, behind) = list.split_at(end);
    let Some(argument) = behind.strip_prefix(b"=") else {
        let (extra, tail) = until_comma(behind);
        let is_plain = extra.trim_ascii().is_empty();
        return ((name, if is_plain { Argument::Absent } else { Argument::Malformed }), tail);
    };
    if let Some(quoted) = argument.strip_prefix(b"\"") {
        // A quote that never ends does not swallow what follows: a `no-store` there is heard.
        let Some(end) = closing_quote(quoted) else {
            return ((name, Argument::Malformed), until_comma(quoted).1);
        };
        let (extra, tail) = until_comma(&quoted[end + 1..]);
        let is_plain = extra.trim_ascii().is_empty();
        let text = Argument::Text(&quoted[..end]);
        return ((name, if is_plain { text } else { Argument::Malformed }), tail);
    }
    let (text, tail) = until_comma(argument);
    let text = text.trim_ascii_end();
    let is_token = !text.is_empty() && text.iter().copied().all(is_token_byte);
    ((name, if is_token { Argument::Text(text) } else { Argument::Malformed }), tail)
}

/// What stands before the next comma, and what behind it.
fn until_comma(list: &[u8]) -> (&[u8], &[u8]) {
    match list.iter().position(|it| *it == b',') {
        Some(at) => (&list[..at], &list[at + 1..]),
        None => (list, &[]),
    }
}

/// Where a quoted string ends; a quote behind a backslash is a part of it.
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some(at),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}
